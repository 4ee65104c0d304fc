"""Network, first stop: the convolution block, and what the saliency needs to run back."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SLOPE = 0.2  # of LeakyReLU
EPS = 1e-5  # of InstanceNorm


class Layer(NamedTuple):
    """One normalised convolution on the way forward: what its derivative needs."""

    weight: Tensor  # (out, in, 3, 3)
    normed: Tensor  # (B, out, H, W), zero mean and unit variance per image and channel
    inv_std: Tensor  # (B, out, 1, 1)


class BlockRecord(NamedTuple):
    """A block on the way forward; dropout_scale is 0 or 1 / (1 - p), None where dropout is off."""

    layers: tuple[Layer, Layer]
    dropout_scale: Tensor | None


def instance_norm(x: Tensor, *, training: bool) -> tuple[Tensor, Tensor]:
    """Zero mean and unit variance of every image and channel, and what it was divided by.

    In evaluation, channels come out last: convolution and pooling are then twice as fast on a
    processor. In training they come first, where the norm has the faster derivative.

    Args:
        x: (B, C, H, W).
        training: which of the two; the numbers are the same but for rounding.

    Returns:
        The same shape, and 1 / sqrt(variance + eps), (B, C, 1, 1), without gradient.

    Differs: torch's own function computes the second, which the saliency needs, and drops it.
    """
    batch, channels, height, width = x.shape
    if training:
        normed, _, inv_std = torch.native_layer_norm(
            x.flatten(2), (height * width,), None, None, EPS
        )
        return normed.view(x.shape), inv_std.detach().view(batch, channels, 1, 1)
    # Not native_group_norm: with channels last it takes the variance as mean(x²) - mean(x)² from
    # float32 sums, and so rounds away a tenth of a mask logit at 512x512.
    wide = torch.promote_types(x.dtype, torch.float32)
    x_wide = x.to(wide, memory_format=torch.channels_last)
    centred = x_wide - x_wide.mean(dim=(2, 3), keepdim=True)
    inv_std = torch.rsqrt(centred.square().mean(dim=(2, 3), keepdim=True) + EPS)
    return (centred * inv_std).to(x.dtype), inv_std.detach()


def dropout_scale(x: Tensor, prob: float) -> Tensor:
    """What dropout multiplies by: 0 with probability prob (rounded to 1/256), else 1 / (1 - prob).

    One random byte an element: a third of the time of torch's dropout on a processor.
    """
    cut = round(256 * prob)
    words = torch.randint(
        -(2**31), 2**31, (x.numel() // 4 + 1,), dtype=torch.int32, device=x.device
    )
    keep = words.view(torch.uint8).as_strided(x.shape, x.stride()) >= cut
    return keep.to(x.dtype) * (256 / (256 - cut))


class ConvBlock(nn.Module):
    """(conv 3x3, InstanceNorm without affine, LeakyReLU 0.2) twice, then dropout.

    Source: MultiMix (arXiv 2110.13185), section 3; design of the published code.
    """

    def __init__(self, in_channels: int, out_channels: int, *, dropout_prob: float = 0.25) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, kernel_size=3, padding=1)
        self.conv2 = nn.Conv2d(out_channels, out_channels, kernel_size=3, padding=1)
        self.dropout_prob = dropout_prob

    def forward(self, x: Tensor) -> Tensor:
        """x: (B, in, H, W) -> (B, out, H, W)."""
        for conv in (self.conv1, self.conv2):
            x = F.leaky_relu(instance_norm(conv(x), training=self.training)[0], SLOPE)
        return x * dropout_scale(x, self.dropout_prob) if self.training else x

    def forward_recorded(
        self, x: Tensor, *, keep: int, dropout: bool
    ) -> tuple[Tensor, BlockRecord]:
        """The same, with a record of the first `keep` images; dropout only if asked for."""
        layers = []
        for conv in (self.conv1, self.conv2):
            normed, inv_std = instance_norm(conv(x), training=dropout)
            layers.append(Layer(conv.weight, normed[:keep], inv_std[:keep]))
            x = F.leaky_relu(normed, SLOPE)
        scale = None
        if dropout and self.dropout_prob > 0:
            scale = dropout_scale(x, self.dropout_prob)
            x, scale = x * scale, scale[:keep]
        return x, BlockRecord((layers[0], layers[1]), scale)
