"""Network, for generic consumers: everything in the one tensor that they can handle."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from multimix_monai.networks.multimix import MultiMix, Prediction


def pack(prediction: Prediction) -> Tensor:
    """Mask logits, saliency, class logits spread out -> (B, mask + 1 + classes, H, W)."""
    seg, classes, saliency = prediction
    plane = classes[:, :, None, None].expand(-1, -1, *seg.shape[2:])
    return torch.cat([seg, saliency.to(seg.dtype), plane.to(seg.dtype)], dim=1)


class PackedMultiMix(MultiMix):
    """MultiMix with a single output tensor; it loads the same weights.

    MONAI's `verify_net_in_out`, MONAI Label and MONAI Deploy accept nothing but one tensor.
    `transforms.UnpackPredictiond` takes it apart again.
    """

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        """x: (B, in_channels, H, W) -> (B, mask_channels + 1 + num_classes, H, W)."""
        return pack(super().forward(x))

    def __prepare_scriptable__(self) -> nn.Module:
        """What torch.jit.script takes instead of this module: its trace, free in batch and size."""
        was_training = self.training
        example = torch.zeros(2, self.in_channels, 2 * self.divisor, 3 * self.divisor)
        traced = torch.jit.trace(self.eval(), example.to(self.encoder.classifier.weight))
        self.train(was_training)
        return Traced(traced)


class Traced(nn.Module):
    """A trace in a module, as torch.jit.script wants it."""

    def __init__(self, network: torch.jit.ScriptModule) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        """As of the traced network."""
        return self.network(x)
