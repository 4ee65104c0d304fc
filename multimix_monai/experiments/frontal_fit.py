"""Experiments: from many pictures that the network has seen to the parameters of the check."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold
from sklearn.svm import SVC

from multimix_monai.arrays.frontal_model import (
    FRONTAL,
    NOT_CHEST,
    REASONS,
    Array,
    FrontalModel,
    project,
    standard,
)

N_MODES = 40
LIKENESS = 0.003  # scikit-learn's gamma
MARGIN_COST = 10.0  # scikit-learn's C of the support vector machine
REASON_COST = 0.05  # and that of the logistic regression
N_FOLDS = 4
DIGITS = 5  # significant, in the file


class Seen(NamedTuple):
    """Pictures as the network sees them, one an entry."""

    views: Array  # (N, V)
    measures: dict[str, Array]  # each (N,)
    kinds: list[str]
    groups: list[int]  # the same of pictures that were made of one radiograph

    def frontal(self) -> NDArray[np.bool_]:
        """(N,)."""
        return np.array([kind == FRONTAL for kind in self.kinds])

    def chosen(self, wanted: NDArray[np.intp]) -> Seen:
        """Those at the indices."""
        return Seen(
            self.views[wanted],
            {name: values[wanted] for name, values in self.measures.items()},
            [self.kinds[i] for i in wanted.tolist()],
            [self.groups[i] for i in wanted.tolist()],
        )


def fit_frontal_model(
    seen: Seen,
    *,
    image_size: int,
    weights_sha256: str,
    accepted: float,
    fitted_on: Mapping[str, Any],
) -> FrontalModel:
    """The model, with its threshold chosen on radiographs that it was not fitted on.

    Args:
        seen: frontal chests and others, of each of REASONS some.
        image_size: side of the network's input.
        weights_sha256: of the network's weights.
        accepted: share of frontal chests that the threshold lets pass, in (0, 1).
        fitted_on: noted in the file, beside counts and what cross-validation gave.

    Raises:
        ValueError: accepted is no share, or a kind of pictures is missing.
    """
    if not 0 < accepted < 1:
        raise ValueError(f"accepted is {accepted}; it must lie in (0, 1), such as 0.995")
    missing = {FRONTAL, *REASONS[:-1]} - set(seen.kinds)
    if missing or len(set(seen.groups)) < N_FOLDS:
        raise ValueError(
            f"{len(set(seen.groups))} radiographs, none of them {', '.join(sorted(missing))}: "
            "fit on more radiographs"
        )
    model = _fitted(seen)
    votes = _held_out_votes(seen)
    slope, offset = _logistic(votes[:, None], seen.frontal())
    model = replace(model, slope=_short(slope.item()), offset=_short(offset.item()))
    scores = expit(model.slope * votes + model.offset)
    threshold_prob = _short(float(np.quantile(scores[seen.frontal()], 1 - accepted)))
    return replace(
        model,
        image_size=image_size,
        weights_sha256=weights_sha256,
        threshold_prob=threshold_prob,
        fitted_on={
            **fitted_on,
            "pictures": dict(Counter(seen.kinds)),
            "accepted_held_out": _rates(seen.kinds, scores >= threshold_prob),
        },
    )


def _rates(kinds: list[str], accepted: NDArray[np.bool_]) -> dict[str, float]:
    """Share of each kind's pictures that pass. accepted: (N,)."""
    names = np.array(kinds)
    return {k: round(float(accepted[names == k].mean()), 4) for k in Counter(kinds)}


def _held_out_votes(seen: Seen) -> Array:
    """Sum of votes for each picture by a model of the other folds' radiographs: (N,)."""
    votes = np.zeros(len(seen.kinds), dtype=np.float32)
    for fit, held in GroupKFold(N_FOLDS).split(seen.views, groups=seen.groups):
        rest, model = seen.chosen(held), _fitted(seen.chosen(fit))
        votes[held] = model.votes(model.numbers(rest.views, rest.measures))
    return votes


def _fitted(seen: Seen) -> FrontalModel:
    """A model whose score is not yet a probability and has no threshold."""
    frontal = seen.frontal()
    view_mean = seen.views[frontal].mean(axis=0)
    modes = np.linalg.svd(seen.views[frontal] - view_mean, full_matrices=False)[2][:N_MODES]
    told = np.stack(list(seen.measures.values()), axis=1)
    numbers = np.concatenate([project(seen.views, view_mean, modes), told], axis=1)
    centre, spread = numbers[frontal].mean(axis=0), _spread(numbers[frontal])
    numbers = standard(numbers, centre, spread)
    machine = SVC(C=MARGIN_COST, gamma=LIKENESS).fit(numbers, frontal)
    reason_votes, reason_prior = _reasons(numbers[~frontal], seen.chosen(np.flatnonzero(~frontal)))
    return FrontalModel(
        image_size=0,
        weights_sha256="",
        threshold_prob=0.5,
        measures=list(seen.measures),
        view_mean=_short(view_mean.tolist()),
        modes=_short(modes.tolist()),
        centre=_short(centre.tolist()),
        spread=_short(spread.tolist()),
        examples=_short(machine.support_vectors_.tolist()),
        likeness=LIKENESS,
        example_votes=_short(machine.dual_coef_[0].tolist()),
        prior=_short(machine.intercept_[0].item()),
        slope=1.0,
        offset=0.0,
        reason_votes=_short(reason_votes.tolist()),
        reason_prior=_short(reason_prior.tolist()),
        fitted_on={},
    )


def _reasons(numbers: Array, others: Seen) -> tuple[Array, Array]:
    """Votes (reasons, 2 N) and priors (reasons,); a kind that is no reason is no chest."""
    reasons = [REASONS.index(k if k in REASONS else NOT_CHEST) for k in others.kinds]
    return _logistic(np.concatenate([numbers, np.square(numbers)], axis=1), np.array(reasons))


def _logistic(inputs: Array, classes: NDArray[np.generic]) -> tuple[Array, Array]:
    """Logistic regression on standardised inputs, whose scale is then taken back."""
    mean, scale = inputs.mean(axis=0), _spread(inputs)
    fitted = LogisticRegression(C=REASON_COST, max_iter=1000).fit((inputs - mean) / scale, classes)
    votes = (fitted.coef_ / scale).astype(np.float32)
    return votes, (fitted.intercept_ - votes @ mean).astype(np.float32)


def _spread(numbers: Array) -> Array:
    """Standard deviation of each column, at least a little. numbers: (N, K) -> (K,)."""
    return np.maximum(numbers.std(axis=0, ddof=1), 1e-6)


def _short(value: Any) -> Any:
    """A number, or lists of them, with few digits."""
    return [_short(v) for v in value] if isinstance(value, list) else float(f"{value:.{DIGITS}g}")
