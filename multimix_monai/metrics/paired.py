"""Path of data, measuring: is one system better than another on the same cases?"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from multimix_monai.metrics.bootstrap import Interval, patient_bootstrap

Statistic = Callable[[NDArray[np.float64]], float]  # of how often each case counts, (N,)


class Difference(NamedTuple):
    """Of two systems' figures, with its confidence interval."""

    value: float
    interval: Interval

    @property
    def is_clear(self) -> bool:
        """Whether the interval leaves 0 out."""
        return self.interval.low > 0 or self.interval.high < 0


def paired_difference(
    pairs: Sequence[tuple[Statistic, Statistic]],
    patients: Sequence[Hashable],
    *,
    n_resamples: int = 1000,
    seed: int = 0,
    confidence: float = 0.95,
) -> Difference:
    """The mean over seeds of ours minus theirs, with an interval by bootstrap over patients.

    Both systems are measured on the same resample, so what is hard for both drops out.

    Args:
        pairs: one a seed, (ours, theirs), each the figure where case i counts weights[i] times.
        patients: (N,), of the cases, which are the same for all.
        n_resamples, seed, confidence: see `patient_bootstrap`.

    Raises:
        ValueError: there are no pairs, besides what `patient_bootstrap` raises.
    """
    if not pairs:
        raise ValueError("there is no seed that both systems were run with: nothing to compare")

    def mean(weights: NDArray[np.float64]) -> float:
        return float(np.mean([ours(weights) - theirs(weights) for ours, theirs in pairs]))

    n = len(patients)
    interval = patient_bootstrap(
        lambda cases: mean(np.bincount(cases, minlength=n).astype(float)),
        patients,
        n_resamples=n_resamples,
        seed=seed,
        confidence=confidence,
    )
    return Difference(mean(np.ones(n)), interval)


def weighted_mean(values: ArrayLike) -> Statistic:
    """Of values (N,), such as each case's Dice; nan are left out."""
    known = np.asarray(values, dtype=float)
    there = ~np.isnan(known)

    def statistic(weights: NDArray[np.float64]) -> float:
        total = weights[there].sum()
        return float(known[there] @ weights[there] / total) if total else math.nan

    return statistic


def weighted_auc(probs: ArrayLike, labels: ArrayLike) -> Statistic:
    """Area under the ROC curve; nan where a class has no weight.

    The cases are sorted once, so that a resample takes a sum and not a sort, as it does in
    scikit-learn.

    Args:
        probs: (N,), of class 1.
        labels: (N,), 0 or 1.
    """
    levels, level = np.unique(np.asarray(probs, dtype=float), return_inverse=True)
    positive = np.asarray(labels) == 1

    def statistic(weights: NDArray[np.float64]) -> float:
        ill = np.bincount(level, weights=weights * positive, minlength=len(levels))
        well = np.bincount(level, weights=weights * ~positive, minlength=len(levels))
        below = np.cumsum(well) - well / 2  # ties count one half
        possible = ill.sum() * well.sum()
        return float(ill @ below / possible) if possible else math.nan

    return statistic
