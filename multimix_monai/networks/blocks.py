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


def inverse_std(x: Tensor) -> Tensor:
    """1 / sqrt(variance + eps) of every image and channel. x: (B, C, H, W) -> (B, C, 1, 1)."""
    x = x.detach()
    centred = x - x.mean(dim=(2, 3), keepdim=True)  # a tenth of the time of torch.var
    return torch.rsqrt(centred.square().mean(dim=(2, 3), keepdim=True) + EPS)


def dropout_scale(x: Tensor, prob: float) -> Tensor:
    """What dropout multiplies by: 0 with probability prob (rounded to 1/256), else 1 / (1 - prob).

    One random byte an element: a third of the time of torch's dropout on a processor.
    """
    cut = round(256 * prob)
    words = torch.randint(
        -(2**31), 2**31, (x.numel() // 4 + 1,), dtype=torch.int32, device=x.device
    )
    keep = words.view(torch.uint8)[: x.numel()].view(x.shape) >= cut
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
            x = F.leaky_relu(F.instance_norm(conv(x), eps=EPS), SLOPE)
        return x * dropout_scale(x, self.dropout_prob) if self.training else x

    def forward_recorded(
        self, x: Tensor, *, keep: int, dropout: bool
    ) -> tuple[Tensor, BlockRecord]:
        """The same, with a record of the first `keep` images; dropout only if asked for."""
        layers = []
        for conv in (self.conv1, self.conv2):
            x = conv(x)
            normed = F.instance_norm(x, eps=EPS)
            layers.append(Layer(conv.weight, normed[:keep], inverse_std(x[:keep])))
            x = F.leaky_relu(normed, SLOPE)
        scale = None
        if dropout and self.dropout_prob > 0:
            scale = dropout_scale(x, self.dropout_prob)
            x, scale = x * scale, scale[:keep]
        return x, BlockRecord((layers[0], layers[1]), scale)
