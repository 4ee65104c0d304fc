"""Path of data, views: put a square of one image of a batch into another.

Unlike the other views it also moves what a teacher says of the images, so a recipe calls it.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from multimix_monai.transforms.batch import beside
from multimix_monai.transforms.cutout import draw_boxes, inside

LARGEST = 0.6  # side of the square as a fraction of the image's


def draw_patches(images: Tensor, *, prob: float) -> Tensor:
    """Which pixels come from the neighbour in the batch: bool (B, 1, S, S), by torch's seed.

    Args:
        images: (B, C, S, S).
        prob: of an image to take a square at all.
    """
    random = np.random.RandomState(int(torch.randint(2**31, (1,))))
    taken = random.uniform(size=len(images)) < prob
    box = draw_boxes(random, len(images), image_side=images.shape[-1], largest=LARGEST)
    return inside(box, images) & beside(taken, images)[:, None, None, None]


def mixed(values: Tensor, patches: Tensor) -> Tensor:
    """Each image, or what is said of it, with its neighbour's square. (B, C, S, S) -> the same.

    Source: CutMix (arXiv 1905.04899); for masks, French et al. (arXiv 1906.01916).
    """
    return torch.where(patches, values.roll(1, dims=0), values)
