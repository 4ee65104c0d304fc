"""Path of data, beside the results: a picture as it looks from its lungs, in a few numbers.

Where the network sees lungs gives a frame: their centre and spread. In this frame every frontal
chest looks alike, whatever its size, place, collimation and aspect ratio; what is turned, inverted,
cut or no chest at all does not.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

SIDE = 12  # of a view, in pixels
REACH = 2.2  # of a view from its centre, in standard deviations of the lungs; lungs reach 1.8
TRIMMINGS = 6
LUNG_WEIGHT = 4.0  # of a view's lungs beside its picture, whose standard deviation is 1
FINER = 4  # samples a view's pixel and axis
BAND = 0.03  # around the lungs, as part of the picture's side
BLACK = 0.02  # at most, in [0, 1]; padding and shutters are
SURE_LOGIT = 4.0
_SMALLEST_SPREAD = 0.05
_TINY = 1e-6


class LungFrame(NamedTuple):
    """Centre and standard deviation of the lungs, each (B,), in [-1, 1] across the picture."""

    column: Tensor
    row: Tensor
    width: Tensor
    height: Tensor


def lung_frame(lungs: Tensor) -> LungFrame:
    """Where the lungs are. lungs: (B, S, S) in [0, 1].

    What lies further out than REACH, such as an arm that is taken for lung, is left out and the
    frame taken again, a few times over.
    """
    n = lungs.shape[-1]
    axis = (torch.arange(n, device=lungs.device) + 0.5) / n * 2 - 1
    frame = _moments(lungs, axis)
    for _ in range(TRIMMINGS):
        column, row, width, height = (part[:, None] for part in frame)
        columns = (axis - column).abs() <= REACH * width
        rows = (axis - row).abs() <= REACH * height
        frame = _moments(lungs * (rows[:, :, None] & columns[:, None, :]), axis)
    return frame


def _moments(weight: Tensor, axis: Tensor) -> LungFrame:
    weight = weight / weight.sum(dim=(1, 2), keepdim=True).clamp(min=_TINY)
    columns, rows = weight.sum(dim=1), weight.sum(dim=2)
    centre = [(part * axis).sum(dim=1) for part in (columns, rows)]
    spread = [
        (part * (axis - middle[:, None]) ** 2).sum(dim=1).sqrt().clamp(min=_SMALLEST_SPREAD)
        for part, middle in zip((columns, rows), centre, strict=True)
    ]
    return LungFrame(*centre, *spread)


def view(planes: Tensor, frame: LungFrame) -> Tensor:
    """Planes (B, S, S) as seen from the frames: (B, SIDE, SIDE), 0 outside of the picture."""
    shift = torch.zeros(len(planes), 2, 3, dtype=planes.dtype, device=planes.device)
    shift[:, 0, 0], shift[:, 0, 2] = REACH * frame.width, frame.column
    shift[:, 1, 1], shift[:, 1, 2] = REACH * frame.height, frame.row
    side = FINER * SIDE
    points = F.affine_grid(shift, [len(planes), 1, side, side], align_corners=False)
    return F.avg_pool2d(F.grid_sample(planes[:, None], points, align_corners=False), FINER)[:, 0]


def sure_lungs(logits: Tensor) -> Tensor:
    """What the network is very sure to be lung, in [0, 1]: arms and shoulders seldom are.

    logits: of lung, of any shape.
    """
    return (logits - SURE_LOGIT).sigmoid()


def lung_views(images: Tensor, lungs: Tensor) -> Tensor:
    """What a picture and its lungs look like, both from the lungs' frame.

    Args:
        images: (B, S, S) in [0, 1], bright is dense.
        lungs: (B, S, S), of `sure_lungs`.

    Returns:
        (B, 2 * SIDE * SIDE): the picture's view, its mean 0 and standard deviation 1, and that of
        the lungs times LUNG_WEIGHT.
    """
    frame = lung_frame(lungs)
    picture, seen = view(images, frame).flatten(1), view(lungs, frame).flatten(1)
    mean, std = picture.mean(dim=1, keepdim=True), picture.std(dim=1, keepdim=True)
    return torch.cat([(picture - mean) / std.clamp(min=0.02), LUNG_WEIGHT * seen], dim=1)


def lung_measures(images: Tensor, lungs: Tensor) -> dict[str, Tensor]:
    """What the views do not tell, by name, each (B,). Arguments as of `lung_views`."""
    frame = lung_frame(lungs)
    seen = view(images, frame)
    places = [_place(*one) for one in zip(images, lungs, *frame, strict=True)]
    return {
        **{name: torch.stack([place[name] for place in places]) for name in places[0]},
        **_lung_numbers(images, lungs),
        **_picture_numbers(images),
        "view_grey": seen.mean(dim=(1, 2)),
        "view_contrast": seen.std(dim=(1, 2)),
    }


def _lung_numbers(images: Tensor, lungs: Tensor) -> dict[str, Tensor]:
    """Area, outline, and grey values in and around the lungs."""
    n_lung = lungs.sum(dim=(1, 2)).clamp(min=1)
    band = 2 * round(BAND * images.shape[-1]) + 1
    around = F.max_pool2d(lungs[:, None], band, stride=1, padding=band // 2)[:, 0] - lungs
    grey = (images * lungs).sum(dim=(1, 2)) / n_lung
    ring = (images * around).sum(dim=(1, 2)) / around.sum(dim=(1, 2)).clamp(min=1)
    variance = ((images - grey[:, None, None]) ** 2 * lungs).sum(dim=(1, 2)) / n_lung
    outline = _steps(lungs, 1) + _steps(lungs, 2)
    return {
        "area": lungs.mean(dim=(1, 2)),
        "uncertainty": (4 * lungs * (1 - lungs)).sum(dim=(1, 2)) / n_lung,
        "outline": outline * images.shape[-1] ** 2 / n_lung.sqrt(),
        "lung_grey": grey,
        "around_grey": ring,
        "darker_than_around": ring - grey,
        "lung_texture": variance.sqrt(),
    }


def _picture_numbers(images: Tensor) -> dict[str, Tensor]:
    contrast = images.std(dim=(1, 2)).clamp(min=_TINY)
    return {
        "steps_down": _steps(images, 1) / contrast,
        "steps_across": _steps(images, 2) / contrast,
        "black": (images < BLACK).float().mean(dim=(1, 2)),
        "white": (images > 1 - BLACK).float().mean(dim=(1, 2)),
    }


def _steps(planes: Tensor, axis: int) -> Tensor:
    """Mean absolute difference of neighbours along an axis: (B, S, S) -> (B,)."""
    return planes.diff(dim=axis).abs().mean(dim=(1, 2))


def _place(
    image: Tensor, lungs: Tensor, column: Tensor, row: Tensor, width: Tensor, height: Tensor
) -> dict[str, Tensor]:
    """Where the lungs lie in what is not padding or shutter, and how its edges cut them.

    image, lungs: (S, S); the others as of LungFrame, each ().
    """
    n = image.shape[-1]
    top, bottom = _extent((image > BLACK).float().mean(dim=1))
    left, right = _extent((image > BLACK).float().mean(dim=0))
    rows, columns = (bottom - top) / n, (right - left) / n
    edge = math.ceil(BAND * n)
    inner = lungs[top:bottom, left:right]
    return {
        "row": (row - ((top + bottom) / n - 1)) / rows,
        "column": (column - ((left + right) / n - 1)) / columns,
        "height": height / rows,
        "width": width / columns,
        "aspect": torch.tensor(columns / rows),
        "cut_above": inner[:edge].mean(dim=1).amax(),
        "cut_below": inner[-edge:].mean(dim=1).amax(),
        "cut_left": inner[:, :edge].mean(dim=0).amax(),
        "cut_right": inner[:, -edge:].mean(dim=0).amax(),
    }


def _extent(lit: Tensor) -> tuple[int, int]:
    """First and behind the last line of which a hundredth is lit; all if none is. lit: (S,)."""
    lines = torch.nonzero(lit > 0.01).flatten()
    return (int(lines[0]), int(lines[-1]) + 1) if len(lines) else (0, len(lit))
