from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest
import torch
from typer.testing import CliRunner

from multimix_monai.apps import export_check
from multimix_monai.apps.bundle import own_bundle
from multimix_monai.apps.cli import app
from multimix_monai.apps.export import Form, export
from multimix_monai.apps.export_check import ALLOWED, Checked, Difference, ExportError
from multimix_monai.apps.export_formats import contents_of, load
from multimix_monai.data.calibration import weights_digest
from multimix_monai.data.exported import ONNX_KEY, read_exported
from multimix_monai.networks import onnx_graph

SIZE = 64


@pytest.fixture
def settings(fresh_weights: Path) -> dict[str, Any]:
    return {"ckpt_path": str(fresh_weights), "image_size": SIZE}


@pytest.mark.parametrize(
    "name", ["model.onnx", "model.ts", pytest.param("model.pt2", marks=pytest.mark.slow)]
)
def test_each_form_gives_what_pytorch_gives_at_any_batch_and_size_and_knows_its_settings(
    name: str, settings: dict[str, Any], tmp_path: Path
) -> None:
    form = {".onnx": Form.ONNX, ".ts": Form.TORCHSCRIPT, ".pt2": Form.TORCH_EXPORT}[name[5:]]
    lines = export(tmp_path / name, to=form, settings=settings)
    assert {line.shape for line in lines} == {(b, 1, SIZE, w) for b in (1, 3) for w in (64, 96)}
    run, text = load(form, tmp_path / name)
    assert read_exported(text).weights_sha256 == weights_digest(settings["ckpt_path"])
    assert read_exported(text).image_size == SIZE
    with torch.no_grad():
        assert run(torch.zeros(5, 1, 96, 128)).shape == (5, 4, 96, 128)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_monai_reads_the_torchscript_with_its_metadata_and_config(
    settings: dict[str, Any], tmp_path: Path
) -> None:
    from monai.data import load_net_with_metadata

    export(tmp_path / "model.ts", to=Form.TORCHSCRIPT, settings=settings)
    _, metadata, files = load_net_with_metadata(
        str(tmp_path / "model.ts"), more_extra_files=["inference.json"]
    )
    assert metadata["network_data_format"]["outputs"]["pred"]["num_channels"] == 4
    assert json.loads(files["inference.json"])["image_size"] == SIZE


