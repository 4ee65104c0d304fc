"""Losses: pull the classes of pseudo-labels towards their known frequencies."""

from __future__ import annotations

import torch
from torch import Tensor


def align(probs: Tensor, *, target: Tensor, running: Tensor) -> Tensor:
    """Probabilities times target / running, normalised. probs: (B, K) -> (B, K), rows sum to 1.

    Source: ReMixMatch (arXiv 1911.09785), section 3.1.
    """
    scaled = probs * (target / running.clamp_min(1e-6))
    return scaled / scaled.sum(dim=1, keepdim=True)


class DistributionAlignment(torch.nn.Module):
    """Aligns class probabilities of unlabelled images with the class frequencies of labelled ones.

    Args:
        num_classes: number of classes.
        momentum: of the running means, in [0, 1).

    Raises:
        ValueError: momentum outside [0, 1), or probabilities of another number of classes.

    Source: ReMixMatch (arXiv 1911.09785), section 3.1.
    Differs: both means are exponential, so that the state is two small vectors.
    """

    target: Tensor
    running: Tensor

    def __init__(self, num_classes: int = 2, *, momentum: float = 0.99) -> None:
        super().__init__()
        if not 0 <= momentum < 1:
            raise ValueError(f"momentum is {momentum}; it must lie in [0, 1)")
        self.momentum = momentum
        self.register_buffer("target", torch.full((num_classes,), 1 / num_classes))
        self.register_buffer("running", torch.full((num_classes,), 1 / num_classes))

    @torch.no_grad()
    def forward(self, probs: Tensor, *, labels: Tensor) -> Tensor:
        """Note a batch and align it. probs: (B, K); labels: (N,) of the labelled -> (B, K)."""
        if probs.ndim != 2 or probs.shape[1] != len(self.target):
            raise ValueError(
                f"probs are {tuple(probs.shape)}; expected (B, K) of {len(self.target)} classes"
            )
        counts = torch.bincount(labels, minlength=len(self.target)).to(self.target)
        self.target.lerp_(counts / counts.sum(), 1 - self.momentum)
        self.running.lerp_(probs.mean(dim=0).to(self.running), 1 - self.momentum)
        return align(probs, target=self.target, running=self.running)
