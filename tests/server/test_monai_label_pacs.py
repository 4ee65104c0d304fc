"""MONAI Label's real server with this bundle on a real Orthanc: `make test-server`."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import highdicom
import numpy as np
import pydicom
import pytest
import requests
from PIL import Image

from multimix_monai.apps import pacs_images
from multimix_monai.data.synthetic import draw_radiograph

pytestmark = pytest.mark.server
Radiographs = Callable[[int], list[Path]]
SIZE = (256, 224)
QUICK = {"max_epochs": 1, "steps_per_epoch": 1, "val_interval": 1}
QUICK["batch_sizes"] = {  # type: ignore[assignment]
    "mask_labelled": 1,
    "mask_unlabelled": 1,
    "label_labelled": 1,
    "label_unlabelled": 1,
}


def series_of(path: Path) -> str:
    return str(pydicom.dcmread(path, stop_before_pixels=True).SeriesInstanceUID)


def drawn_mask(number: int, path: Path) -> Path:
    """The truth of a radiograph of the fixture `radiographs`, as a client saves it."""
    drawn = draw_radiograph(seed=number, pneumonia=number % 2 == 1, size=SIZE)
    Image.fromarray(255 * drawn.mask).save(path)
    return path


@pytest.fixture
def server(
    orthanc: Any, label_server: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Any]]:
    """A server on the PACS: (its folder) -> one that answers."""
    monkeypatch.setenv("MULTIMIX_PACS_PASSWORD", orthanc.password)
    started = []

    def start(app_dir: Path, *words: object) -> Any:
        login = ("--dicomweb", orthanc.url, "--user", orthanc.user)
        started.append(label_server(*login, *words, app_dir=app_dir))
        return started[-1]

    yield start
    for one in started:
        one.kill()


def test_the_loop_on_a_pacs_ends_with_a_segmentation_that_a_query_finds(
    server: Callable[..., Any], orthanc: Any, radiographs: Radiographs, tmp_path: Path
) -> None:
    paths = radiographs(4)
    cr = pydicom.dcmread(paths[3])
    cr.Modality = "CR"
    cr.save_as(tmp_path / "cr.dcm")
    ct = pydicom.dcmread(paths[2])
    ct.Modality = "CT"
    ct.save_as(tmp_path / "ct.dcm")
    orthanc.put(*paths[:2], tmp_path / "cr.dcm", tmp_path / "ct.dcm")
    one = server(tmp_path / "app")
    listed = one.get("/info/").json()["datastore"]
    assert listed["total"] == 3 and listed["completed"] == 0  # DX and CR, not the CT

    series = series_of(paths[0])
    answer = one.infer(series, output="dicom_seg")
    assert answer.headers["Content-Type"] == "application/dicom", answer.text
    assert pydicom.dcmread(io.BytesIO(answer.content)).Modality == "SEG"
    assert one.infer(series, result_extension=".png").ok
    assert orthanc.count() == 4  # nothing is stored by looking

    saved = one.save(series, drawn_mask(0, tmp_path / "mask.png"), pneumonia=0)
    assert saved.ok, saved.text
    assert orthanc.count() == 5
    study = str(pydicom.dcmread(paths[0]).StudyInstanceUID)
    seg = orthanc.instances(study)["SEG9011"]
    assert {item.SegmentAlgorithmType for item in seg.SegmentSequence} == {"MANUAL"}
    source = pydicom.dcmread(paths[0])
    assert seg.PatientID == source.PatientID
    planes = highdicom.seg.Segmentation.from_dataset(seg).get_pixels_by_source_instance(
        [source.SOPInstanceUID], combine_segments=False, ignore_spatial_locations=True
    )
    truth = np.asarray(Image.open(tmp_path / "mask.png")) > 0
    assert np.array_equal(planes[0].any(axis=-1), truth)
    assert one.get("/info/").json()["datastore"]["completed"] == 1
    assert one.post("/activelearning/multimix", {}).json()["id"] != series

    assert one.post("/train/multimix", QUICK).ok
    assert one.finish()["status"] == "DONE", one.task()["details"]
    counts = one.outcome()["counts"]
    assert counts["masks"] == 1 and counts["unannotated"] == 2

    # The PACS is gone for a while.
    orthanc.kill()
    assert one.infer(series).ok  # it is here
    label = drawn_mask(1, tmp_path / "other.png")
    other = series_of(paths[1])
    assert one.save(other, label).status_code == 502
    assert one.get("/datastore/", output="all").json()["objects"][other]["labels"] == {}
    orthanc.start()
    assert one.save(other, label).ok
    assert orthanc.count() == 6
    for again in ("other.png", "mask.png"):  # each time another object: the newest counts
        assert one.save(series, tmp_path / again, pneumonia=0).ok
    assert orthanc.count() == 8 and one.get("/info/").json()["datastore"]["completed"] == 2
    wanted = {"id": series, "tag": "final"}
    deleted = requests.delete(f"{one.url}/datastore/label", params=wanted, timeout=60)
    assert deleted.status_code == 422 and "removed there" in deleted.json()["detail"]

    told = one.log() + "".join(p.read_text() for p in (tmp_path / "app/logs").iterdir())
    assert "GEHEIM" not in told and series not in told and orthanc.password not in told
    assert "GEHEIM" not in (tmp_path / "app/retrieved/datastore_v2.json").read_text()


def test_a_label_saved_elsewhere_counts_and_an_algorithm_s_does_not(
    server: Callable[..., Any],
    orthanc: Any,
    radiographs: Radiographs,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from typer.testing import CliRunner

    from multimix_monai.apps import cli
    from multimix_monai.dicom.annotation import annotation

    paths = radiographs(3)
    orthanc.put(*paths)
    words = ["pacs", orthanc.url, "--user", orthanc.user, "--from", "2000-01-01"]
    assert pacs_images and CliRunner().invoke(cli.app, words).exit_code == 0
    truth = np.asarray(Image.open(drawn_mask(1, tmp_path / "mask.png"))) > 0
    annotation(paths[1], truth.astype(np.uint8)).save_as(tmp_path / "seg.dcm")
    orthanc.put(tmp_path / "seg.dcm")
    one = server(tmp_path / "app")
    assert one.get("/info/").json()["datastore"]["completed"] == 1
    assert one.post("/train/multimix", QUICK).ok
    assert one.finish()["status"] == "DONE", one.task()["details"]
    assert one.outcome()["counts"]["masks"] == 1
