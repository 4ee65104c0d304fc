"""Path of data, last stop: results of all cases become a report that a person can read and check.

`write_report` fills a folder: metrics.json, cases.csv, report.md, plots, the worst cases as
pictures. Patients appear as numbers only.
"""

from __future__ import annotations

import csv
import json
import logging
import math
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from multimix_monai.data.keys import CLASSES
from multimix_monai.metrics.summary import (
    CONFIDENCE,
    CaseResult,
    patient_key,
    summarise,
    with_label,
    with_mask,
)

if TYPE_CHECKING:
    from rich.table import Table

PLOTS = ("dice", "roc", "reliability", "confusion")
logger = logging.getLogger(__name__)


class Row(NamedTuple):
    """One line of the tables: a metric of one source."""

    task: str  # masks or labels
    source: str
    metric: str
    value: float | None
    low: float | None
    high: float | None
    n_cases: int


def write_report(
    results: Sequence[CaseResult],
    *,
    output: Path,
    threshold_prob: float,
    threshold_source: str,
    temperature: float = 1.0,
    picture: Callable[[CaseResult], np.ndarray] | None = None,
    n_worst: int = 10,
    n_resamples: int = 1000,
    seed: int = 0,
) -> dict[str, Any]:
    """Write the evaluation's folder and return what metrics.json holds.

    - metrics.json: per task and source the cases, patients, and each metric with its 95 % interval
      by bootstrap over patients. What has no value is null.
    - cases.csv: a row a case. Patients are numbered in order of appearance: the key itself may
      name a person, and a hash of it can be undone by trying all keys.
    - roc.png, reliability.png, confusion.png (labels), dice.png (masks), report.md.
    - worst/masks and worst/labels: the cases of lowest Dice, and those whose probability is
      farthest from their label, the worst first.

    With no masks or no labels it writes what there is and says so under ``notes``.

    Args:
        results: all cases, of any sources.
        output: folder, made if missing; a former report's files in it are replaced.
        threshold_prob: probability from which a case is called pneumonia, in [0, 1].
        threshold_source: where the threshold comes from, such as "validation, Youden's index".
        temperature: of the calibration that the probabilities have had; 1 is none.
        picture: draws a case as uint8 (H, W, 3); without it no worst cases are drawn. A case that
            it cannot draw (OSError, ValueError) is logged and left out.
        n_worst: pictures a task.
        n_resamples: of the bootstrap.
        seed: of the bootstrap.

    Raises:
        ValueError: if there are no results, or two of one source share their name.
    """
    report = {
        "threshold_prob": threshold_prob,
        "threshold_source": threshold_source,
        "temperature": temperature,
        "confidence": CONFIDENCE,
        "n_resamples": n_resamples,
        "seed": seed,
        **summarise(results, threshold_prob=threshold_prob, n_resamples=n_resamples, seed=seed),
    }
    report = _plain(report)
    output.mkdir(parents=True, exist_ok=True)
    text = json.dumps(report, indent=2, allow_nan=False)
    (output / "metrics.json").write_text(text + "\n", encoding="utf-8")
    _write_cases(results, output / "cases.csv", threshold_prob=threshold_prob)
    plots = _write_plots(results, report, output)
    worst = _write_worst(results, output / "worst", picture=picture, n_worst=n_worst)
    (output / "report.md").write_text(_markdown(report, plots=plots, worst=worst), encoding="utf-8")
    return report


def summary_table(report: dict[str, Any]) -> Table:
    """The report's numbers as a table for the console."""
    from rich.table import Table

    table = Table("task", "source", "metric", title="Evaluation")
    for column in ("value", "95 % interval", "cases"):
        table.add_column(column, justify="right")
    former: tuple[str, str] | None = None
    for row in _rows(report):
        group = (row.task, row.source)
        if former not in (None, group):
            table.add_section()
        names = group if group != former else ("", "")
        table.add_row(*names, row.metric, *_cells(row))
        former = group
    return table


