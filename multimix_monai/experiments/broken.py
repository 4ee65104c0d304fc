"""Experiments: masks that are broken and pictures that are degraded, each on purpose.

What breaks a mask takes lung probabilities (H, W) and the threshold, and gives others; what
degrades pictures takes images (B, 1, H, W) in [0, 1].
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from multimix_monai.arrays.parts import parts_by_size
from multimix_monai.arrays.quality import two_lungs

Probs = NDArray[np.float64]


def one_lung(probs: Probs, *, threshold_prob: float) -> Probs:
    """The smaller one is missing."""
    parts = parts_by_size(probs >= threshold_prob)
    return np.where(min(two_lungs(parts * (parts <= 2)), key=np.sum), 0.01, probs)


def flooded(probs: Probs, *, threshold_prob: float) -> Probs:
    """Grown by a fifth of the picture on all sides."""
    reach = max(probs.shape) // 5
    return ndimage.maximum_filter(probs, 2 * reach + 1)


def shrunken(probs: Probs, *, threshold_prob: float) -> Probs:
    """Worn away by a twentieth of the picture on all sides."""
    return ndimage.minimum_filter(probs, 2 * (max(probs.shape) // 20) + 1)


def upper_half(probs: Probs, *, threshold_prob: float) -> Probs:
    """All below the mask's middle row is missing."""
    rows = np.flatnonzero((probs >= threshold_prob).any(axis=1))
    middle = int(rows.mean()) if rows.size else 0
    return np.where(np.arange(len(probs))[:, None] > middle, 0.01, probs)


def shifted(probs: Probs, *, threshold_prob: float) -> Probs:
    """Moved to the right by a third of the picture."""
    moved = np.full_like(probs, 0.01)
    by = probs.shape[1] // 3
    moved[:, by:] = probs[:, :-by]
    return moved


def blobs(probs: Probs, *, threshold_prob: float) -> Probs:
    """Sure, random and coarse, with as much lung as there was."""
    noise = ndimage.gaussian_filter(np.random.default_rng(0).random(probs.shape), 4)
    share = (probs >= threshold_prob).mean()
    return np.where(noise >= np.quantile(noise, 1 - share), 0.99, 0.01)


def empty(probs: Probs, *, threshold_prob: float) -> Probs:
    """No lung."""
    return np.full_like(probs, 0.01)


BREAKS: tuple[Callable[..., Probs], ...] = (
    one_lung,
    flooded,
    shrunken,
    upper_half,
    shifted,
    blobs,
    empty,
)


def noisy(images: torch.Tensor) -> torch.Tensor:
    """Noise of a fifth of the range."""
    noise = torch.randn(images.shape, generator=torch.Generator().manual_seed(0))
    return (images + 0.2 * noise).clamp(0, 1)


def blurred(images: torch.Tensor) -> torch.Tensor:
    """By a square of a tenth of the picture."""
    side = images.shape[-1] // 20
    return torch.nn.functional.avg_pool2d(images, 2 * side + 1, 1, side, count_include_pad=False)


def overexposed(images: torch.Tensor) -> torch.Tensor:
    """All but the brightest third is black."""
    return ((images - 0.67) / 0.33).clamp(0, 1)


def underexposed(images: torch.Tensor) -> torch.Tensor:
    """All but the darkest third is white."""
    return (images / 0.33).clamp(0, 1)


def covered(images: torch.Tensor) -> torch.Tensor:
    """A white square of a third of the picture lies on it, left of the middle."""
    side = images.shape[-1]
    images = images.clone()
    images[..., side // 3 : 2 * side // 3, side // 6 : side // 2] = 1
    return images


DEGRADED: tuple[Callable[[torch.Tensor], torch.Tensor], ...] = (
    noisy,
    blurred,
    overexposed,
    underexposed,
    covered,
)
