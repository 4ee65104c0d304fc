"""Path of data, beside the results: a picture as it looks from its lungs, in a few numbers.

Where the network sees lungs gives a frame: their centre and spread. In this frame every frontal
chest looks alike, whatever its size, place, collimation and aspect ratio; what is turned, inverted,
cut or no chest at all does not.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

SIDE = 12  # of a view, in pixels
REACH = 2.2  # of a view from its centre, in standard deviations of the lungs; lungs reach 1.8
TRIMMINGS = 6
FINER = 4  # samples a view's pixel and axis
BAND = 0.03  # around the lungs, as part of the picture's side
_SMALLEST_SPREAD = 0.05
_TINY = 1e-6


class LungFrame(NamedTuple):
    """Centre and standard deviation of the lungs, each (B,), in [-1, 1] across the picture."""

    column: Tensor
    row: Tensor
    width: Tensor
    height: Tensor


def lung_frame(probs: Tensor) -> LungFrame:
    """Where the lungs are. probs: (B, S, S), of lung, in [0, 1].

    What lies further out than REACH, such as an arm that is taken for lung, is left out and the
    frame taken again, a few times over.
    """
    n = probs.shape[-1]
    axis = (torch.arange(n, device=probs.device) + 0.5) / n * 2 - 1
    frame = _moments(probs, axis)
    for _ in range(TRIMMINGS):
        column, row, width, height = (part[:, None] for part in frame)
        columns = (axis - column).abs() <= REACH * width
        rows = (axis - row).abs() <= REACH * height
        frame = _moments(probs * (rows[:, :, None] & columns[:, None, :]), axis)
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


def lung_views(images: Tensor, probs: Tensor) -> Tensor:
    """What a picture and its lungs look like, both from the lungs' frame.

    Args:
        images: (B, S, S) in [0, 1], bright is dense.
        probs: (B, S, S), of lung.

    Returns:
        (B, 2 * SIDE * SIDE): the picture's view, its mean 0 and standard deviation 1, and that of
        the lungs' probability.
    """
    frame = lung_frame(probs)
    picture, lungs = view(images, frame).flatten(1), view(probs, frame).flatten(1)
    mean, std = picture.mean(dim=1, keepdim=True), picture.std(dim=1, keepdim=True)
    return torch.cat([(picture - mean) / std.clamp(min=0.02), lungs], dim=1)


def lung_measures(images: Tensor, probs: Tensor) -> dict[str, Tensor]:
    """What the views do not tell, by name, each (B,). Arguments as of `lung_views`."""
    frame = lung_frame(probs)
    n_lung = probs.sum(dim=(1, 2)).clamp(min=1)
    band = 2 * round(BAND * images.shape[-1]) + 1
    grown = F.max_pool2d(probs[:, None], band, stride=1, padding=band // 2)[:, 0]
    around = grown - probs
    lung = (images * probs).sum(dim=(1, 2)) / n_lung
    ring = (images * around).sum(dim=(1, 2)) / around.sum(dim=(1, 2)).clamp(min=1)
    spread = ((images - lung[:, None, None]) ** 2 * probs).sum(dim=(1, 2)) / n_lung
    contrast = images.std(dim=(1, 2)).clamp(min=_TINY)
    seen = view(images, frame)
    return {
        "row": frame.row,
        "column": frame.column,
        "height": frame.height,
        "width": frame.width,
        "area": probs.mean(dim=(1, 2)),
        "uncertainty": (4 * probs * (1 - probs)).sum(dim=(1, 2)) / n_lung,
        "outline": (_steps(probs, 1) + _steps(probs, 2)) * probs[0].numel() / n_lung.sqrt(),
        "lung_grey": lung,
        "around_grey": ring,
        "darker_than_around": ring - lung,
        "lung_texture": spread.sqrt(),
        "steps_down": _steps(images, 1) / contrast,
        "steps_across": _steps(images, 2) / contrast,
        "black": (images < 0.02).float().mean(dim=(1, 2)),
        "white": (images > 0.98).float().mean(dim=(1, 2)),
        "view_grey": seen.mean(dim=(1, 2)),
        "view_contrast": seen.std(dim=(1, 2)),
    }


def _steps(planes: Tensor, axis: int) -> Tensor:
    """Mean absolute difference of neighbours along an axis: (B, S, S) -> (B,)."""
    return planes.diff(dim=axis).abs().mean(dim=(1, 2))
