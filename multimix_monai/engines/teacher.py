"""Engines: who makes the pseudo-labels, the network itself or the mean of its past weights."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from multimix_monai.networks import Prediction


def ema_decay(step: int, *, decay: float) -> float:
    """Decay at a step (1 the first): small at first, so that the start is soon forgotten.

    Source: Mean Teacher (arXiv 1703.01780), as its code ramps up.
    """
    return min(decay, step / (step + 10))


class Teacher:
    """Predicts without gradient and without dropout.

    Args:
        network: the one that learns.
        decay: of the exponential mean of its weights, in [0, 1); 0 is the live network itself.

    Raises:
        ValueError: decay outside [0, 1).

    Source: Mean Teacher (arXiv 1703.01780), equation 1.
    """

    def __init__(self, network: nn.Module, *, decay: float = 0.0) -> None:
        if not 0 <= decay < 1:
            raise ValueError(f"ema_decay is {decay}; it must lie in [0, 1), 0 for no mean")
        self.live = getattr(network, "module", network)
        self.decay = decay
        self.network = copy.deepcopy(self.live).requires_grad_(False) if decay else self.live

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the live weights after an optimiser step, 1 the first."""
        if not self.decay:
            return
        decay = ema_decay(step, decay=self.decay)
        for mean, live in zip(self.network.parameters(), self.live.parameters(), strict=True):
            mean.lerp_(live, 1 - decay)

    @torch.no_grad()
    def predict(self, images: Tensor, *, decode_first: int | None = None) -> Prediction:
        """images: (B, C, H, W) -> prediction in evaluation mode; the mode before is restored."""
        was_training = self.network.training
        self.network.eval()
        prediction = self.network(images, decode_first=decode_first)
        self.network.train(was_training)
        return prediction

    def state_dict(self) -> dict[str, Any]:
        """Weights of the mean; nothing where the teacher is the live network."""
        return self.network.state_dict() if self.decay else {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint; one without a mean starts it from the live weights."""
        if self.decay:
            self.network.load_state_dict(state or self.live.state_dict())
