"""Engines: does the network say the same of a radiograph and of its mirror image?"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from multimix_monai.data.keys import Keys
from multimix_monai.engines.evaluator import Predict


class FlipCheck:
    """Disagreement of the network with itself under a horizontal flip, by one further pass.

    It finds, as measures of `Keys.QUALITY`, ``flip_mask`` and ``flip_prob``. A mask has a mirror
    image that is another chest, with the heart on the right, so some disagreement is normal:
    `transforms.quality.RULES` states how much.

    Args:
        threshold_prob: a pixel at or above it belongs to the mask.
        mask_channels: mask logits at the front of the packed predictions.
        num_classes: class logits at their end.
    """

    def __init__(
        self, *, threshold_prob: float = 0.5, mask_channels: int = 1, num_classes: int = 2
    ) -> None:
        self.threshold_prob = threshold_prob
        self.mask_channels = mask_channels
        self.num_classes = num_classes

    def __call__(
        self, images: Tensor, predictions: Tensor, predict: Predict
    ) -> list[dict[str, Any]]:
        """images: (B, C, S, S), predictions: (B, K, S, S) -> a dictionary for each image."""
        flipped = predict(images.flip(-1)).flip(-1)
        masks = mask_disagreement(self._masks(predictions), self._masks(flipped))
        probs = (self._probs(predictions) - self._probs(flipped)).abs()
        return [
            {Keys.QUALITY: {"measures": {"flip_mask": float(m), "flip_prob": float(p)}}}
            for m, p in zip(masks, probs, strict=True)
        ]

    def _masks(self, packed: Tensor) -> Tensor:
        return packed[:, : self.mask_channels].sigmoid() >= self.threshold_prob

    def _probs(self, packed: Tensor) -> Tensor:
        """(B,), uncalibrated, so that the measure's range does not hang on a calibration."""
        return packed[:, -self.num_classes :, 0, 0].softmax(dim=1)[:, -1]


def mask_disagreement(a: Tensor, b: Tensor) -> Tensor:
    """1 - Dice of two masks: bool (B, M, H, W) each -> (B,), 0 where both are empty."""
    size = (a.sum(dim=(1, 2, 3)) + b.sum(dim=(1, 2, 3))).float()
    common = 2.0 * (a & b).sum(dim=(1, 2, 3))
    return torch.where(size > 0, 1 - common / size.clamp(min=1), torch.zeros_like(size))
