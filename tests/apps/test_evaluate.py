from __future__ import annotations

import csv
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from multimix_monai.apps import cli
from multimix_monai.apps.predict import predict
from multimix_monai.data.calibration import Calibration, weights_digest, write_calibration
from multimix_monai.data.datalist import load_part


@pytest.fixture
def evaluate(
    tiny_dataset: Path, fresh_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., object]:
    """`multimix evaluate` of fresh weights on the tiny dataset into tmp_path."""
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    monkeypatch.setattr(sys, "path", list(sys.path))

    def call(*words: object):  # type: ignore[no-untyped-def]
        options = ["--dataset-dir", tiny_dataset, "--datalist", tiny_dataset / "datalist.json"]
        options += ["--weights", fresh_weights, "--output", tmp_path, "--set", "image_size=64"]
        options += ["--set", "logging_file=false"]
        return CliRunner().invoke(cli.app, ["evaluate", *map(str, [*options, *words])])

    return call


@pytest.mark.slow
def test_evaluate_writes_the_report_of_the_test_part(evaluate: Callable, tmp_path: Path) -> None:
    result = evaluate()
    assert result.exit_code == 0, result.output
    assert "hausdorff95_px" in result.stdout and str(tmp_path) in result.stdout.replace("\n", "")
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert metrics["n_cases"] == 3
    assert metrics["threshold_source"] == "validation, Youden's index over 3 cases"
    for name in ("cases.csv", "report.md", "roc.png", "reliability.png", "dice.png"):
        assert (tmp_path / name).stat().st_size > 0
    for task in ("masks", "labels"):
        assert len(list((tmp_path / "worst" / task).glob("*.png"))) == 3
    assert (tmp_path / "refused.csv").read_text().splitlines() == ["case,source,message"]


@pytest.mark.slow
def test_a_given_threshold_needs_no_validation_and_part_is_an_option(
    evaluate: Callable, tmp_path: Path
) -> None:
    result = evaluate("--threshold", 0.4, "--part", "validation")
    assert result.exit_code == 0, result.output
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert (metrics["threshold_prob"], metrics["threshold_source"]) == (0.4, "given")


@pytest.mark.slow
def test_what_is_measured_are_the_probabilities_that_predict_gives(
    evaluate: Callable, fresh_weights: Path, tiny_dataset: Path, tmp_path: Path
) -> None:
    shutil.copyfile(fresh_weights, weights := tmp_path / "model.pt")
    calibration = Calibration(
        temperature=0.5, weights_sha256=weights_digest(weights), image_size=64
    )
    write_calibration(calibration, tmp_path / "calibration.json")
    result = evaluate("--weights", weights, "--output", tmp_path / "out")
    assert result.exit_code == 0, result.output
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert metrics["temperature"] == 0.5
    items = load_part(tiny_dataset / "datalist.json", "test", dataset_dir=tiny_dataset)
    cases = [{"image": item["image"], "case": item["case"]} for item in items]
    given = {"ckpt_path": str(weights), "image_size": 64, "output_dir": str(tmp_path / "predicted")}
    rows = predict(
        {"dataset#data": cases, "num_workers": 0, "dicom": False, "force": True, **given}
    )
    with (tmp_path / "out" / "cases.csv").open(newline="") as file:
        measured = [float(row["pneumonia_probability"]) for row in csv.DictReader(file)]
    assert measured == pytest.approx([row["pneumonia_probability"] for row in rows], abs=1e-4)


def test_an_unknown_part_is_one_line_that_lists_the_known(evaluate: Callable) -> None:
    result = evaluate("--part", "exam")
    assert result.exit_code == 1
    assert result.stderr.startswith("error: part is 'exam'")
    assert "test" in result.stderr


def test_a_threshold_outside_0_to_1_is_wrong_usage(evaluate: Callable) -> None:
    assert evaluate("--threshold", 2).exit_code == 2
