"""Weights of a run go into a bundle with all that belongs to them, or not at all."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from multimix_monai.apps.calibrate import run_network
from multimix_monai.apps.predict import parser_of
from multimix_monai.apps.synth import synth_command
from multimix_monai.data.calibration import weights_digest
from multimix_monai.data.datalist import load_part
from multimix_monai.data.trained_as import write_trained_as
from multimix_monai.experiments.grid import Grid
from multimix_monai.experiments.publish import datalist_of, finished, publish
from multimix_monai.experiments.record import RunFailed
from multimix_monai.experiments.runner import Place, run_grid
from multimix_monai.metrics import log_odds

pytestmark = pytest.mark.slow
BUNDLE = Path(__file__).parents[2] / "bundle"
SETTINGS = {
    "image_size": 64,
    "max_epochs": 1,
    "steps_per_epoch": 2,
    "val_interval": 1,
    "fused": False,
    "batch_sizes": {
        "mask_labelled": 2,
        "mask_unlabelled": 0,
        "label_labelled": 2,
        "label_unlabelled": 0,
    },
}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    synth_command(folder / "drawn", cases=70, seed=0, size=74, dicom=0)
    return folder


def trained(data: Path, output: Path, *, validation: float) -> Path:
    """The folder of a finished run."""
    grid = Grid(
        sources=["folder=drawn"],
        systems={"default": {}},
        masks=["all"],
        labels=["all"],
        seeds=[0],
        test=["folder=0.1"],
        validation=validation,
        settings=SETTINGS,
    )
    place = Place(output, data)
    assert [error for _, error in run_grid(grid, grid.runs(), place=place)] == [""]
    return place.folder(grid.runs()[0])


@pytest.fixture(scope="module")
def run(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = trained(data, tmp_path_factory.mktemp("runs"), validation=0.5)
    label_as_it_says(folder, data)
    return folder


def label_as_it_says(run: Path, data: Path) -> None:
    """Two steps teach nothing: make what the weights say, spread out, the labels, but for four."""
    path, weights = datalist_of(finished(run)), run / "models" / "model.pt"
    items = load_part(path, "validation", dataset_dir=data)
    cases, _ = run_network(items, {"ckpt_path": str(weights), "image_size": 64})
    z = log_odds(np.stack([case["raw_probs"] for case in cases]))
    state = torch.load(weights, weights_only=True)
    for name in ("encoder.classifier.weight", "encoder.classifier.bias"):
        state[name] *= 5 / z.std()
    state["encoder.classifier.bias"][1] -= float(np.median(z) * 5 / z.std())
    torch.save(state, weights)
    write_trained_as(weights, {"image_size": 64})
    centred = z - np.median(z)
    labels = (centred > 0).astype(int)
    labels[np.argsort(np.abs(centred))[:4]] ^= 1
    said = {case["case"]: int(label) for case, label in zip(cases, labels, strict=True)}
    content = json.loads(path.read_text())
    for item in content["validation"]:
        item["label"] = said[item["case"]]
    path.write_text(json.dumps(content))


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """A copy of the bundle that predicts at 64 pixels."""
    copy = shutil.copytree(BUNDLE, tmp_path / "bundle")
    path = copy / "configs" / "inference.json"
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, "image_size": 64}))
    return copy


def bytes_of(bundle: Path) -> dict[str, bytes]:
    return {
        path.name: path.read_bytes() for path in (bundle / "models").glob("*.*") if path.is_file()
    }


def test_the_bundle_has_the_weights_what_was_fitted_to_them_and_where_they_come_from(
    data: Path, run: Path, bundle: Path
) -> None:
    publish(run, dataset_dir=data, bundle=bundle, radiographs=20)
    weights = (bundle / "models" / "model.pt").read_bytes()
    assert weights == (run / "models" / "model.pt").read_bytes()
    digest = hashlib.sha256(weights).hexdigest()
    beside = ("calibration.json", "frontal_check.json", "model.json", "provenance.json")
    for name in beside:
        content = json.loads((bundle / "models" / name).read_text())
        assert content["weights_sha256"] == digest, name
    assert {path.name for path in (bundle / "models").iterdir()} == {
        *("model.pt", *beside),
        "few_annotations",
    }
    content = json.loads((bundle / "models" / "provenance.json").read_text())
    assert len(content["data_hash"]) == 64 and content["seed"] == 0
    assert 0 <= content["figures"]["in-domain"]["Dice"] <= 1
    assert "--dataset-dir DATA" in content["commands"][0]
    assert str(data) not in json.dumps(content) and str(run.parents[2]) not in json.dumps(content)


def test_weights_beside_the_bundle_s_own_are_used_with_what_was_fitted_to_them(
    data: Path, run: Path, bundle: Path
) -> None:
    before = bytes_of(bundle)
    publish(run, dataset_dir=data, bundle=bundle, folder="few", radiographs=20)
    assert bytes_of(bundle) == before
    weights = bundle / "models" / "few" / "model.pt"
    parser = parser_of({"ckpt_path": str(weights), "image_size": 64, "dataset#data": []})
    assert parser.get_parsed_content("calibration").weights_sha256 == weights_digest(weights)
    check = parser.get_parsed_content("checks")[0]
    assert check.model.weights_sha256 == weights_digest(weights)


def test_what_cannot_be_calibrated_is_not_published(
    data: Path, run: Path, tmp_path: Path, bundle: Path
) -> None:
    before = bytes_of(bundle)
    few = shutil.copytree(run.parents[2], tmp_path / "few") / run.relative_to(run.parents[2])
    path = datalist_of(finished(few))
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, "validation": content["validation"][:5]}))
    with pytest.raises(RunFailed, match=r"\d (normal|pneumonia)"):
        publish(few, dataset_dir=data, bundle=bundle)
    assert bytes_of(bundle) == before


def test_another_size_and_an_unfinished_run_are_refused(
    data: Path, run: Path, bundle: Path
) -> None:
    with pytest.raises(ValueError, match="trained with image_size 64, not 160"):
        publish(run, dataset_dir=data, bundle=BUNDLE)
    with pytest.raises(FileNotFoundError, match=r"holds no run\.json"):
        publish(run.parent, dataset_dir=data, bundle=bundle)
