"""`multimix pacs` against a real Orthanc: `make test-server`."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import highdicom
import numpy as np
import pydicom
import pytest
from typer.testing import CliRunner

from multimix_monai.apps import cli, pacs_images
from multimix_monai.apps import pacs as pacs_app
from multimix_monai.dicom.web import DicomWeb

pytestmark = pytest.mark.server
Radiographs = Callable[[int], list[Path]]
Pacs = Callable[..., Any]


@pytest.fixture
def pacs(orthanc: Any, monkeypatch: pytest.MonkeyPatch) -> Pacs:
    """`multimix pacs` on the PACS; all studies, if no option says which."""
    monkeypatch.setenv("MULTIMIX_PACS_PASSWORD", orthanc.password)

    def call(*words: object, url: str = orthanc.url) -> Any:
        options = ["--user", orthanc.user, "--patience", 30, "--timeout", 10]
        return CliRunner().invoke(cli.app, [str(w) for w in ("pacs", url, *options, *words)])

    return call


EVERYTHING = ("--from", "2000-01-01")


def row(result: Any) -> dict[str, int]:
    """The summary's numbers."""
    numbers = next(line for line in result.stdout.splitlines() if line.startswith("│"))
    cells = [int(cell) for cell in numbers.split("│")[1:-1]]
    return dict(zip(pacs_app._COLUMNS, cells, strict=True))


def uid_of(path: Path) -> str:
    return str(pydicom.dcmread(path, stop_before_pixels=True).StudyInstanceUID)


@pytest.fixture
def later() -> Iterator[Callable[[Callable[[], object]], None]]:
    """Runs something beside the command, and waits for it in the end."""
    threads: list[threading.Thread] = []

    def start(action: Callable[[], object]) -> None:
        threads.append(threading.Thread(target=action, daemon=True))
        threads[-1].start()

    yield start
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive()


