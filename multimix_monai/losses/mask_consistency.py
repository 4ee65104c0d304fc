"""Losses: the strong view's mask agrees with the weak view's on every pixel that is sure."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def sure_pixels(probs: Tensor, *, threshold_prob: float) -> Tensor:
    """Which pixels are surely lung or surely not. probs: (B, M, H, W) in [0, 1] -> bool, alike."""
    return torch.maximum(probs, 1 - probs) >= threshold_prob


class MaskConsistencyLoss(torch.nn.Module):
    """Binary cross-entropy of the strong view's mask against the weak view's, on confident pixels.

    Args:
        threshold_prob: least probability of either lung or no lung, in [0.5, 1].

    Raises:
        ValueError: threshold outside [0.5, 1], or shapes that differ.

    Source: UniMatch (arXiv 2208.09910), equation 3, for one binary channel.
    """

    def __init__(self, threshold_prob: float = 0.95) -> None:
        super().__init__()
        if not 0.5 <= threshold_prob <= 1:
            raise ValueError(f"threshold_prob is {threshold_prob}; it must lie in [0.5, 1]")
        self.threshold_prob = threshold_prob

    def forward(self, strong_logits: Tensor, weak_probs: Tensor) -> Tensor:
        """Both (B, M, H, W) and aligned; weak_probs in [0, 1] without gradient -> scalar."""
        if strong_logits.shape != weak_probs.shape:
            raise ValueError(
                f"strong_logits {tuple(strong_logits.shape)} and weak_probs "
                f"{tuple(weak_probs.shape)} differ: both views must hold the same pixels"
            )
        target = weak_probs.detach()
        sure = sure_pixels(target, threshold_prob=self.threshold_prob)
        loss = F.binary_cross_entropy_with_logits(
            strong_logits, (target > 0.5).to(strong_logits.dtype), reduction="none"
        )
        return (loss * sure).mean()
