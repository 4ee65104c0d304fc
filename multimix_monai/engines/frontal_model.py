"""Engines: how likely it is that a picture, as seen from its lungs, is a frontal chest radiograph.

A small model that can be read: a view is the mean frontal chest plus a few modes, ways in which
chests differ, plus what is left, which is how unlike any chest it is. Each of these and of the
measures, and its square, votes for each class.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

FRONTAL = "frontal"
NOT_CHEST = "not_frontal_chest"
CLASSES = (FRONTAL, "rotated_90", "rotated_180", "rotated_270", "inverted", NOT_CHEST)
_FURTHEST = 8.0  # standard deviations; beyond, further makes no difference


@dataclass(frozen=True)
class FrontalModel:
    """A multinomial logistic regression on named numbers; plain lists, as the JSON has them.

    Attributes:
        image_size: side of the network's input that it was fitted at.
        weights_sha256: of the file of the network's weights that it was fitted to.
        threshold_prob: of FRONTAL; a picture at or above it is one.
        measures: names of the measures, in order; see `transforms.lung_view.lung_measures`.
        view_mean: (V,), mean view of frontal chests, see `transforms.lung_view.lung_views`.
        modes: (M, V), orthonormal.
        centre: (M + 2 + measures,), mean of each number among frontal chests.
        spread: alike, standard deviation.
        vote: (classes, 2 (M + 2 + measures)), of each number and of its square.
        bias: (classes,).
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
    vote: list[list[float]]
    bias: list[float]
    fitted_on: dict[str, Any]

    def probabilities(self, views: Tensor, measures: dict[str, Tensor]) -> Tensor:
        """Of each of CLASSES. views: (B, V), measures: each (B,) -> (B, classes), rows sum to 1."""
        mean, modes = torch.tensor(self.view_mean), torch.tensor(self.modes)
        told = torch.stack([measures[name] for name in self.measures], dim=1)
        numbers = torch.cat([project(views, mean, modes), told], dim=1)
        numbers = with_squares(numbers, torch.tensor(self.centre), torch.tensor(self.spread))
        return (numbers @ torch.tensor(self.vote).T + torch.tensor(self.bias)).softmax(dim=1)


def project(views: Tensor, mean: Tensor, modes: Tensor) -> Tensor:
    """Share of each mode, and root mean square of what is left of the picture and of the lungs.

    views: (B, V), mean: (V,), modes: (M, V) -> (B, M + 2).

    Source: distance in and from feature space, Moghaddam and Pentland, IEEE TPAMI 19 (1997) 696.
    """
    shares = (views - mean) @ modes.T
    left = views - mean - shares @ modes
    rest = left.unflatten(1, (2, -1)).square().mean(dim=2).sqrt()
    return torch.cat([shares, rest], dim=1)


def with_squares(numbers: Tensor, centre: Tensor, spread: Tensor) -> Tensor:
    """Numbers in standard deviations from frontal chests, and their squares. (B, N) -> (B, 2 N)."""
    z = ((numbers - centre) / spread).clamp(-_FURTHEST, _FURTHEST)
    return torch.cat([z, z.square()], dim=1)


def load_frontal_model(path: str | Path) -> FrontalModel:
    """Read what `experiments.frontal_check fit` wrote.

    Raises:
        ValueError: there is no such file, or it is none.
    """
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
        model = FrontalModel(**content)
        if len(model.bias) != len(CLASSES) or len(model.centre) != len(model.spread):
            raise TypeError("its lists differ in length")
    except OSError as error:
        raise ValueError(f"frontal parameters {path} cannot be read ({error}): {REMEDY}") from error
    except (TypeError, ValueError) as error:
        known = ", ".join(field.name for field in fields(FrontalModel))
        raise ValueError(
            f"frontal parameters {path} are none ({error}); the JSON has {known}: {REMEDY}"
        ) from error
    return model


def save_frontal_model(model: FrontalModel, path: str | Path) -> None:
    """Write the JSON, a list a line."""
    lines = [f" {json.dumps(key)}: {json.dumps(value)}" for key, value in asdict(model).items()]
    Path(path).write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


REMEDY = "fit them with `python -m multimix_monai.experiments.frontal_check fit`"
