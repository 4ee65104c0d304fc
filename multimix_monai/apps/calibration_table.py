"""Apps: what `multimix calibrate` shows of a calibration, before and after, with intervals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import typer
from rich import box
from rich.console import Console
from rich.table import Table

from multimix_monai.data.calibration import Calibration
from multimix_monai.metrics import (
    Interval,
    calibrated,
    label_metrics,
    negative_log_likelihood,
    patient_bootstrap_all,
)

FEW_OF_EACH = 50  # of normal and of pneumonia; below, threshold and intervals are rough
NAMES = {
    "negative_log_likelihood": "negative log-likelihood",
    "calibration_error": "calibration error",
    "brier": "Brier score",
    "auc": "AUC",
    "sensitivity": "sensitivity at the threshold",
    "specificity": "specificity at the threshold",
}
OF_THRESHOLD = ("sensitivity", "specificity")


def table(
    logits: Any,
    labels: Any,
    patients: Sequence[Any],
    *,
    calibration: Calibration,
    n_resamples: int = 1000,
) -> dict[str, tuple[float, float, Interval]]:
    """Each number before and after, and the latter's interval by bootstrap over patients."""

    def measures(cases: np.ndarray, temperature: float) -> dict[str, float]:
        z, y = logits[cases], labels[cases]
        probs = calibrated(z, temperature=temperature)
        numbers = label_metrics(probs, y, threshold_prob=calibration.threshold_prob)
        numbers["negative_log_likelihood"] = negative_log_likelihood(z / temperature, y)
        return {name: numbers[name] for name in NAMES}

    everyone = np.arange(len(labels))
    before, after = (measures(everyone, t) for t in (1.0, calibration.temperature))
    intervals = patient_bootstrap_all(
        lambda cases: measures(cases, calibration.temperature), patients, n_resamples=n_resamples
    )
    return {name: (before[name], after[name], intervals[name]) for name in NAMES}


def show(calibration: Calibration, numbers: dict[str, tuple[float, float, Interval]]) -> None:
    """The table on the console, and a warning where the cases are few."""
    negatives = calibration.cases - calibration.positives
    console = Console()
    console.print(
        f"{calibration.cases} cases, {calibration.positives} with pneumonia: "
        f"temperature {calibration.temperature:.3f}, threshold {calibration.threshold_prob:.4f} "
        f"({calibration.criterion})"
    )
    console.print(_rich_table(numbers))
    console.print("Measured on the very cases that were fitted: expect a little less on others.")
    if min(calibration.positives, negatives) < FEW_OF_EACH:
        typer.echo(
            f"warning: only {negatives} normal and {calibration.positives} pneumonia cases; below "
            f"{FEW_OF_EACH} of each the threshold and the intervals are rough: add cases",
            err=True,
        )


def _rich_table(numbers: dict[str, tuple[float, float, Interval]]) -> Table:
    shown = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for heading in ("", "as given", "calibrated", "95 % interval"):
        shown.add_column(heading, justify="right" if heading else "left", no_wrap=True)
    for name, (before, after, interval) in numbers.items():
        shown.add_row(
            NAMES[name],
            "" if name in OF_THRESHOLD else f"{before:.4f}",
            f"{after:.4f}",
            # Of the error's bins each resample makes more noise: its interval would mislead.
            "" if name == "calibration_error" else f"{interval.low:.4f} to {interval.high:.4f}",
        )
    return shown
