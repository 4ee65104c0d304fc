"""Path of data, views: hide one square so that no prediction rests on a single place."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from torch import Tensor


class Box(NamedTuple):
    """A rectangle of pixels; rows from top to bottom - 1, columns from left to right - 1."""

    top: int
    bottom: int
    left: int
    right: int


def draw_box(random: np.random.RandomState, *, image_side: int, largest: float) -> Box:
    """Draw a square: side uniform up to `largest` of the image's, centre uniform on the image.

    What sticks out is cut off. Source: DeVries and Taylor, arXiv 1708.04552, section 3.
    """
    side = max(1, round(random.uniform(0, largest) * image_side))
    row, column = random.randint(image_side, size=2)
    top, left = int(row) - side // 2, int(column) - side // 2
    return Box(
        top=max(top, 0),
        bottom=min(top + side, image_side),
        left=max(left, 0),
        right=min(left + side, image_side),
    )


def cutout(image: Tensor, *, box: Box) -> Tensor:
    """Paint a box with the image's mean over a copy of the image. image: (C, H, W).

    Differs: FixMatch's grey, 0.5, is the mean of its whole data. On one dark view it would be the
    brightest thing there, and the network's instance norm would see little else.
    """
    painted = image.clone()
    painted[:, box.top : box.bottom, box.left : box.right] = image.mean()
    return painted
