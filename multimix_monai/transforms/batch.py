"""Path of data, views: what all changes of a batch of images share.

Random numbers are drawn in numpy for a batch at once and only then put on the images' device, where
all else happens; nothing waits for that device.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from monai.utils import convert_to_tensor
from torch import Tensor


def as_batch(images: Any) -> Tensor:
    """Any array or tensor -> float32 Tensor (B, C, S, S) on its device, without metadata.

    Raises:
        ValueError: the images are no batch, or not square as preprocessing makes them.
    """
    batch: Tensor = convert_to_tensor(images, dtype=torch.float32, track_meta=False)
    if batch.ndim != 4 or batch.shape[2] != batch.shape[3]:
        raise ValueError(
            f"a view needs a batch of preprocessed images (B, C, S, S), got {tuple(batch.shape)}: "
            "put `preprocessing` before it and stack its images"
        )
    return batch


def beside(values: np.ndarray, images: Tensor) -> Tensor:
    """Numbers on the images' device, floating ones in their type; nobody waits for the copy."""
    tensor = torch.from_numpy(np.ascontiguousarray(values))
    if tensor.is_floating_point():
        tensor = tensor.to(images.dtype)
    if images.is_cuda:
        return tensor.pin_memory().to(images.device, non_blocking=True)
    return tensor.to(images.device)


def change(
    images: Tensor, taken: np.ndarray, function: Callable[..., Tensor], *amounts: np.ndarray
) -> None:
    """Put `function(those taken, their amounts)` in the place of the images that are taken.

    images: (B, ...), changed in place. taken: bool (B,). amounts: (B, ...) each.
    """
    rows = np.flatnonzero(taken)
    if not len(rows):
        return
    index = beside(rows, images)
    theirs = (beside(amount[rows], images) for amount in amounts)
    images.index_copy_(0, index, function(images.index_select(0, index), *theirs))


def spread(coarse: Tensor, *, side: int, mode: str, align_corners: bool) -> Tensor:
    """Enlarge (..., g, g) to (..., side, side) as F.interpolate does.

    Two products with small matrices take a twentieth of its time.
    """
    weights = _weights(coarse.shape[-1], side, mode, align_corners, coarse.device)
    return weights @ coarse @ weights.T


@lru_cache(maxsize=32)
def _weights(n: int, side: int, mode: str, align_corners: bool, device: torch.device) -> Tensor:
    """(side, n): how much each of n places counts at each of `side` places."""
    ones = torch.eye(n)[None, None]
    return F.interpolate(ones, size=(side, n), mode=mode, align_corners=align_corners)[0, 0].to(
        device
    )
