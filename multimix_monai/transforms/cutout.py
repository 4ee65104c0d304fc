"""Path of data, views: hide one square so that no prediction rests on a single place."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from multimix_monai.transforms.batch import beside


class Box(NamedTuple):
    """One rectangle of pixels an image, int (B,) each: rows from top to bottom - 1, columns from
    left to right - 1.
    """

    top: np.ndarray
    bottom: np.ndarray
    left: np.ndarray
    right: np.ndarray


def draw_boxes(random: np.random.RandomState, n: int, *, image_side: int, largest: float) -> Box:
    """Draw n squares: side uniform up to `largest` of the image's, centre uniform on the image.

    What sticks out is cut off. Source: DeVries and Taylor, arXiv 1708.04552, section 3.
    """
    side = np.maximum(1, np.rint(random.uniform(0, largest, size=n) * image_side)).astype(int)
    top, left = random.randint(image_side, size=(2, n)) - side // 2
    return Box(
        top=top.clip(min=0),
        bottom=(top + side).clip(max=image_side),
        left=left.clip(min=0),
        right=(left + side).clip(max=image_side),
    )


def cutout(images: Tensor, *, box: Box) -> Tensor:
    """Paint each image's box with that image's mean, on a copy. images: (B, C, H, W).

    Differs: FixMatch's grey, 0.5, is the mean of its whole data. On one dark view it would be the
    brightest thing there, and the network's instance norm would see little else.
    """
    return torch.where(inside(box, images), images.mean(dim=(1, 2, 3), keepdim=True), images)


def inside(box: Box, images: Tensor) -> Tensor:
    """Which pixels of each image (B, C, H, W) lie in its box: bool (B, 1, H, W)."""
    height, width = images.shape[2:]
    rows = beside(_between(box.top, box.bottom, height), images)[:, None, :, None]
    columns = beside(_between(box.left, box.right, width), images)[:, None, None, :]
    return rows & columns


def _between(start: np.ndarray, stop: np.ndarray, n: int) -> np.ndarray:
    """Which of n places lie from each start to before its stop: bool (B, n)."""
    place = np.arange(n)
    return np.asarray((place >= start[:, None]) & (place < stop[:, None]))
