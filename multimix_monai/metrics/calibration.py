"""Path of data, measuring: does a pneumonia probability of 0.8 mean 8 of 10?"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike


class Reliability(NamedTuple):
    """What was said and what came true, by bins of the probability; nan in empty bins."""

    mean_prob: np.ndarray  # (bins,) mean probability given to the bin's cases
    positive_rate: np.ndarray  # (bins,) part of the bin's cases that have pneumonia
    n_cases: np.ndarray  # (bins,)


def reliability_curve(probs: ArrayLike, labels: ArrayLike, *, bins: int = 15) -> Reliability:
    """Observed rate of pneumonia against its predicted probability, in bins of equal width.

    Args:
        probs: (N,), in [0, 1], probability of label 1. A bin holds its lower edge; the last also 1.
        labels: (N,), 0 or 1.
        bins: number of bins, at least 1.

    Raises:
        ValueError: if the arrays are empty, differ in length or leave their range.
    """
    probs, labels = checked(probs, labels)
    if bins < 1:
        raise ValueError(f"bins is {bins}; at least 1 is needed")
    index = np.minimum((probs * bins).astype(int), bins - 1)
    count = np.bincount(index, minlength=bins)
    filled = np.where(count > 0, count, np.nan)
    return Reliability(
        mean_prob=np.bincount(index, weights=probs, minlength=bins) / filled,
        positive_rate=np.bincount(index, weights=labels, minlength=bins) / filled,
        n_cases=count,
    )


def expected_calibration_error(probs: ArrayLike, labels: ArrayLike, *, bins: int = 15) -> float:
    """Mean distance of predicted probability and observed rate, weighted by the bins' cases.

    Args:
        probs: (N,), in [0, 1], probability of label 1.
        labels: (N,), 0 or 1.
        bins: number of bins of equal width.

    Returns:
        0 (each bin comes true as often as said) to 1 (sure, and always wrong).

    Raises:
        ValueError: as `reliability_curve`.

    Source: Guo et al., ICML 2017, equation 3.
    Differs: bins the probability of pneumonia, not of the winning class: the number on the
    report is the former, and a normal case of 0.1 counts as a statement too.
    """
    curve = reliability_curve(probs, labels, bins=bins)
    gaps = np.abs(curve.positive_rate - curve.mean_prob)
    return float(np.nansum(gaps * curve.n_cases) / curve.n_cases.sum())


def checked(probs: ArrayLike, labels: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities (N,) as float64 and labels (N,) as int, or an error that says what is wrong.

    Raises:
        ValueError: if the arrays are empty, differ in shape, are not 1-D or leave their range.
    """
    p, y = np.asarray(probs, dtype=np.float64), np.asarray(labels)
    if p.ndim != 1 or p.shape != y.shape or p.size == 0:
        raise ValueError(
            f"probs has shape {p.shape} and labels {y.shape}; both must be (N,) with N at least 1"
        )
    if not np.all((p >= 0) & (p <= 1)):
        raise ValueError(
            f"probs lie in [{p.min()}, {p.max()}]; probabilities of pneumonia in [0, 1] are "
            "expected: apply softmax to logits first"
        )
    if not np.all((y == 0) | (y == 1)):
        raise ValueError(f"labels are {np.unique(y).tolist()}; only 0 (normal) and 1 (pneumonia)")
    return p, y.astype(int)