def wait_for(condition: Callable[[], bool], *, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def test_results_lie_beside_their_source_and_can_be_read(
    pacs: Pacs, orthanc: Any, radiographs: Radiographs
) -> None:
    path = radiographs(1)[0]
    orthanc.put(path)
    result = pacs(*EVERYTHING, "--captures")
    assert result.exit_code == 0, result.output
    assert row(result)["stored"] == 1 and row(result)["objects"] == 4
    source = pydicom.dcmread(path)
    found = orthanc.instances(source.StudyInstanceUID)
    assert sorted(found) == ["DX1", "OT9003", "OT9004", "SEG9001", "SR9002"]
    for dataset in found.values():
        assert dataset.PatientID == source.PatientID and dataset.StudyID == source.StudyID
    seg = highdicom.seg.Segmentation.from_dataset(found["SEG9001"])
    lungs = seg.get_pixels_by_source_instance(
        [source.SOPInstanceUID], combine_segments=False, ignore_spatial_locations=True
    )
    assert lungs.shape[1:3] == (source.Rows, source.Columns) and lungs.any()
    report = highdicom.sr.EnhancedSR.from_dataset(found["SR9002"])
    groups = report.content.get_image_measurement_groups()
    assert {str(group.source_images[0].referenced_sop_instance_uid) for group in groups} == {
        str(source.SOPInstanceUID)
    }
    picture = found["OT9003"].pixel_array
    assert picture.dtype == np.uint8 and picture.shape[2] == 3


def test_the_same_study_twice_is_neither_judged_nor_stored_twice(
    pacs: Pacs, orthanc: Any, radiographs: Radiographs, monkeypatch: pytest.MonkeyPatch
) -> None:
    orthanc.put(*radiographs(2))
    first = pacs(*EVERYTHING)
    assert row(first)["stored"] == 2 and row(first)["there"] == 0
    changes = orthanc.get("changes?last").json()["Last"]
    monkeypatch.setattr(pacs_images, "predict", None)
    again = pacs(*EVERYTHING)
    assert again.exit_code == 0, again.output
    assert row(again)["stored"] == 0 and row(again)["there"] == 2
    assert orthanc.get("changes?last").json()["Last"] == changes


def test_another_threshold_is_another_result(
    pacs: Pacs, orthanc: Any, radiographs: Radiographs
) -> None:
    orthanc.put(*radiographs(1))
    for count, threshold in ((3, 0.5), (5, 0.6), (5, 0.5)):
        assert pacs(*EVERYTHING, "--threshold", threshold).exit_code == 0
        assert orthanc.count() == count


def test_the_report_is_stored_last_so_that_half_a_result_is_made_whole(
    pacs: Pacs, orthanc: Any, radiographs: Radiographs, monkeypatch: pytest.MonkeyPatch
) -> None:
    orthanc.put(*radiographs(1))
    store, calls = DicomWeb.store, []

    def refused_from_the_second_on(server: DicomWeb, study: str, paths: list[Path]) -> list[str]:
        calls.append([path.stem for path in paths])
        return store(server, study, paths) if len(calls) == 1 else ["failure reason A700H"]

    with monkeypatch.context() as patch:
        patch.setattr(DicomWeb, "store", refused_from_the_second_on)
        half = pacs(*EVERYTHING)
    assert half.exit_code == 3 and "1 failed: not stored: failure reason A700H" in half.stdout
    assert calls == [["seg"], ["sr"]] and orthanc.count() == 2
    whole = pacs(*EVERYTHING)
    assert whole.exit_code == 0 and row(whole)["objects"] == 1
    assert orthanc.count() == 3


def test_only_accepted_modalities_are_retrieved_and_refusals_are_remembered(
    pacs: Pacs, orthanc: Any, radiographs: Radiographs, tmp_path: Path
) -> None:
    lateral, ct = (pydicom.dcmread(path) for path in radiographs(3)[1:])
    lateral.ViewPosition = "LL"
    ct.Modality = "CT"
    for name, dataset in (("lateral", lateral), ("ct", ct)):
        dataset.save_as(tmp_path / name)
    orthanc.put(radiographs(1)[0], tmp_path / "lateral", tmp_path / "ct")
    result = pacs(*EVERYTHING, "--output", tmp_path / "out")
    assert result.exit_code == 3, result.output
    assert row(result)["studies"] == 2
    assert row(result)["stored"] == 1 and row(result)["refused"] == 1
    assert "1 refused: view" in result.stdout
    again = pacs(*EVERYTHING, "--output", tmp_path / "out")
    assert again.exit_code == 3 and "1 refused: view" in again.stdout
    assert orthanc.count() == 3 + 2
    lines = (tmp_path / "out" / "pacs.jsonl").read_text().splitlines()
    assert len(lines) == 2


def test_own_pictures_are_never_judged(pacs: Pacs, orthanc: Any, radiographs: Radiographs) -> None:
    orthanc.put(radiographs(1)[0])
    assert pacs(*EVERYTHING, "--captures").exit_code == 0
    count = orthanc.count()
    result = pacs(*EVERYTHING, "--modality", "OT")
    assert result.exit_code == 3 and "2 refused: own_result" in result.stdout
    assert orthanc.count() == count


def test_a_dry_run_counts_and_no_store_keeps(
    pacs: Pacs, orthanc: Any, radiographs: Radiographs, tmp_path: Path
) -> None:
    orthanc.put(*radiographs(2))
    result = pacs(*EVERYTHING, "--dry-run")
    assert result.exit_code == 0, result.output
    assert result.stdout == ("2 studies, 2 images: 2 to judge, 0 have a result or were refused\n")
    kept = pacs("--limit", 1, "--no-store", "--output", tmp_path)
    assert kept.exit_code == 0, kept.output
    assert row(kept)["kept"] == 1 and orthanc.count() == 2
    assert len(list(tmp_path.glob("*/sr.dcm"))) == len(list(tmp_path.glob("*/mask.png"))) == 1


@pytest.mark.parametrize(
    ("options", "studies"),
    [
        (("--to", "20000101"), 3),
        (("--from", "2000-01-02"), 0),
        (("--patient", "GEHEIM-1"), 1),
        (("--study", "{study}"), 1),
        (("--limit", "2"), 2),
        (("--to", "20000101", "--modality", "CR"), 0),
    ],
)
def test_a_query_finds_what_its_options_say(
    pacs: Pacs, orthanc: Any, radiographs: Radiographs, options: tuple[str, ...], studies: int
) -> None:
    orthanc.put(*radiographs(3))
    words = [word.format(study=uid_of(radiographs(3)[2])) for word in options]
    result = pacs("--dry-run", *words)
    assert result.stdout.startswith(f"{studies} studies, {studies} images"), result.output


def test_a_compressed_instance_comes_in_its_own_transfer_syntax(
    orthanc: Any, radiographs: Radiographs, tmp_path: Path
) -> None:
    dataset = pydicom.dcmread(radiographs(1)[0])
    dataset.compress(pydicom.uid.RLELossless)
    dataset.save_as(tmp_path / "rle.dcm")
    orthanc.put(tmp_path / "rle.dcm")
    (image,) = orthanc.web.images(dataset.StudyInstanceUID, modalities=["DX"])
    orthanc.web.retrieve(image, tmp_path / "back.dcm")
    back = pydicom.dcmread(tmp_path / "back.dcm")
    assert back.file_meta.TransferSyntaxUID == pydicom.uid.RLELossless
    assert back.PixelData == dataset.PixelData


def test_what_a_server_does_not_take_is_told(orthanc: Any, radiographs: Radiographs) -> None:
    first, second = radiographs(2)
    reasons = orthanc.web.store(uid_of(first), [second])  # into another study
    assert reasons == ["failure reason 0110H"]
    assert orthanc.count() == 0


def test_wrong_credentials_and_a_server_that_is_off_are_one_line(
    pacs: Pacs, orthanc: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    off = pacs(*EVERYTHING, url="http://127.0.0.1:9/dicom-web")
    monkeypatch.setenv("MULTIMIX_PACS_PASSWORD", "wr0ng-and-secret")
    wrong = pacs(*EVERYTHING)
    for result, words in ((off, "Connection refused"), (wrong, "check the user and the password")):
        assert result.exit_code == 1
        assert result.stderr.startswith("error: http://127.0.0.1") and words in result.stderr
        assert result.stderr.count("\n") == 1 and not result.stdout
        assert "secret" not in result.stderr


def test_nothing_about_a_patient_is_printed_or_written(
    pacs: Pacs, orthanc: Any, radiographs: Radiographs, tmp_path: Path, caplog: Any
) -> None:
    caplog.set_level("DEBUG")
    path = tmp_path / "lateral.dcm"
    lateral = pydicom.dcmread(radiographs(2)[1])
    lateral.ViewPosition = "LL"
    lateral.save_as(path)
    orthanc.put(radiographs(1)[0], path)
    result = pacs(*EVERYTHING, "--output", tmp_path / "out")
    written = "".join(f"{p} {p.read_text()}" for p in (tmp_path / "out").rglob("*") if p.is_file())
    told = result.output + caplog.text + written
    assert "pacs.jsonl" in told
    for source in (pydicom.dcmread(radiographs(1)[0]), lateral):
        for uid in (source.StudyInstanceUID, source.SeriesInstanceUID, source.SOPInstanceUID):
            assert str(uid) not in told
    assert "GEHEIM" not in told and orthanc.password not in told


def test_a_server_killed_amid_a_batch_gets_every_result_once(
    pacs: Pacs, orthanc: Any, radiographs: Radiographs, later: Callable[..., None], caplog: Any
) -> None:
    orthanc.put(*radiographs(6))

    def cut_power() -> None:
        wait_for(lambda: orthanc.count() > 6)
        orthanc.kill()
        time.sleep(1.5)
        orthanc.start()

    later(cut_power)
    result = pacs(*EVERYTHING)
    assert result.exit_code == 0, result.output
    assert "Connection refused" in caplog.text or "the connection broke" in caplog.text
    assert row(result)["stored"] == 6
    assert orthanc.count() == 6 * 3
    assert pacs(*EVERYTHING).exit_code == 0 and orthanc.count() == 6 * 3


def test_a_server_that_stays_away_ends_the_round(
    pacs: Pacs, orthanc: Any, radiographs: Radiographs, later: Callable[..., None]
) -> None:
    orthanc.put(*radiographs(6))

    def cut_power() -> None:
        wait_for(lambda: orthanc.count() > 8)
        orthanc.kill()

    later(cut_power)
    result = pacs(*EVERYTHING, "--patience", 0.5)
    assert result.exit_code == 1
    assert result.stderr.splitlines()[-1].startswith(f"error: {orthanc.url}, ")
    assert row(result)["failed"] == 0 and 0 < row(result)["stored"] < 6
    orthanc.start()
    assert pacs(*EVERYTHING).exit_code == 0
    assert orthanc.count() == 6 * 3


def test_watching_finds_what_arrives_and_outlives_the_server(
    pacs: Pacs, orthanc: Any, radiographs: Radiographs, later: Callable[..., None]
) -> None:
    paths = radiographs(4)
    orthanc.put(*paths[:1])

    def day() -> None:
        try:
            wait_for(lambda: orthanc.count() == 3)
            orthanc.put(*paths[1:2])
            wait_for(lambda: orthanc.count() == 6)
            orthanc.kill()
            time.sleep(4)  # several looks
            orthanc.start()
            orthanc.put(*paths[2:])
            wait_for(lambda: orthanc.count() == 12)
        finally:
            signal.raise_signal(signal.SIGTERM)

    later(day)
    words = ("--watch", "--every", 1, "--settle", 0.5, "--patience", 0)
    result = pacs(*EVERYTHING, *words)
    assert result.exit_code == 0, result.output
    assert "nothing is lost, again in 1 s" in result.stderr
    # One may be stored a moment before its answer is lost, the last just before the end.
    assert row(result)["stored"] >= 2 and row(result)["failed"] == 0
    assert orthanc.count() == 4 * 3
