"""Losses: confident predictions on unlabelled images become the labels of their strong views."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def confident(probs: Tensor, *, threshold_prob: float) -> Tensor:
    """Which predictions may serve as pseudo-labels. probs: (B, K), rows sum to 1 -> bool (B,)."""
    return probs.amax(dim=1) >= threshold_prob


class PseudoLabelLoss(torch.nn.Module):
    """Cross-entropy of the strong view against the weak view's class, where that is confident.

    Args:
        threshold_prob: least probability of the winning class, in [0, 1].

    Raises:
        ValueError: threshold outside [0, 1], or shapes that differ.

    Example:
        >>> PseudoLabelLoss(threshold_prob=0.7)(torch.zeros(4, 2), torch.full((4, 2), 0.5))
        tensor(0.)

    Source: FixMatch (arXiv 2001.07685), equation 4; MultiMix (arXiv 2110.13185), equation 3.
    """

    def __init__(self, threshold_prob: float = 0.7) -> None:
        super().__init__()
        if not 0 <= threshold_prob <= 1:
            raise ValueError(f"threshold_prob is {threshold_prob}; it must lie in [0, 1]")
        self.threshold_prob = threshold_prob

    def forward(self, strong_logits: Tensor, weak_probs: Tensor) -> Tensor:
        """strong_logits: (B, K); weak_probs: (B, K), rows sum to 1, no gradient -> scalar."""
        if strong_logits.shape != weak_probs.shape:
            raise ValueError(
                f"strong_logits {tuple(strong_logits.shape)} and weak_probs "
                f"{tuple(weak_probs.shape)} differ: both views must hold the same cases"
            )
        target = weak_probs.detach()
        mask = confident(target, threshold_prob=self.threshold_prob)
        loss = F.cross_entropy(strong_logits, target.argmax(dim=1), reduction="none")
        return (loss * mask).mean()
