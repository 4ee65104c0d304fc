"""`multimix predict --runtime onnx`: where there is no torch, the same results as with it."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from PIL import Image
from pydicom import dcmread
from typer.testing import CliRunner

from multimix_monai.apps import cli, predict_onnx
from multimix_monai.apps.export import Form
from multimix_monai.apps.export_formats import contents_of, write
from multimix_monai.data.calibration import Calibration, weights_digest, write_calibration
from multimix_monai.dicom.decode import can_decode
from multimix_monai.engines.portable import PredictCases

MODELS = Path(__file__).resolve().parents[2] / "bundle" / "models"
RLE = "1.2.840.10008.1.2.5"
# A process in which these cannot be imported, as where they are not installed.
ABSENT = ("torch", "monai", "ignite", "skimage", "sklearn", "matplotlib", "nibabel", "onnx")
WITHOUT = (
    f"import sys; sys.modules.update(dict.fromkeys({ABSENT}))\n"
    "from multimix_monai.apps.cli import main; main()"
)


def export(path: Path, **settings: object) -> Path:
    """What `multimix export --to onnx` writes."""
    write(Form.ONNX, contents_of(settings), path)
    return path


@pytest.fixture(scope="module")
def own_network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle's network, exported."""
    path = tmp_path_factory.mktemp("own") / "model.onnx"
    return export(path)


@pytest.fixture(scope="module")
def fresh_network(tmp_path_factory: pytest.TempPathFactory, fresh_weights: Path) -> Path:
    """A network that has learnt nothing, for images of 64 pixels."""
    path = tmp_path_factory.mktemp("fresh") / "model.onnx"
    return export(path, ckpt_path=str(fresh_weights), image_size=64)


def without_torch(*words: object, **options: Any) -> subprocess.CompletedProcess[str]:
    """The command in a process without torch."""
    return subprocess.run(
        [sys.executable, "-c", WITHOUT, *map(str, words)],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        **options,
    )


@pytest.fixture
def predict(fresh_network: Path) -> Callable:
    """`multimix predict --runtime onnx` within this process."""

    def call(*words: object, weights: Path = fresh_network):  # type: ignore[no-untyped-def]
        options = ["--runtime", "onnx", "--weights", weights]
        return CliRunner().invoke(cli.app, [str(word) for word in ("predict", *words, *options)])

    return call