def _plain(value: Any) -> Any:
    """Numbers and containers that JSON knows; nan and infinity become None."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float | np.floating):
        return float(value) if math.isfinite(value) else None
    return value


def _rows(report: dict[str, Any]) -> Iterator[Row]:
    for task, key in (("masks", "mean"), ("labels", "value")):
        for source, summary in report[task].items():
            for metric, entry in summary["metrics"].items():
                numbers = (entry[key], entry["low"], entry["high"])
                yield Row(task, source, metric, *numbers, entry["n_cases"])


def _cells(row: Row) -> tuple[str, str, str]:
    digits = 2 if row.metric.endswith(("_px", "_mm")) else 3
    value = "none" if row.value is None else f"{row.value:.{digits}f}"
    if row.low is None or row.high is None:
        return value, "none", str(row.n_cases)
    return value, f"{row.low:.{digits}f} to {row.high:.{digits}f}", str(row.n_cases)


def _markdown(
    report: dict[str, Any], *, plots: Sequence[str], worst: dict[str, dict[str, str]]
) -> str:
    lines = [
        "# Evaluation",
        "",
        f"{report['n_cases']} cases of {report['n_patients']} patients. Pneumonia from a "
        f"probability of {report['threshold_prob']:.3f} ({report['threshold_source']}). "
        f"Temperature of the probabilities {report['temperature']:.3f}. "
        f"Intervals: 95 %, {report['n_resamples']} resamples of patients.",
        *(f"\n**{note}**" for note in report["notes"]),
        "",
        "| task | source | metric | value | 95 % interval | cases |",
        "|---|---|---|---:|---:|---:|",
    ]
    for row in _rows(report):
        lines.append(f"| {row.task} | {row.source} | {row.metric} | {' | '.join(_cells(row))} |")
    lines += ["", *(f"![{name}]({name}.png)" for name in plots)]
    for task, names in worst.items():
        lines += ["", f"## Worst {task}", ""]
        lines += [f"- [{name}](worst/{task}/{name}.png), {said}" for name, said in names.items()]
    return "\n".join(lines) + "\n"


def _write_cases(results: Sequence[CaseResult], path: Path, *, threshold_prob: float) -> None:
    metrics = list(dict.fromkeys(name for r in results for name in r.metrics))
    number = {patient: i for i, patient in enumerate(dict.fromkeys(map(patient_key, results)), 1)}
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        head = ["case", "source", "part", "patient", "label", "pneumonia_probability"]
        writer.writerow([*head, "pneumonia_label", *metrics])
        for r in results:
            called = None if r.prob is None else int(r.prob >= threshold_prob)
            row = [r.case, r.source, r.part, number[patient_key(r)], r.label, r.prob, called]
            writer.writerow(map(_plain, [*row, *(r.metrics.get(name) for name in metrics)]))


def _write_plots(results: Sequence[CaseResult], report: dict[str, Any], output: Path) -> list[str]:
    """Draw what the results allow; returns the plots' names. Plots of a former report go."""
    from multimix_monai.apps import plots

    figures = {}
    if report["masks"]:
        figures["dice"] = plots.dice_plot(with_mask(results), report["masks"])
    if report["labels"]:
        labelled = with_label(results)
        figures["roc"] = plots.roc_plot(labelled, report)
        figures["reliability"] = plots.reliability_plot(labelled, report["labels"])
        figures["confusion"] = plots.confusion_plot(report["labels"])
    for name in PLOTS:
        (output / f"{name}.png").unlink(missing_ok=True)
    for name, figure in figures.items():
        figure.savefig(output / f"{name}.png", dpi=150)
    return list(figures)


def _write_worst(
    results: Sequence[CaseResult],
    folder: Path,
    *,
    picture: Callable[[CaseResult], np.ndarray] | None,
    n_worst: int,
) -> dict[str, dict[str, str]]:
    """Draw the worst cases of each task; the pictures' names, worst first, and why they are."""
    for former in folder.glob("*/[0-9][0-9]_*.png"):
        former.unlink()
    if picture is None:
        return {}
    written: dict[str, dict[str, str]] = {}
    for task, cases in (("masks", _worst_masks(results)), ("labels", _worst_labels(results))):
        for rank, result in enumerate(cases[:n_worst], 1):
            name = f"{rank:02d}_{re.sub(r'[^A-Za-z0-9.-]+', '_', result.case)[:80]}"
            try:
                _save(picture(result), folder / task / f"{name}.png")
            except (OSError, ValueError) as error:
                logger.warning("case %s could not be drawn: %s", result.case, error)
            else:
                written.setdefault(task, {})[name] = _why(result, task)
    return written


def _why(result: CaseResult, task: str) -> str:
    if task == "masks":
        return f"Dice {result.metrics['dice']:.3f}"
    return f"pneumonia {result.prob:.3f}, is {CLASSES[int(result.label or 0)]}"


def _save(pixels: np.ndarray, path: Path) -> None:
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def _worst_masks(results: Sequence[CaseResult]) -> list[CaseResult]:
    known = [r for r in results if not math.isnan(r.metrics.get("dice", math.nan))]
    return sorted(known, key=lambda r: r.metrics["dice"])


def _worst_labels(results: Sequence[CaseResult]) -> list[CaseResult]:
    return sorted(with_label(results), key=lambda r: -abs((r.prob or 0.0) - (r.label or 0)))
