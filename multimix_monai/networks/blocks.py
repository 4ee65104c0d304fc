"""Network, first stop: the convolution block, and what the saliency needs to run back."""

from __future__ import annotations

import functools
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
    x = x.contiguous(memory_format=torch.channels_last)
    normed, _, inv_std = torch.native_group_norm(
        x, None, None, batch, channels, height * width, channels, EPS
    )
    return normed, inv_std.view(batch, channels, 1, 1)


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

    Args:
        in_channels, out_channels: of the block.
        dropout_prob: in [0, 1).
        sees_image: what comes in is the image, whose mean is many times its contrast: in evaluation
            it is taken off, or the norm would round away three digits.

    Source: MultiMix (arXiv 2110.13185), section 3; design of the published code.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        dropout_prob: float = 0.25,
        sees_image: bool = False,
    ) -> None:
        super().__init__()
        self.sees_image = sees_image
        self.conv1 = nn.Conv2d(in_channels, out_channels, kernel_size=3, padding=1)
        self.conv2 = nn.Conv2d(out_channels, out_channels, kernel_size=3, padding=1)
        self.dropout_prob = dropout_prob

    def forward(self, x: Tensor) -> Tensor:
        """x: (B, in, H, W) -> (B, out, H, W)."""
        first = functools.partial(self.first, training=self.training)
        for conv in (first, self.conv2):
            x = F.leaky_relu(instance_norm(conv(x), training=self.training)[0], SLOPE)
        return x * dropout_scale(x, self.dropout_prob) if self.training else x

    def first(self, x: Tensor, *, training: bool) -> Tensor:
        """The first convolution. The norm after it drops any bias, so that this one is free."""
        if training or not self.sees_image:
            out: Tensor = self.conv1(x)
            return out
        weight = self.conv1.weight
        return F.conv2d(x, weight, -x.mean() * weight.sum(dim=(1, 2, 3)), padding=1)

    def forward_recorded(
        self, x: Tensor, *, keep: int, dropout: bool
    ) -> tuple[Tensor, BlockRecord]:
        """The same, with a record of the first `keep` images; dropout only if asked for."""
        layers = []
        first = functools.partial(self.first, training=dropout)
        for conv, weight in ((first, self.conv1.weight), (self.conv2, self.conv2.weight)):
            normed, inv_std = instance_norm(conv(x), training=dropout)
            layers.append(Layer(weight, normed[:keep], inv_std[:keep]))
            x = F.leaky_relu(normed, SLOPE)
        scale = None
        if dropout and self.dropout_prob > 0:
            scale = dropout_scale(x, self.dropout_prob)
            x, scale = x * scale, scale[:keep]
        return x, BlockRecord((layers[0], layers[1]), scale)
