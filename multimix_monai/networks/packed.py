"""Network, for generic consumers: everything in the one tensor that they can handle."""

from __future__ import annotations

import torch
from torch import Tensor

from multimix_monai.networks.multimix import MultiMix, Prediction


def pack(prediction: Prediction) -> Tensor:
    """Mask logits, saliency and class logits spread over the plane -> (B, mask + 1 + classes, H, W)."""
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
