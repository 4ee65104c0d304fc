"""Experiments, third: the finished runs of a grid, as they lie in its output folder."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from multimix_monai.experiments.runner import DONE

IN_DOMAIN = "in-domain"
DEVELOPMENT = "development"  # patients that are not those of the test
EXTERNAL = "external-"
# Metric -> the task and the name in metrics.json, in the order of the paper's table.
METRICS = {
    "accuracy": ("labels", "accuracy"),
    "F1 normal": ("labels", "f1_normal"),
    "F1 pneumonia": ("labels", "f1_pneumonia"),
    "AUC": ("labels", "auc"),
    "ECE": ("labels", "calibration_error"),
    "Dice": ("masks", "dice"),
    "HD px": ("masks", "average_hausdorff_px"),
    "HD95 px": ("masks", "hausdorff95_px"),
    "SSIM": ("masks", "ssim"),
}


@dataclass(frozen=True)
class Case:
    """What one run said about one test case."""

    patient: str
    label: int | None
    prob: float
    dice: float  # nan without a mask


@dataclass(frozen=True)
class Result:
    """A finished run."""

    folder: Path
    record: Mapping[str, Any]  # run.json

    @property
    def key(self) -> tuple[str, Any, Any]:
        """What its seeds have in common: system, masks, labels."""
        return self.record["system"], self.record["masks"], self.record["labels"]

    @property
    def seed(self) -> int:
        """Of weights, order and choice of annotated cases."""
        return int(self.record["seed"])

    @property
    def own(self) -> str:
        """Domain of the cases that the run's datalist holds back."""
        return DEVELOPMENT if self.record.get("development") else IN_DOMAIN

    @cached_property
    def reports(self) -> dict[str, Path]:
        """Domain -> folder of its report."""
        external = sorted(self.folder.glob(f"{EXTERNAL}*"))
        names = {path.name.removeprefix(EXTERNAL): path for path in external}
        return {self.own: self.folder / "evaluation", **names}

    def figures(self, domain: str) -> dict[str, float]:
        """Metric -> value of what the run learned and the domain knows."""
        content = json.loads((self.reports[domain] / "metrics.json").read_text(encoding="utf-8"))
        found = {}
        for metric, (task, name) in METRICS.items():
            sources = content[task] if task in self.record["tasks"] else {}
            source = sources.get("all") or next(iter(sources.values()), None)
            if source is not None:
                statistic = source["metrics"][name]
                value = statistic.get("mean", statistic.get("value"))
                found[metric] = math.nan if value is None else value
        return found

    def cases(self, domain: str) -> dict[tuple[str, str], Case]:
        """(source, case) -> what was said of it."""
        with (self.reports[domain] / "cases.csv").open(newline="", encoding="utf-8") as file:
            return {(row["source"], row["case"]): case_of(row) for row in csv.DictReader(file)}


def case_of(row: Mapping[str, str]) -> Case:
    """Of a line of cases.csv."""
    return Case(
        patient=f"{row['source']}/{row['patient'] or row['case']}",
        label=int(row["label"]) if row["label"] else None,
        prob=float(row["pneumonia_probability"] or math.nan),
        dice=float(row.get("dice") or math.nan),
    )


def load_results(output: Path) -> list[Result]:
    """All finished runs below a folder.

    Raises:
        FileNotFoundError: there is none.
    """
    found = [
        Result(path.parent, json.loads(path.read_text(encoding="utf-8")))
        for path in sorted(output.glob(f"*/*/*/{DONE}"))
    ]
    if not found:
        raise FileNotFoundError(
            f"{output} holds no finished run: start one with `python -m multimix_monai.experiments "
            "run GRID --output FOLDER`"
        )
    return found


def by_key(results: Sequence[Result]) -> dict[tuple[str, Any, Any], list[Result]]:
    """(system, masks, labels) -> its seeds, in the order of rows."""
    groups: dict[tuple[str, Any, Any], list[Result]] = {}
    for result in sorted(results, key=lambda r: (*map(amount, r.key[1:]), r.seed)):
        groups.setdefault(result.key, []).append(result)
    return groups


def amount(budget: int | str | None) -> float:
    """Of a budget, to sort by."""
    return math.inf if budget == "all" else -1.0 if budget is None else float(budget)
