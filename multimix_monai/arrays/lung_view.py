"""Arrays: a picture as it looks from its lungs, in a few numbers.

Where the network sees lungs gives a frame: their centre and spread. In this frame every frontal
chest looks alike, whatever its size, place, collimation and aspect ratio; what is turned, inverted,
cut or no chest at all does not.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

Array = NDArray[np.float32]

SIDE = 12  # of a view, in pixels
REACH = 2.2  # of a view from its centre, in standard deviations of the lungs; lungs reach 1.8
TRIMMINGS = 6
LUNG_WEIGHT = 4.0  # of a view's lungs beside its picture, whose standard deviation is 1
FINER = 4  # samples a view's pixel and axis
SURE_LOGIT = 4.0
_SMALLEST_SPREAD = 0.05
_TINY = 1e-6


class LungFrame(NamedTuple):
    """Centre and standard deviation of the lungs, each (B,), in [-1, 1] across the picture."""

    column: Array
    row: Array
    width: Array
    height: Array


def lung_frame(lungs: Array) -> LungFrame:
    """Where the lungs are. lungs: (B, S, S) in [0, 1].

    What lies further out than REACH, such as an arm that is taken for lung, is left out and the
    frame taken again, a few times over.
    """
    n = lungs.shape[-1]
    axis = ((np.arange(n) + 0.5) / n * 2 - 1).astype(np.float32)
    frame = _moments(lungs, axis)
    for _ in range(TRIMMINGS):
        column, row, width, height = (part[:, None] for part in frame)
        columns = np.abs(axis - column) <= REACH * width
        rows = np.abs(axis - row) <= REACH * height
        frame = _moments(lungs * rows[:, :, None] * columns[:, None, :], axis)
    return frame


def _moments(weight: Array, axis: Array) -> LungFrame:
    weight = weight / np.maximum(weight.sum(axis=(1, 2), keepdims=True), _TINY)
    columns, rows = weight.sum(axis=1), weight.sum(axis=2)
    centre = [part @ axis for part in (columns, rows)]
    spread = [
        np.maximum(np.sqrt((part * (axis - middle[:, None]) ** 2).sum(axis=1)), _SMALLEST_SPREAD)
        for part, middle in zip((columns, rows), centre, strict=True)
    ]
    return LungFrame(*centre, *spread)


def view(planes: Array, frame: LungFrame) -> Array:
    """Planes (B, S, S) as seen from the frames: (B, SIDE, SIDE), 0 outside of the picture."""
    n = planes.shape[-1]
    down = _samples(frame.row, frame.height, n)
    across = _samples(frame.column, frame.width, n)
    return down @ planes @ across.transpose(0, 2, 1)


def _samples(centre: Array, spread: Array, n: int) -> Array:
    """How much of each of n pixels each of a view's pixels holds, along one axis: (B, SIDE, n).

    The mean of FINER samples, each interpolated between its two neighbours.
    """
    side = FINER * SIDE
    points = ((np.arange(side) + 0.5) / side * 2 - 1).astype(np.float32)
    places = ((centre[:, None] + REACH * spread[:, None] * points + 1) * n - 1) / 2
    weights = np.maximum(1 - np.abs(places[..., None] - np.arange(n, dtype=np.float32)), 0)
    return weights.reshape(len(centre), SIDE, FINER, n).mean(axis=2)


def sure_lungs(logits: Array) -> Array:
    """What the network is very sure to be lung, in [0, 1]: arms and shoulders seldom are.

    logits: of lung, of any shape.
    """
    return expit(logits - np.float32(SURE_LOGIT))


def lung_views(images: Array, lungs: Array) -> Array:
    """What a picture and its lungs look like, both from the lungs' frame.

    Args:
        images: (B, S, S) in [0, 1], bright is dense.
        lungs: (B, S, S), of `sure_lungs`.

    Returns:
        (B, 2 * SIDE * SIDE): the picture's view, its mean 0 and standard deviation 1, and that of
        the lungs times LUNG_WEIGHT.
    """
    frame = lung_frame(lungs)
    picture, seen = (view(planes, frame).reshape(len(planes), -1) for planes in (images, lungs))
    mean, std = picture.mean(axis=1, keepdims=True), picture.std(axis=1, ddof=1, keepdims=True)
    return np.concatenate([(picture - mean) / np.maximum(std, 0.02), LUNG_WEIGHT * seen], axis=1)
