"""Arrays: how likely it is that a picture, as seen from its lungs, is a frontal chest radiograph.

A view is the mean frontal chest, plus a few modes, ways in which chests differ, plus what is left,
which is how unlike any chest it is. By these numbers and the measures, each in standard deviations
from frontal chests, a picture is compared with examples of what is a chest and what is none. What
is none gets its reason from a logistic regression on the same numbers and their squares.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

Array = NDArray[np.float32]

FRONTAL = "frontal"
NOT_CHEST = "not_frontal_chest"
REASONS = ("rotated_90", "rotated_180", "rotated_270", "inverted", NOT_CHEST)
FURTHEST = 6.0  # standard deviations; beyond, further makes no difference
REMEDY = "fit it with `python -m multimix_monai.experiments.frontal_check fit`"


@dataclass(frozen=True)
class FrontalModel:
    """A support vector machine for frontal or not, a logistic regression for the reason.

    Plain lists, as the JSON has them; N = M + 2 + measures is the number of numbers.

    Attributes:
        image_size: side of the network's input that it was fitted at.
        weights_sha256: of the file of the network's weights that it was fitted to.
        threshold_prob: a picture whose probability is at or above it is a frontal chest.
        measures: names of the measures, in order; see `lung_measures.lung_measures`.
        view_mean: (V,), mean view of frontal chests, see `lung_view.lung_views`.
        modes: (M, V), orthonormal.
        centre: (N,), mean of each number among frontal chests.
        spread: (N,), standard deviation.
        examples: (E, N), support vectors.
        likeness: how fast likeness falls with the squared distance from an example.
        example_votes: (E,), above 0 for frontal.
        prior: what is added to the votes.
        slope, offset: from the sum of votes to the logit of the probability.
        reason_votes: (reasons, 2 N), of each number and of its square.
        reason_prior: (reasons,).
        fitted_on: what it was fitted on, for people.
    """

    image_size: int
    weights_sha256: str
    threshold_prob: float
    measures: list[str]
    view_mean: list[float]
    modes: list[list[float]]
    centre: list[float]
    spread: list[float]
    examples: list[list[float]]
    likeness: float
    example_votes: list[float]
    prior: float
    slope: float
    offset: float
    reason_votes: list[list[float]]
    reason_prior: list[float]
    fitted_on: dict[str, Any]

    def numbers(self, views: Array, measures: Mapping[str, Array]) -> Array:
        """views (B, V) and measures, each (B,) -> (B, N) in standard deviations."""
        told = np.stack([measures[name] for name in self.measures], axis=1)
        shares = project(views, self._array("view_mean"), self._array("modes"))
        numbers = np.concatenate([shares, told], axis=1)
        return standard(numbers, self._array("centre"), self._array("spread"))

    def votes(self, numbers: Array) -> Array:
        """Sum of the examples' votes, above 0 for frontal: (B, N) -> (B,)."""
        a, b = (np.asarray(x, dtype=np.float64) for x in (numbers, self.examples))
        distance = np.square(a).sum(axis=1)[:, None] + np.square(b).sum(axis=1) - 2 * a @ b.T
        return np.exp(-self.likeness * distance) @ self._array("example_votes") + self.prior

    def score(self, numbers: Array) -> Array:
        """Probability of a frontal chest: (B, N) -> (B,)."""
        return expit(self.slope * self.votes(numbers) + self.offset)

    def reasons(self, numbers: Array) -> list[str]:
        """The likeliest of REASONS for each picture that is no frontal chest. numbers: (B, N)."""
        inputs = np.concatenate([numbers, np.square(numbers)], axis=1)
        logits = inputs @ self._array("reason_votes").T + self._array("reason_prior")
        return [REASONS[i] for i in logits.argmax(axis=1)]

    def _array(self, name: str) -> Array:
        return np.array(getattr(self, name), dtype=np.float32)


def project(views: Array, mean: Array, modes: Array) -> Array:
    """Share of each mode, and root mean square of what is left of the picture and of the lungs.

    views: (B, V), mean: (V,), modes: (M, V) -> (B, M + 2).

    Source: distance in and from feature space, Moghaddam and Pentland, IEEE TPAMI 19 (1997) 696.
    """
    shares = (views - mean) @ modes.T
    left = views - mean - shares @ modes
    rest = np.sqrt(np.square(left.reshape(len(left), 2, -1)).mean(axis=2))
    return np.concatenate([shares, rest], axis=1)


def standard(numbers: Array, centre: Array, spread: Array) -> Array:
    """In standard deviations from frontal chests, at most FURTHEST. numbers: (B, N)."""
    return np.clip((numbers - centre) / spread, -FURTHEST, FURTHEST)


def load_frontal_model(path: str | Path) -> FrontalModel:
    """Read what `experiments.frontal_check fit` wrote.

    Raises:
        ValueError: there is no such file, or it is none.
    """
    try:
        return FrontalModel(**json.loads(Path(path).read_text(encoding="utf-8")))
    except (OSError, TypeError, ValueError) as error:
        raise ValueError(
            f"{path} holds no parameters of the frontal check ({error}): {REMEDY}"
        ) from error


def save_frontal_model(model: FrontalModel, path: str | Path) -> None:
    """Write the JSON, an attribute a line."""
    lines = [f" {json.dumps(key)}: {json.dumps(value)}" for key, value in asdict(model).items()]
    Path(path).write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