def table(folder: Path) -> list[dict[str, str]]:
    with (folder / "results.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def plane(folder: Path, name: str) -> np.ndarray:
    return np.asarray(Image.open(folder / name)).astype(int)


PROBS = ("pneumonia_probability", "pneumonia_probability_raw", "frontal_score")
NEAR = {*PROBS, "lung_area_px", "lung_area_mm2"}


def assert_alike(with_torch: Path, without: Path, *, tolerance: float = 1e-4) -> None:
    """Two folders of results say and show the same, probabilities within a tolerance."""
    rows, others = table(with_torch), table(without)
    assert len(rows) == len(others)
    for ours, other in zip(rows, others, strict=True):
        same = ours.keys() - NEAR
        assert {k: ours[k] for k in same} == {k: other[k] for k in same}
        for name in PROBS:
            assert bool(ours[name]) == bool(other[name])
            assert float(ours[name] or 0) == pytest.approx(float(other[name] or 0), abs=tolerance)
        if ours["mask"]:
            masks = [plane(f, r["mask"]) for f, r in ((with_torch, ours), (without, other))]
            assert masks[0].shape == masks[1].shape
            assert (masks[0] == masks[1]).mean() >= 0.9999
            area = float(other["lung_area_px"])
            assert area == pytest.approx(float(ours["lung_area_px"]), rel=1e-3, abs=5)
            for kind in ("overlay", "saliency"):
                a, b = plane(with_torch, ours[kind]), plane(without, other[kind])
                assert (np.abs(a - b) > 16).mean() < 1e-3
        if ours["seg"]:
            segs = [dcmread(f / r["seg"]) for f, r in ((with_torch, ours), (without, other))]
            assert (segs[0].pixel_array == segs[1].pixel_array).mean() >= 0.9999
            assert segs[0].SOPInstanceUID != segs[1].SOPInstanceUID, "another algorithm"


@pytest.fixture(scope="module")
def radiographs(tiny_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Drawn chests as PNG and DICOM, turned, compressed, inverted, noise and a file cut short."""
    from multimix_monai.data.images import Radiograph
    from multimix_monai.data.synthetic import draw_radiograph
    from multimix_monai.dicom.dx import write_dx

    folder = tmp_path_factory.mktemp("radiographs")
    for n, size in enumerate([(300, 256), (220, 250)]):
        pixels = draw_radiograph(seed=n, pneumonia=bool(n), size=size).pixels
        Image.fromarray(np.rint(255 * pixels).astype(np.uint8)).save(folder / f"{n}.png")
        Image.fromarray(np.rint(255 * (1 - pixels)).astype(np.uint8)).save(folder / f"i{n}.png")
        for orientation, stored in (("LF", pixels), ("FR", pixels.T[::-1])):
            path = folder / f"{n}{orientation}.dcm"
            write_dx(
                path,
                Radiograph(np.ascontiguousarray(stored), spacing_mm=(0.3, 0.4)),
                patient_name="A^B",
                patient_id=str(n),
                seed=n,
                photometric=f"MONOCHROME{n + 1}",
            )
            header = dcmread(path)
            header.PatientOrientation = list(orientation)
            if orientation == "FR" and n and can_decode(RLE):
                header.compress(RLE)
            header.save_as(path)
    noise = np.random.default_rng(0).integers(0, 256, (200, 180)).astype(np.uint8)
    Image.fromarray(noise).save(folder / "noise.png")
    (folder / "cut.png").write_bytes((folder / "0.png").read_bytes()[:3000])
    return folder


@pytest.mark.slow
def test_without_torch_all_that_is_written_is_the_same(
    radiographs: Path, own_network: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    words = ("predict", radiographs, "--output", tmp_path / "torch")
    given = CliRunner().invoke(cli.app, [str(word) for word in words])
    assert given.exit_code == 3, given.output
    done = without_torch(
        *("predict", radiographs, "--output", tmp_path / "onnx"),
        *("--runtime", "onnx", "--weights", own_network),
    )
    assert done.returncode == 3, done.stderr
    assert done.stdout == given.stdout.replace(f"{tmp_path}/torch", f"{tmp_path}/onnx")
    assert done.stderr == ""
    assert_alike(tmp_path / "torch", tmp_path / "onnx")
    rows = table(tmp_path / "onnx")
    assert [row["status"] for row in rows].count("ok") == 6
    assert {row["reason"] for row in rows} >= {"", "inverted", "unreadable"}
    seg = dcmread(next((tmp_path / "onnx").rglob("seg.dcm")))
    told = seg.SegmentSequence[0].SegmentationAlgorithmIdentificationSequence[0]
    assert "runtime=onnx" in str(told.AlgorithmParameters)


@pytest.mark.slow
def test_real_radiographs_give_the_same_without_torch(
    shared_data: Callable[[str], Path], own_network: Path, tmp_path: Path
) -> None:
    chests = sorted((shared_data("montgomery") / "images").iterdir())[::20]
    chests += sorted((shared_data("chest_xray") / "test").rglob("*.jpeg"))[::80]
    inputs = [str(path) for path in chests]
    for output, options in (
        ("torch", []),
        ("onnx", ["--runtime", "onnx", "--weights", str(own_network)]),
    ):
        words = ["predict", *inputs, "--output", str(tmp_path / output), *options]
        assert CliRunner().invoke(cli.app, words).exit_code == 0
    # onnxruntime and torch round by up to 5e-5 of a class logit each.
    assert_alike(tmp_path / "torch", tmp_path / "onnx", tolerance=1e-4)


def test_a_second_run_does_nothing_again_and_another_runtime_is_another_setting(
    predict: Callable, tiny_dataset: Path, tmp_path: Path
) -> None:
    given = (tiny_dataset / "dicom", tmp_path / "gone.png", "--output", tmp_path / "out")
    first = predict(*given)
    assert first.exit_code == 3 and first.stdout.startswith("2 ok, 1 refused, 0 failed")
    times = {p: p.stat().st_mtime_ns for p in (tmp_path / "out").rglob("*.png")}
    again = predict(*given)
    assert (again.exit_code, again.stdout) == (first.exit_code, first.stdout)
    assert times == {p: p.stat().st_mtime_ns for p in (tmp_path / "out").rglob("*.png")}
    words = ("predict", *given)
    other = CliRunner().invoke(cli.app, [str(word) for word in words])
    assert other.exit_code == 1 and "runtime onnx, now torch" in other.stderr


def test_who_reads_and_the_size_of_a_batch_change_no_byte(
    predict: Callable, tiny_dataset: Path, tmp_path: Path
) -> None:
    files = []
    for workers, batch_size in ((0, 8), (2, 5)):
        output = tmp_path / str(workers)
        options = ("--workers", workers, "--set", f"batch_size={batch_size}", "--no-dicom")
        assert predict(tiny_dataset, "--output", output, *options).exit_code == 0
        paths = sorted(path for path in output.rglob("*") if path.is_file())
        files.append({p.relative_to(output): p.read_bytes() for p in paths})
    assert files[0] == files[1] and len(files[0]) == 15 * 3 + 3


def test_a_batch_that_fails_is_predicted_case_by_case(
    tiny_dataset: Path,
    fresh_network: Path,
    tmp_path: Path,
    predict: Callable,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = PredictCases._predicted

    def fails_on_the_third(self: PredictCases, cases: list[dict]) -> list[dict]:
        if any(case["case"] == "case_0003" for case in cases):
            raise MemoryError("no room for Doe^John")
        return asked(self, cases)

    monkeypatch.setattr(PredictCases, "_predicted", fails_on_the_third)
    result = predict(tiny_dataset / "images", "--output", tmp_path)
    assert result.exit_code == 3 and result.stdout.startswith("11 ok, 0 refused, 1 failed")
    row = table(tmp_path)[2]
    assert row["reason"] == "MemoryError" and "Doe" not in (tmp_path / "results.csv").read_text()


def test_settings_replace_what_the_file_says_and_unknown_ones_are_named(
    predict: Callable, tiny_dataset: Path, tmp_path: Path
) -> None:
    given = (tiny_dataset / "dicom", "--no-dicom", "--output")
    assert predict(*given, tmp_path / "a", "--set", "lung_threshold_prob=0").exit_code == 0
    for row in table(tmp_path / "a"):
        assert int(row["lung_area_px"]) == int(row["rows"]) * int(row["columns"])
    assert predict(*given, tmp_path / "b", "--threshold", 0).exit_code == 0
    assert [row["pneumonia_label"] for row in table(tmp_path / "b")] == ["1", "1"]
    assert [row["threshold_source"] for row in table(tmp_path / "b")] == ["given"] * 2
    for setting, told in (
        ("image_size=96", "image_size cannot be set"),
        ("lung_threshold_prob=2", "lung_threshold_prob is 2"),
        ("batch_size=0", "batch_size is 0"),
        ("picture_side=0", "picture_side is 0"),
        ("quality_rules={size: [0, 1]}", "quality_rules has 'size'"),
    ):
        result = predict(*given, tmp_path / "c", "--set", setting)
        assert result.exit_code == 1 and told in result.stderr, result.output
    assert not (tmp_path / "c" / "results.csv").exists()


def test_a_calibration_is_used_with_the_weights_that_it_belongs_to(
    predict: Callable, fresh_weights: Path, tiny_dataset: Path, tmp_path: Path
) -> None:
    path = tmp_path / "calibration.json"
    calibration = Calibration(
        temperature=0.25,
        threshold_prob=0.3,
        criterion="Youden's index",
        chosen_on="ten cases of ours",
        cases=10,
        weights_sha256=weights_digest(fresh_weights),
        image_size=64,
    )
    write_calibration(calibration, path)
    given = (tiny_dataset / "dicom", "--no-dicom", "--calibration", path, "--output")
    assert predict(*given, tmp_path / "a").exit_code == 0
    settings = {"ckpt_path": str(fresh_weights), "image_size": 64, "calibration_path": str(path)}
    embedded = export(tmp_path / "model.onnx", **settings)
    assert predict(*given[:2], "--output", tmp_path / "b", weights=embedded).exit_code == 0
    assert table(tmp_path / "a") == table(tmp_path / "b")
    for row in table(tmp_path / "a"):
        raw, prob = (float(row[f"pneumonia_probability{end}"]) for end in ("_raw", ""))
        odds = (raw / (1 - raw)) ** 4
        assert prob == pytest.approx(odds / (1 + odds), abs=1e-4) and prob != raw
        assert row["threshold_source"] == "Youden's index on ten cases of ours"
        assert row["flags"] == "frontal_not_checked"
    write_calibration(replace(calibration, weights_sha256="0" * 64), path)
    result = predict(*given, tmp_path / "c")
    assert result.exit_code == 1 and "calibration is for weights_sha256 0000" in result.stderr


def test_what_the_picture_refuses_is_scored_if_forced(
    predict: Callable, radiographs: Path, own_network: Path, tmp_path: Path
) -> None:
    given = (radiographs / "noise.png", "--output")
    assert predict(*given, tmp_path / "a", weights=own_network).exit_code == 3
    assert predict(*given, tmp_path / "b", "--force", weights=own_network).exit_code == 0
    (refused,), (forced,) = table(tmp_path / "a"), table(tmp_path / "b")
    assert (refused["status"], refused["mask"]) == ("refused", "")
    assert forced["flags"] == f"forced:{refused['reason']}" and forced["mask"]
    assert float(refused["frontal_score"]) == float(forced["frontal_score"]) < 0.5


@pytest.mark.parametrize("content", [b"", b"no ONNX", None])
def test_a_file_that_is_no_exported_network_is_named_with_the_remedy(
    predict: Callable, tiny_dataset: Path, tmp_path: Path, content: bytes | None
) -> None:
    path = tmp_path / "model.onnx"
    if content is not None:
        path.write_bytes(content)
    result = predict(tiny_dataset / "dicom", "--output", tmp_path / "out", weights=path)
    assert result.exit_code == 1 and result.stderr.count("\n") == 1
    assert str(path) in result.stderr and "multimix export" in result.stderr
    assert not (tmp_path / "out").exists()


def test_an_onnx_network_of_others_or_of_another_format_is_refused(
    predict: Callable, fresh_network: Path, tiny_dataset: Path, tmp_path: Path
) -> None:
    model = onnx.load(fresh_network)
    entry = model.metadata_props[0]
    for change, told in (
        ({"value": entry.value.replace('"format": 1', '"format": 99')}, "not of format 1"),
        ({"value": "{}"}, "no settings of an exported network"),
        ({"key": "other"}, "none of multimix"),
    ):
        for name, value in change.items():
            setattr(entry, name, value)
        onnx.save(model, tmp_path / "model.onnx")
        words = (tiny_dataset / "dicom", "--output", tmp_path / "out")
        result = predict(*words, weights=tmp_path / "model.onnx")
        assert result.exit_code == 1 and told in result.stderr, result.output
        assert "model.onnx" in result.stderr and "multimix export" in result.stderr


def test_without_torch_it_is_said_how_to_predict_and_the_bundles_network_is_looked_for(
    tiny_dataset: Path, tmp_path: Path
) -> None:
    words = ("predict", tiny_dataset / "dicom", "--output", tmp_path / "out")
    done = without_torch(*words, cwd=tmp_path)
    assert done.returncode == 1 and "--runtime onnx" in done.stderr
    assert done.stderr.count("\n") == 1
    if not (MODELS / "model.onnx").exists():
        done = without_torch(*words, "--runtime", "onnx", cwd=tmp_path)
        assert done.returncode == 1 and done.stderr.count("\n") == 1
        assert "models/model.onnx does not exist" in done.stderr
        assert "multimix export" in done.stderr


def test_without_torch_help_and_doctor_work_and_doctor_says_what_is_missing() -> None:
    assert "--runtime" in without_torch("predict", "--help").stdout
    done = without_torch("doctor", "--json")
    assert done.returncode == 1
    (torch,) = [c for c in json.loads(done.stdout)["checks"] if c["group"] == "device"]
    assert torch["status"] == "failed" and "predict --runtime onnx" in torch["detail"]


def test_without_onnxruntime_it_is_said_what_to_install(
    predict: Callable, tiny_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    result = predict(tiny_dataset / "dicom", "--output", tmp_path)
    assert result.exit_code == 1 and "pip install" in result.stderr


def test_an_interruption_leaves_the_folder_to_be_gone_on_with(
    predict: Callable, tiny_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, calls = PredictCases.__call__, []

    def interrupt(self: PredictCases, cases: list[dict]) -> list[dict]:
        calls.append(len(cases))
        if len(calls) == 2:
            raise KeyboardInterrupt
        return asked(self, cases)

    given = (tiny_dataset / "images", "--output", tmp_path, "--set", "batch_size=6", "--show-bar")
    monkeypatch.setattr(predict_onnx.PredictCases, "__call__", interrupt)
    result = predict(*given)
    assert result.exit_code == 130 and "run the same command again to go on" in result.stderr
    assert not (tmp_path / ".lock").exists()
    result = predict(*given)
    assert result.exit_code == 0 and "12/12" in result.stderr
    assert [Path(row["input"]).stem for row in table(tmp_path)] == [
        f"case_{n:04d}" for n in range(1, 13)
    ]


@pytest.mark.slow
def test_a_killed_run_goes_on_without_redoing_what_is_done(
    fresh_network: Path, tiny_dataset: Path, tmp_path: Path
) -> None:
    (tmp_path / "in").mkdir()
    for n in range(150):
        shutil.copyfile(tiny_dataset / "images" / "case_0001.png", tmp_path / "in" / f"{n:03d}.png")
    words = ["predict", tmp_path / "in", "--output", tmp_path / "out", "--workers", "1"]
    words += ["--runtime", "onnx", "--weights", fresh_network, "--set", "batch_size=2"]
    process = subprocess.Popen(
        [sys.executable, "-c", WITHOUT, *map(str, words)], stderr=subprocess.PIPE
    )
    results = tmp_path / "out" / "results.jsonl"
    while not results.exists() or results.read_bytes().count(b"\n") < 10:
        assert process.poll() is None, process.stderr
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    done = [line for line in results.read_bytes().splitlines(keepends=True) if line[-1:] == b"\n"]
    assert 10 <= len(done) < 150
    second = without_torch(*words)
    assert second.returncode == 0, second.stderr
    assert results.read_bytes().splitlines(keepends=True)[: len(done)] == done
    assert len(table(tmp_path / "out")) == 150
