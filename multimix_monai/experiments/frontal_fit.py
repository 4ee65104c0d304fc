"""Experiments: from many pictures that the network has seen to the parameters of the check."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold
from sklearn.svm import SVC
from torch import Tensor

from multimix_monai.engines.frontal_model import (
    FRONTAL,
    NOT_CHEST,
    REASONS,
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

    views: Tensor  # (N, V)
    measures: dict[str, Tensor]  # each (N,)
    kinds: list[str]
    groups: list[int]  # the same of pictures that were made of one radiograph

    def frontal(self) -> Tensor:
        """bool (N,)."""
        return torch.tensor([kind == FRONTAL for kind in self.kinds])

    def chosen(self, wanted: Tensor) -> Seen:
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
    scores = (model.slope * votes + model.offset).sigmoid()
    threshold_prob = _short(scores[seen.frontal()].quantile(1 - accepted).item())
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


def _rates(kinds: list[str], accepted: Tensor) -> dict[str, float]:
    """Share of each kind's pictures that pass. accepted: bool (N,)."""
    names = np.array(kinds)
    return {k: round(float(accepted.numpy()[names == k].mean()), 4) for k in Counter(kinds)}


def _held_out_votes(seen: Seen) -> Tensor:
    """Sum of votes for each picture by a model of the other folds' radiographs: (N,)."""
    votes = torch.zeros(len(seen.kinds))
    for fit, held in GroupKFold(N_FOLDS).split(seen.views, groups=seen.groups):
        rest = seen.chosen(torch.from_numpy(held))
        model = _fitted(seen.chosen(torch.from_numpy(fit)))
        votes[torch.from_numpy(held)] = model.votes(model.numbers(rest.views, rest.measures))
    return votes


def _fitted(seen: Seen) -> FrontalModel:
    """A model whose score is not yet a probability and has no threshold."""
    frontal = seen.frontal()
    view_mean = seen.views[frontal].mean(dim=0)
    modes = torch.linalg.svd(seen.views[frontal] - view_mean, full_matrices=False)[2][:N_MODES]
    told = torch.stack(list(seen.measures.values()), dim=1)
    numbers = torch.cat([project(seen.views, view_mean, modes), told], dim=1)
    centre, spread = numbers[frontal].mean(dim=0), numbers[frontal].std(dim=0).clamp(min=1e-6)
    numbers = standard(numbers, centre, spread)
    machine = SVC(C=MARGIN_COST, gamma=LIKENESS).fit(numbers.numpy(), frontal.numpy())
    reason_votes, reason_prior = _reasons(numbers[~frontal], seen.chosen(torch.where(~frontal)[0]))
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


def _reasons(numbers: Tensor, others: Seen) -> tuple[Tensor, Tensor]:
    """Votes (reasons, 2 N) and priors (reasons,); a kind that is no reason is no chest."""
    reasons = [REASONS.index(k if k in REASONS else NOT_CHEST) for k in others.kinds]
    return _logistic(torch.cat([numbers, numbers.square()], dim=1), torch.tensor(reasons))


def _logistic(inputs: Tensor, classes: Tensor) -> tuple[Tensor, Tensor]:
    """Logistic regression on standardised inputs, whose scale is then taken back."""
    mean, scale = inputs.mean(dim=0), inputs.std(dim=0).clamp(min=1e-6)
    fitted = LogisticRegression(C=REASON_COST, max_iter=1000).fit(
        ((inputs - mean) / scale).numpy(), classes.numpy()
    )
    votes = torch.from_numpy(fitted.coef_).float() / scale
    return votes, torch.from_numpy(fitted.intercept_).float() - votes @ mean


def _short(value: Any) -> Any:
    """A number, or lists of them, with few digits."""
    return [_short(v) for v in value] if isinstance(value, list) else float(f"{value:.{DIGITS}g}")
