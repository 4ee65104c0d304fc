"""Experiments: figures of one or several networks, with their intervals by patients."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from multimix_monai.metrics import Interval, patient_bootstrap_all

Numbers = NDArray[np.float64]
Cases = NDArray[np.intp]  # indices of cases, with repeats in a resample
Statistic = Callable[[Cases], Mapping[str, Numbers]]  # by name, (K,): a figure a network


class Estimate(NamedTuple):
    """A figure: its mean over networks, the interval of this mean, and the figure of each."""

    value: float
    interval: Interval
    each: tuple[float, ...]

    @property
    def spread(self) -> float:
        """Standard deviation over networks, of a sample; nan of one."""
        return float(np.std(self.each, ddof=1)) if len(self.each) > 1 else math.nan

    def as_dict(self) -> dict[str, Any]:
        """For JSON; what has no value is None."""
        low, high = self.interval
        named = {"value": self.value, "low": low, "high": high, "spread": self.spread}
        known = {name: value if math.isfinite(value) else None for name, value in named.items()}
        return known | {"by_weights": [x if math.isfinite(x) else None for x in self.each]}

    def __str__(self) -> str:
        if not math.isfinite(self.value):
            return "none"
        spread = f" ± {self.spread:.3f}" if math.isfinite(self.spread) else ""
        low, high = self.interval
        return f"{self.value:.3f}{spread} ({low:.3f} to {high:.3f})"


class Bootstrap(NamedTuple):
    """How intervals are made."""

    n_resamples: int = 1000
    seed: int = 0

    def __call__(self, statistic: Statistic, patients: Sequence[Hashable]) -> dict[str, Estimate]:
        """Estimates by name; an interval is that of the mean over networks, patients redrawn."""
        found = statistic(np.arange(len(patients)))
        intervals = patient_bootstrap_all(
            lambda cases: {name: float(each.mean()) for name, each in statistic(cases).items()},
            patients,
            n_resamples=self.n_resamples,
            seed=self.seed,
        )
        return {
            name: Estimate(float(each.mean()), intervals[name], tuple(map(float, each)))
            for name, each in found.items()
        }

    def chance(self, labels: NDArray[np.int_], strata: NDArray[Any] | None = None) -> Estimate:
        """The AUC of random scores of these very cases: between its ends nothing is shown."""
        scores = np.random.default_rng(self.seed).random((self.n_resamples, len(labels)))
        low, high = np.quantile(auc(scores, labels, strata=strata), [0.025, 0.975])
        return Estimate(0.5, Interval(float(low), float(high)), (0.5,))


def auc(
    scores: NDArray[np.floating], labels: NDArray[np.int_], *, strata: NDArray[Any] | None = None
) -> Numbers:
    """How often a case with pneumonia scores higher than a normal one; ties count half.

    Args:
        scores: (K, N).
        labels: (N,), 0 normal, 1 pneumonia.
        strata: (N,); only cases of one stratum are compared, such as those of one view, so that
            what tells the strata apart is of no use. None compares all.

    Returns:
        (K,), nan where there is nothing to compare.

    Source: Hanley and McNeil, Radiology 143 (1982).
    """
    wins, pairs = np.zeros(len(scores)), 0
    for value in [None] if strata is None else np.unique(strata):
        own = slice(None) if value is None else strata == value
        ill = labels[own] == 1
        n_ill, n_normal = int(ill.sum()), int((~ill).sum())
        ranks = rankdata(scores[:, own], axis=1)
        wins += ranks[:, ill].sum(axis=1) - n_ill * (n_ill + 1) / 2
        pairs += n_ill * n_normal
    return wins / pairs if pairs else np.full(len(scores), math.nan)


def aucs(
    scores: Mapping[str, NDArray[np.floating]],
    labels: NDArray[np.int_],
    *,
    strata: NDArray[Any] | None = None,
) -> Statistic:
    """The AUC of each of several scores. scores: (K, N) by name; K may differ."""
    ends = np.cumsum([len(part) for part in scores.values()])[:-1]
    stacked = np.concatenate(list(scores.values()))

    def statistic(cases: Cases) -> dict[str, Numbers]:
        own = None if strata is None else strata[cases]
        found = auc(stacked[:, cases], labels[cases], strata=own)
        return dict(zip(scores, np.split(found, ends), strict=True))

    return statistic


def differences(
    scores: Mapping[str, NDArray[np.floating]],
    labels: NDArray[np.int_],
    pairs: Mapping[str, tuple[str, str]],
) -> Statistic:
    """AUC of one score less that of another, on the same cases. pairs: by the result's name."""
    of_all = aucs(scores, labels)

    def statistic(cases: Cases) -> dict[str, Numbers]:
        found = of_all(cases)
        return {name: found[one] - found[other] for name, (one, other) in pairs.items()}

    return statistic


def rank_correlations(
    scores: Mapping[str, NDArray[np.floating]], reference: NDArray[np.floating]
) -> Statistic:
    """Spearman's, network by network, with the reference; nan of what is constant. All (K, N)."""

    def statistic(cases: Cases) -> dict[str, Numbers]:
        wanted = _standardised(reference[:, cases])
        return {
            name: (_standardised(part[:, cases]) * wanted).mean(axis=1)
            for name, part in scores.items()
        }

    return statistic


def _standardised(scores: NDArray[np.floating]) -> Numbers:
    ranks = rankdata(scores, axis=1)
    spread = ranks.std(axis=1, keepdims=True)
    centred: Numbers = ranks - ranks.mean(axis=1, keepdims=True)
    return np.divide(centred, spread, out=np.full_like(centred, math.nan), where=spread > 0)
