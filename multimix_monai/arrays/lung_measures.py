"""Arrays: what the views from the lungs do not tell of a picture, in named numbers."""

from __future__ import annotations

import math

import numpy as np
from scipy import ndimage

from multimix_monai.arrays.lung_view import Array, lung_frame, view

BAND = 0.03  # around the lungs, as part of the picture's side
BLACK = 0.02  # at most, in [0, 1]; padding and shutters are
_TINY = 1e-6


def lung_measures(images: Array, lungs: Array) -> dict[str, Array]:
    """By name, each (B,). Arguments as of `lung_view.lung_views`."""
    frame = lung_frame(lungs)
    seen = view(images, frame)
    places = [_place(*one) for one in zip(images, lungs, *frame, strict=True)]
    return {
        **{name: np.array([place[name] for place in places], np.float32) for name in places[0]},
        **_lung_numbers(images, lungs),
        **_picture_numbers(images),
        "view_grey": seen.mean(axis=(1, 2)),
        "view_contrast": seen.std(axis=(1, 2), ddof=1),
    }


def _lung_numbers(images: Array, lungs: Array) -> dict[str, Array]:
    """Area, outline, and grey values in and around the lungs."""
    n_lung = np.maximum(lungs.sum(axis=(1, 2)), 1)
    band = 2 * round(BAND * images.shape[-1]) + 1
    around = ndimage.maximum_filter(lungs, size=(1, band, band), mode="constant") - lungs
    grey = (images * lungs).sum(axis=(1, 2)) / n_lung
    ring = (images * around).sum(axis=(1, 2)) / np.maximum(around.sum(axis=(1, 2)), 1)
    variance = ((images - grey[:, None, None]) ** 2 * lungs).sum(axis=(1, 2)) / n_lung
    outline = _steps(lungs, 1) + _steps(lungs, 2)
    return {
        "area": lungs.mean(axis=(1, 2)),
        "uncertainty": (4 * lungs * (1 - lungs)).sum(axis=(1, 2)) / n_lung,
        "outline": outline * images.shape[-1] ** 2 / np.sqrt(n_lung),
        "lung_grey": grey,
        "around_grey": ring,
        "darker_than_around": ring - grey,
        "lung_texture": np.sqrt(variance),
    }


def _picture_numbers(images: Array) -> dict[str, Array]:
    contrast = np.maximum(images.std(axis=(1, 2), ddof=1), _TINY)
    return {
        "steps_down": _steps(images, 1) / contrast,
        "steps_across": _steps(images, 2) / contrast,
        "black": (images < BLACK).mean(axis=(1, 2), dtype=np.float32),
        "white": (images > 1 - BLACK).mean(axis=(1, 2), dtype=np.float32),
    }


def _steps(planes: Array, axis: int) -> Array:
    """Mean absolute difference of neighbours along an axis: (B, S, S) -> (B,)."""
    return np.abs(np.diff(planes, axis=axis)).mean(axis=(1, 2))


def _place(
    image: Array, lungs: Array, column: float, row: float, width: float, height: float
) -> dict[str, float]:
    """Where the lungs lie in what is not padding or shutter, and how its edges cut them.

    image, lungs: (S, S); the others as of LungFrame, for one picture.
    """
    n = image.shape[-1]
    top, bottom = _extent((image > BLACK).mean(axis=1))
    left, right = _extent((image > BLACK).mean(axis=0))
    rows, columns = (bottom - top) / n, (right - left) / n
    edge = math.ceil(BAND * n)
    inner = lungs[top:bottom, left:right]
    return {
        "row": (row - ((top + bottom) / n - 1)) / rows,
        "column": (column - ((left + right) / n - 1)) / columns,
        "height": height / rows,
        "width": width / columns,
        "aspect": columns / rows,
        "cut_above": inner[:edge].mean(axis=1).max(),
        "cut_below": inner[-edge:].mean(axis=1).max(),
        "cut_left": inner[:, :edge].mean(axis=0).max(),
        "cut_right": inner[:, -edge:].mean(axis=0).max(),
    }


def _extent(lit: Array) -> tuple[int, int]:
    """First and behind the last line of which a hundredth is lit; all if none is. lit: (S,)."""
    lines = np.flatnonzero(lit > 0.01)
    return (int(lines[0]), int(lines[-1]) + 1) if len(lines) else (0, len(lit))
