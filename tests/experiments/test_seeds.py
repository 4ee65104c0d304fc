"""Runs of several seeds become one row."""

import json
from pathlib import Path

import pytest

from multimix_monai.experiments.seeds import figures, parse, table


def write_run(folder: Path, *, dice: float, auc: float | None) -> Path:
    """A run's metrics.json as `write_report` lays it out."""
    masks = {"dice": {"mean": dice}, "hausdorff95_px": {"mean": 10.0}}
    labels = {m: {"value": auc} for m in ("auc", "accuracy", "calibration_error")}
    content = {
        "masks": {"a": {"metrics": masks}},
        "labels": {"b": {"metrics": labels}} if auc is not None else {},
    }
    report = folder / "evaluation" / "metrics.json"
    report.parent.mkdir(parents=True)
    report.write_text(json.dumps(content))
    return folder


def test_a_row_holds_mean_and_sample_spread_over_seeds(tmp_path: Path) -> None:
    runs = [
        write_run(tmp_path / str(i), dice=d, auc=a)
        for i, (d, a) in enumerate([(0.95, 0.9), (0.97, 0.94)])
    ]
    row = table({"default": runs}).splitlines()[-1]
    auc = "0.920 ± 0.028"
    assert row == f"| default | 2 | 0.960 ± 0.014 | 10.0 ± 0.0 | {auc} | {auc} | {auc} |"


def test_a_task_that_was_not_measured_has_no_figure(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", dice=0.95, auc=None)
    assert set(figures(run / "evaluation" / "metrics.json")) == {"Dice", "HD95 px"}
    assert table({"masks only": [run]}).splitlines()[-1].endswith("| none | none | none |")


def test_a_run_that_was_not_evaluated_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="evaluate the run first"):
        table({"default": [tmp_path / "missing"]})


def test_folders_that_the_shell_spread_belong_to_the_name_before() -> None:
    assert parse(["a=r/0", "r/1", "b=s/0"]) == {"a": [Path("r/0"), Path("r/1")], "b": [Path("s/0")]}
    with pytest.raises(ValueError, match="belongs to no system"):
        parse(["r/0"])
