"""Path of data, measuring: the results of all cases become one summary by task and source."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from multimix_monai.metrics.bootstrap import Interval, patient_bootstrap_all
from multimix_monai.metrics.classification import label_metrics

CONFIDENCE = 0.95
ALL = "all"  # the summary of several sources together
NO_INTERVAL = Interval(math.nan, math.nan)


@dataclass(frozen=True)
class CaseResult:
    """What the network said about one case, beside what is known about it.

    Args:
        case: identifier, unique within its source.
        source: the dataset.
        patient: key of the patient; without it the image counts as its own patient.
        part: the part of the dataset, if it has any.
        label: 0 normal, 1 pneumonia, None if unknown.
        prob: probability of pneumonia, in [0, 1].
        metrics: of the mask, by name (`multimix_monai.metrics.mask_metrics`); empty if no mask is
            known.
    """

    case: str
    source: str
    patient: str | None = None
    part: str | None = None
    label: int | None = None
    prob: float | None = None
    metrics: dict[str, float] = field(default_factory=dict)


def summarise(
    results: Sequence[CaseResult], *, threshold_prob: float, n_resamples: int = 1000, seed: int = 0
) -> dict[str, Any]:
    """Each metric with its spread and its interval by bootstrap over patients.

    Args:
        results: all cases, of any sources.
        threshold_prob: probability from which a case is called pneumonia, in [0, 1].
        n_resamples: of the bootstrap.
        seed: of the bootstrap.

    Returns:
        ``n_cases``, ``n_patients``; ``masks`` and ``labels`` by source (and ``all`` of them, where
        there are several), empty where none is known; ``notes``, sentences on what is missing.
        Numbers without a value are nan. The calibration error has no interval: each resample adds
        noise to the bins, and the percentiles of such errors lie above the error itself.

    Raises:
        ValueError: if there are no results, or two of one source share their name.
    """
    _check(results)
    return {
        "n_cases": len(results),
        "n_patients": len({patient_key(r) for r in results}),
        "masks": _by_source(with_mask(results), lambda part: _masks(part, n_resamples, seed)),
        "labels": _by_source(
            with_label(results), lambda part: _labels(part, threshold_prob, n_resamples, seed)
        ),
        "notes": _notes(results),
    }


def _check(results: Sequence[CaseResult]) -> None:
    if not results:
        raise ValueError("there are no results to report: no case was evaluated")
    seen: set[tuple[str, str]] = set()
    for result in results:
        if (result.source, result.case) in seen:
            raise ValueError(
                f"case {result.case} of source {result.source} occurs twice; each case may be "
                "reported once: look for duplicates in the datalist"
            )
        seen.add((result.source, result.case))


def with_mask(results: Sequence[CaseResult]) -> list[CaseResult]:
    """Cases whose mask was measured."""
    return [r for r in results if r.metrics]


def with_label(results: Sequence[CaseResult]) -> list[CaseResult]:
    """Cases with a label and a probability."""
    return [r for r in results if r.label is not None and r.prob is not None]


def patient_key(result: CaseResult) -> tuple[str, str, bool]:
    """A key by which images of one patient are drawn together; patients belong to a source."""
    known = result.patient is not None
    return result.source, str(result.patient if known else result.case), known


def _by_source(
    results: list[CaseResult], summary: Callable[[list[CaseResult]], dict[str, Any]]
) -> dict[str, dict[str, Any]]:
    """Summaries by source, that of all together first where there are several."""
    sources = dict.fromkeys(r.source for r in results)
    parts = {source: [r for r in results if r.source == source] for source in sources}
    if len(parts) > 1:
        parts = {ALL: results, **parts}
    return {
        source: {
            "n_cases": len(part),
            "n_patients": len({patient_key(r) for r in part}),
            **summary(part),
        }
        for source, part in parts.items()
    }


def _masks(results: list[CaseResult], n_resamples: int, seed: int) -> dict[str, Any]:
    names = list(dict.fromkeys(name for r in results for name in r.metrics))
    values = np.array([[r.metrics.get(name, math.nan) for name in names] for r in results])
    intervals = patient_bootstrap_all(
        lambda cases: dict(zip(names, _known_means(values[cases]), strict=True)),
        [patient_key(r) for r in results],
        n_resamples=n_resamples,
        seed=seed,
        confidence=CONFIDENCE,
    )
    metrics = {}
    for column, (name, mean) in enumerate(zip(names, _known_means(values), strict=True)):
        known = values[~np.isnan(values[:, column]), column]
        std = float(known.std(ddof=1)) if len(known) > 1 else math.nan
        metrics[name] = {
            "mean": mean,
            "std": std,
            **intervals[name]._asdict(),
            "n_cases": len(known),
        }
    return {"metrics": metrics}


def _known_means(values: np.ndarray) -> np.ndarray:
    """Means of columns over what is not nan; nan where nothing is."""
    known = ~np.isnan(values)
    n_known = known.sum(axis=0)
    sums = np.where(known, values, 0.0).sum(axis=0)
    return np.divide(sums, n_known, out=np.full(len(sums), math.nan), where=n_known > 0)


def _labels(
    results: list[CaseResult], threshold_prob: float, n_resamples: int, seed: int
) -> dict[str, Any]:
    probs, labels = label_arrays(results)

    def statistics(cases: np.ndarray) -> dict[str, float]:
        return label_metrics(probs[cases], labels[cases], threshold_prob=threshold_prob)

    intervals = patient_bootstrap_all(
        statistics,
        [patient_key(r) for r in results],
        n_resamples=n_resamples,
        seed=seed,
        confidence=CONFIDENCE,
    )
    intervals["calibration_error"] = NO_INTERVAL
    values = statistics(np.arange(len(results)))
    called = probs >= threshold_prob
    return {
        "n_normal": int((labels == 0).sum()),
        "n_pneumonia": int((labels == 1).sum()),
        "confusion": {
            "true_negative": int((~called & (labels == 0)).sum()),
            "false_positive": int((called & (labels == 0)).sum()),
            "false_negative": int((~called & (labels == 1)).sum()),
            "true_positive": int((called & (labels == 1)).sum()),
        },
        "metrics": {
            name: {"value": value, **intervals[name]._asdict(), "n_cases": len(results)}
            for name, value in values.items()
        },
    }


def label_arrays(results: Iterable[CaseResult]) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities float (N,) and labels int (N,) of labelled cases."""
    pairs = [(r.prob, r.label) for r in results]
    return np.array([p for p, _ in pairs], dtype=float), np.array([y for _, y in pairs], dtype=int)


def _notes(results: Sequence[CaseResult]) -> list[str]:
    masked, labels = with_mask(results), {r.label for r in with_label(results)}
    notes = []
    if not masked:
        notes.append("No case has a reference mask: nothing is said about masks.")
    if not labels:
        notes.append("No case has a label and a probability: nothing is said about labels.")
    elif len(labels) == 1:
        only = "pneumonia" if 1 in labels else "normal"
        notes.append(f"All labels are {only}: AUC and what else needs both classes has no value.")
    n_without = sum(math.isnan(r.metrics.get("hausdorff_px", 0.0)) for r in masked)
    if n_without:
        notes.append(
            f"Masks without distances, since the prediction or the reference is empty: {n_without} "
            f"of {len(masked)}. The means of distances leave them out."
        )
    return notes
