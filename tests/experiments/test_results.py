"""Finished runs as they lie in a folder: what was measured on which cases."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from multimix_monai.experiments.results import METRICS
from multimix_monai.experiments.table import write_tables


def write_run(output: Path, seed: int, **record: Any) -> None:
    """A run that learned masks, as the runner leaves it."""
    folder = output / "default" / "masks-10" / f"seed-{seed}"
    (folder / "evaluation").mkdir(parents=True)
    of_run = {"system": "default", "tasks": ["masks"], "masks": 10, "labels": None, "seed": seed}
    more = {"commit": "abc", "seconds": 60.0, **record}
    (folder / "run.json").write_text(json.dumps(of_run | more))
    masks = {name: {"mean": 0.9} for task, name in METRICS.values() if task == "masks"}
    metrics = {"masks": {"a": {"metrics": masks}}, "labels": {}}
    (folder / "evaluation" / "metrics.json").write_text(json.dumps(metrics))


@pytest.mark.parametrize(("development", "domain"), [(False, "in-domain"), (True, "development")])
def test_what_is_measured_on_training_patients_is_not_shown_as_the_test(
    tmp_path: Path, development: bool, domain: str
) -> None:
    write_run(tmp_path, 0, development=development)
    text = write_tables(tmp_path)
    assert [line for line in text.splitlines() if line.startswith("## ")] == [
        f"## {domain.capitalize()}"
    ]
    with (tmp_path / "table.csv").open(newline="") as file:
        assert {row["domain"] for row in csv.DictReader(file)} == {domain}
    assert (tmp_path / "dice.png").stat().st_size > 5000
