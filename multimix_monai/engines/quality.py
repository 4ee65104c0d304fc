"""Engines: does the network say the same of a radiograph and of its mirror image?"""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray
from torch import Tensor

from multimix_monai.arrays.flip import flip_measures
from multimix_monai.data.keys import Keys
from multimix_monai.engines.evaluator import Predict


class FlipCheck:
    """Disagreement of the network with itself under a horizontal flip, by one further pass.

    It finds, as measures of `Keys.QUALITY`, ``flip_mask`` and ``flip_prob``. A mask has a mirror
    image that is another chest, with the heart on the right, so some disagreement is normal:
    `arrays.quality.RULES` states how much.

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
        flipped = predict(images.flip(-1))
        return [
            {Keys.QUALITY: {"measures": self._measures(a.numpy(), b.numpy())}}
            for a, b in zip(predictions.float().cpu(), flipped.float().cpu(), strict=True)
        ]

    def _measures(self, packed: NDArray[Any], flipped: NDArray[Any]) -> dict[str, float]:
        return flip_measures(
            packed,
            flipped,
            threshold_prob=self.threshold_prob,
            mask_channels=self.mask_channels,
            num_classes=self.num_classes,
        )
