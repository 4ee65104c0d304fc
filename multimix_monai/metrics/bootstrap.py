"""Path of data, measuring: how far a number could be off, had other patients come."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np


class Interval(NamedTuple):
    """A confidence interval; both ends are nan where there is none."""

    low: float
    high: float


def patient_bootstrap(
    statistic: Callable[[np.ndarray], float],
    patients: Sequence[Hashable],
    *,
    n_resamples: int = 1000,
    seed: int = 0,
    confidence: float = 0.95,
) -> Interval:
    """Confidence interval of one number, by resampling patients.

    A patient is drawn with all its images: images of one patient resemble each other, and
    drawing them one by one would make the interval too narrow.

    Args:
        statistic: takes the indices of a resample's cases (int array, sorted, with repeats) and
            returns the number, or nan where it has none (an AUC without a normal case); such
            resamples are left out.
        patients: (N,), the patient of each case.
        n_resamples: how often to draw.
        seed: of the draws; the same seed gives the same interval.
        confidence: in (0, 1).

    Returns:
        The percentile interval; nan with fewer than two patients.

    Raises:
        ValueError: if there are no patients, n_resamples is below 1 or confidence not in (0, 1).

    Source: Efron and Tibshirani, An Introduction to the Bootstrap (1993), chapter 13.
    """
    return patient_bootstrap_all(
        lambda cases: {"statistic": statistic(cases)},
        patients,
        n_resamples=n_resamples,
        seed=seed,
        confidence=confidence,
    )["statistic"]


def patient_bootstrap_all(
    statistics: Callable[[np.ndarray], Mapping[str, float]],
    patients: Sequence[Hashable],
    *,
    n_resamples: int = 1000,
    seed: int = 0,
    confidence: float = 0.95,
) -> dict[str, Interval]:
    """As `patient_bootstrap`, for several numbers by name, all from the same resamples."""
    _check(len(patients), n_resamples=n_resamples, confidence=confidence)
    draws = [statistics(cases) for cases in _resamples(patients, n=n_resamples, seed=seed)]
    if len(set(patients)) < 2:
        return {name: Interval(math.nan, math.nan) for name in draws[0]}
    return {
        name: _percentiles(np.array([draw[name] for draw in draws]), confidence=confidence)
        for name in draws[0]
    }


def _check(n_cases: int, *, n_resamples: int, confidence: float) -> None:
    if n_cases == 0:
        raise ValueError("patients is empty; the bootstrap needs at least one case")
    if n_resamples < 1:
        raise ValueError(f"n_resamples is {n_resamples}; at least 1 is needed, 1000 is usual")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence is {confidence}; it must lie in (0, 1), such as 0.95")


def _resamples(patients: Sequence[Hashable], *, n: int, seed: int) -> Iterator[np.ndarray]:
    """Indices of the cases of as many patients as there are, drawn with replacement, n times."""
    number = {patient: i for i, patient in enumerate(dict.fromkeys(patients))}
    patient_of_case = np.array([number[patient] for patient in patients])
    cases, rng = np.arange(len(patients)), np.random.default_rng(seed)
    for _ in range(n):
        times_drawn = np.bincount(
            rng.integers(len(number), size=len(number)), minlength=len(number)
        )
        yield np.repeat(cases, times_drawn[patient_of_case])


def _percentiles(values: np.ndarray, *, confidence: float) -> Interval:
    known = values[~np.isnan(values)]
    if known.size == 0:
        return Interval(math.nan, math.nan)
    tail = (1 - confidence) / 2
    low, high = np.quantile(known, [tail, 1 - tail])
    return Interval(float(low), float(high))