def test_onnx_says_in_its_own_fields_what_it_is(settings: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    export(path, to=Form.ONNX, settings=settings)
    model = onnx.load(path)
    assert model.producer_name == "multimix-monai" and model.producer_version
    assert "not to be used for diagnostic purposes" in model.doc_string
    assert "arXiv:2110.13185" in model.doc_string
    assert json.loads(model.graph.input[0].doc_string)["value_range"] == [0, 1]
    assert ONNX_KEY in {prop.key for prop in model.metadata_props}
    assert path.stat().st_size < 25e6  # the model zoo's limit


def test_a_file_that_differs_from_pytorch_is_not_left_and_the_one_before_stays(
    settings: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "model.onnx"
    path.write_text("before")
    monkeypatch.setattr(onnx_graph, "SLOPE", 0.201)
    with pytest.raises(ExportError, match=r"at 1x1x64x96: mask_logits by \d\.\de-0\d, 1e-04 is"):
        export(path, to=Form.ONNX, settings=settings)
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("model.onnx", "before")]


def test_it_is_checked_on_the_radiographs_that_are_named(
    settings: dict[str, Any], tiny_dataset: Path, tmp_path: Path
) -> None:
    images = tiny_dataset / "images"
    lines = export(tmp_path / "m.onnx", to=Form.ONNX, settings=settings, check_on=[images])
    n_images = sum(line.images for line in lines if line.shape[-1] == SIZE)
    assert n_images == len(list(images.iterdir()))
    with pytest.raises(FileNotFoundError, match="no radiograph in"):
        export(tmp_path / "n.onnx", to=Form.ONNX, settings=settings, check_on=[tmp_path])


def test_a_calibration_and_a_check_of_other_weights_or_sizes_do_not_travel(
    settings: dict[str, Any], tmp_path: Path
) -> None:
    shipped = contents_of({}).exported
    for name in ("model.pt", "calibration.json"):  # without model.json, which would refuse
        shutil.copyfile(Path(own_bundle()) / "models" / name, tmp_path / name)
    assert shipped.calibration is not None and shipped.calibration.temperature != 1
    assert shipped.frontal_check is not None
    assert shipped.class_names == ("normal", "pneumonia")
    assert shipped.about["licence"] == "Apache-2.0"
    other_size = {"image_size": 192, "ckpt_path": str(tmp_path / "model.pt")}
    for changed in (other_size, {"ckpt_path": settings["ckpt_path"]}):
        exported = contents_of(changed).exported
        assert exported.calibration is None and exported.frontal_check is None


def test_without_a_name_the_file_is_called_model_and_stands_here(
    fresh_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["export", "--to", "onnx", "--weights", str(fresh_weights), "--image-size", str(SIZE)]
    assert CliRunner().invoke(app, words).exit_code == 0
    assert (tmp_path / "model.onnx").is_file()


def test_settings_of_the_command_line_travel(fresh_weights: Path, tmp_path: Path) -> None:
    words = ["export", str(tmp_path / "m.onnx"), "--to", "onnx", "--weights", str(fresh_weights)]
    words += ["--image-size", "64", "--set", "lung_threshold_prob=0.3"]
    words += ["--set", "quality_rules={area: [0.1, null]}"]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    assert "3x1x64x64" in done.output and "allowed" in done.output
    exported = read_exported(load(Form.ONNX, tmp_path / "m.onnx")[1])
    assert exported.lung_threshold_prob == 0.3
    assert exported.quality_rules["area"] == (0.1, None)


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["model.pt", "--to", "onnx"], "model.pt should end in .onnx, as files of --to onnx do"),
        (["m.onnx", "--to", "onnx", "--image-size", "100"], "image_size is 100"),
        (["m.onnx", "--to", "onnx", "--set", "percentiles=[0, 100]"], "percentiles are [0, 100]"),
        (["m.onnx", "--to", "onnx", "--weights", "none.pt"], "none.pt do not exist"),
        (["m.onnx", "--to", "onnx", "--calibration", "none.json"], "none.json does not exist"),
    ],
)
def test_what_cannot_be_exported_is_refused_before_the_work(words: list[str], reason: str) -> None:
    done = CliRunner().invoke(app, ["export", *words])
    assert done.exit_code == 1
    assert reason in done.output


def test_without_onnx_the_error_names_the_extra(
    settings: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for package in ("onnx", "onnxruntime"):
        with monkeypatch.context() as patch:
            patch.setitem(sys.modules, package, None)
            with pytest.raises(ImportError, match=r"multimix-monai\[onnx\]"):
                export(tmp_path / "model.onnx", to=Form.ONNX, settings=settings)


def packed(seg: float, saliency: float, normal: float, pneumonia: float) -> torch.Tensor:
    """(1, 4, 2, 2)."""
    values = torch.tensor([seg, saliency, normal, pneumonia], dtype=torch.float64)
    return values[None, :, None, None].repeat(1, 1, 2, 2)


def test_differences_are_parts_of_what_pytorch_gives() -> None:
    expected = packed(4, 2, 1, -8)
    got = packed(4.4, 2.02, 1, -8.08)
    got[0, 0, 0, 0] = -4
    found = export_check.difference(got, expected, mask_channels=1, threshold_prob=0.6)
    assert found == pytest.approx((2, 0.25, 0.01, 0.01))


@pytest.mark.parametrize("number", [2e-3, float("nan")])
def test_too_large_a_difference_and_what_is_no_number_are_refused(number: float) -> None:
    export_check.refuse([Checked((1, 1, 32, 32), 1, ALLOWED)])
    for name in Difference._fields:
        worst = ALLOWED._replace(**{name: number})
        with pytest.raises(ExportError, match=f"at 1x1x32x32: {name} by"):
            export_check.refuse([Checked((1, 1, 32, 32), 1, worst)])


@pytest.mark.slow
def test_the_shipped_network_is_exported_within_rounding_on_real_radiographs(
    shared_data: Callable[[str], Path], tmp_path: Path
) -> None:
    images = sorted((shared_data("montgomery") / "images").iterdir())[::20]
    lines = export(tmp_path / "model.onnx", to=Form.ONNX, check_on=images, settings={})
    for line in lines:
        assert line.worst.masks == 0
        assert max(line.worst.mask_logits, line.worst.class_logits) < 1e-5
