"""Engines: which case to annotate next, so that a mask drawn there helps most of the others.

A case helps those that look like it, and helps more where the network is unsure. With few
annotations a case stands for many others, so typical ones come first; with many it stands for few,
and the unsure ones come first. Nothing but names and numbers is read here, no image: the
choice among 1,000 cases takes a tenth of a second, and memory for a number a pair.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

# What is known of how unsure the network is of a case, by task.
MEASURES = {
    "mask": ("mask_doubt", "mask_disagreement"),
    "class": ("class_doubt", "class_disagreement"),
}
TINY = 1e-6  # of the mean squared distance: what is nearer is the same picture, but for rounding


class Informativeness(NamedTuple):
    """What the choice needs to know of one case.

    Plain numbers, so that they can be kept in a file: all of a pool must come from one network.

    Attributes:
        uncertainty: the values of MEASURES by name, each at least 0; without a network empty.
        features: (D,), near each other for cases that look alike.
    """

    uncertainty: Mapping[str, float]
    features: NDArray[np.float32] | Sequence[float]


def next_cases(
    pool: Mapping[str, Informativeness],
    *,
    annotated: Collection[str] = (),
    count: int = 1,
    class_weight: float = 1.0,
) -> list[str]:
    """Names of the cases to annotate next, the most informative first.

    Greedily, each case adds the most to the uncertainty that annotated cases cover: the sum over
    the pool of uncertainty times likeness to the nearest annotated case. The order of the pool
    does not matter, and the same pool gives the same cases.

    Args:
        pool: case -> what is known of it, annotated cases too, so that their like is not chosen.
        annotated: names of those that are done; one that is not in the pool covers nothing.
        count: how many to choose; fewer are left, all of them.
        class_weight: of the class's uncertainty beside the mask's; 0 where no class is annotated.

    Raises:
        ValueError: no case is left, count is below 1, class_weight is below 0, or a case's numbers
            are not finite or not as many as those of others.

    Source: Uncertainty Herding, ICLR 2025 (arXiv 2412.20644); without uncertainty MaxHerding, ECCV
        2024 (2407.12212), both in the line of typical cases at first (TypiClust, ICML 2022,
        2202.02794) and of coverage (CoreSet, ICLR 2018, 1708.00489), whose farthest-first choice
        takes broken pictures first. BADGE (ICLR 2020, 1906.03671) joins both by gradients.
    Differs: the reach of a case is not fixed nor learnt, see `likeness`.
    """
    done = set(annotated)
    names = sorted(pool)
    is_done = np.array([name in done for name in names], dtype=bool)
    if count < 1 or class_weight < 0:
        raise ValueError(
            f"count is {count} and class_weight {class_weight}; at least 1 and 0 are needed"
        )
    if is_done.all():
        raise ValueError(
            f"no case is left to annotate: {len(names)} are known and all of them are annotated; "
            "add images"
        )
    cases = [pool[name] for name in names]
    like = likeness(_features(names, cases), centres=int(is_done.sum()) + count)
    weights = uncertainty(cases, class_weight=class_weight)
    return [names[n] for n in herd(like, weights, is_done=is_done, count=count)]


def uncertainty(
    cases: Sequence[Informativeness], *, class_weight: float = 1.0
) -> NDArray[np.float32]:
    """How unsure the network is of each case, (n,), 1 on average a measure; 1 where none is known.

    Each measure is divided by its mean over the pool, so that the two tasks weigh the same, what is
    ten times as unsure stays so, and a head that was never trained, equally unsure of all, changes
    nothing.
    """
    total = np.zeros(len(cases), dtype=np.float32)
    for task, weight in (("mask", 1.0), ("class", class_weight)):
        for name in MEASURES[task]:
            values = np.array([c.uncertainty.get(name, 0.0) for c in cases], dtype=np.float32)
            if values.any():
                total += weight * values / values.mean()
    return total if total.any() else np.ones_like(total)


def likeness(features: NDArray[np.float32], *, centres: int) -> NDArray[np.float32]:
    """How much an annotation of one case tells of another, (n, n) in [0, 1], 1 for itself.

    A Gaussian of their distance. Its reach is such that so many centres could share the pool: the
    median distance of a case to the farthest of its n / centres nearest.

    Args:
        features: (n, D).
        centres: how many cases will be annotated.
    """
    n = len(features)
    centred = features - features.mean(axis=0)
    norms = np.einsum("nd,nd->n", centred, centred)
    squared = np.maximum(norms[:, None] + norms - 2 * centred @ centred.T, 0)
    np.fill_diagonal(squared, 0)
    rank = min(max(1, n // centres), n - 1)
    reach = float(np.median(np.partition(squared, rank, axis=1)[:, rank]))
    smallest = TINY * float(squared.mean())
    squared[squared <= smallest] = 0
    return np.exp(-squared / (max(reach, smallest) or 1.0))


def herd(
    like: NDArray[np.float32],
    weights: NDArray[np.float32],
    *,
    is_done: NDArray[np.bool_],
    count: int,
) -> list[int]:
    """Indices that one after the other add most to sum_x weights[x] * max_{c chosen} like[c, x].

    The sum is submodular, so that greedy choice reaches at least 1 - 1/e of the best.

    Args:
        like: (n, n), of candidate and covered case.
        weights: (n,), at least 0.
        is_done: (n,), which cover already.
        count: how many to choose; of cases that add the same, the first.
    """
    covered = like[is_done].max(axis=0, initial=0)
    left = np.flatnonzero(~is_done)
    chosen: list[int] = []
    while len(chosen) < count and left.size:
        added = np.maximum(like[left] - covered, 0) @ weights
        best = int(added.argmax())
        chosen.append(int(left[best]))
        covered = np.maximum(covered, like[chosen[-1]])
        left = np.delete(left, best)
    return chosen


def _features(names: Sequence[str], cases: Sequence[Informativeness]) -> NDArray[np.float32]:
    """(n, D), checked together with the measures."""
    size = len(cases[0].features)
    for name, case in zip(names, cases, strict=True):
        numbers = np.array([*case.uncertainty.values(), np.sum(case.features)])
        if len(case.features) != size or not np.isfinite(numbers).all():
            raise ValueError(
                f"{name}: {len(case.features)} features, {dict(case.uncertainty)}; there must be "
                f"{size} features and all finite: compute them anew, with the others' network"
            )
    return np.array([case.features for case in cases], dtype=np.float32)
