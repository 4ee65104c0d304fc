"""Network, fifth stop: the decoder, from features and the saliency bridge to the mask's logits."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from multimix_monai.networks import fused
from multimix_monai.networks.blocks import ConvBlock


class Decoder(nn.Module):
    """Bilinear x2, concatenate the skip (first stage: the bridge too), block; at last a 1x1 conv.

    Differs: upsampling does not align corners, so that a pixel keeps its place at every size.
    """

    def __init__(
        self,
        bridge_channels: int,
        mask_channels: int,
        *,
        widths: Sequence[int],
        dropout_prob: float,
    ) -> None:
        super().__init__()
        skips = list(widths[-2::-1])
        below = list(widths[:0:-1])
        extra = [bridge_channels] + [0] * (len(skips) - 1)
        self.blocks: Sequence[ConvBlock] = nn.ModuleList(  # type: ignore[assignment]
            ConvBlock(b + s + e, s, dropout_prob=dropout_prob)
            for b, s, e in zip(below, skips, extra, strict=True)
        )
        self.head = nn.Conv2d(widths[0], mask_channels, kernel_size=1)
        # The published network carries a second head that nothing calls. It stays, frozen, so that
        # the parameter count is the published one and its checkpoints find a place for each tensor.
        self.unused_head = nn.Conv2d(widths[0] + 1, mask_channels, kernel_size=1)
        self.unused_head.requires_grad_(False)

    def forward(self, features: Sequence[Tensor], bridge: Tensor, *, fast: bool = False) -> Tensor:
        """features: finest first; bridge: (B, C, H/8, W/8) -> mask logits (B, M, H, W).

        Fast, the steps are compiled, see `fused`.
        """
        decode = fused.decode if fast else plain_decode
        logits: Tensor = self.head(decode(self.blocks, features, bridge))
        return logits


def plain_decode(blocks: Sequence[ConvBlock], features: Sequence[Tensor], bridge: Tensor) -> Tensor:
    """All blocks. -> (B, widths[0], H, W)."""
    x = features[-1]
    extras: list[Tensor] = [bridge]
    for block, skip in zip(blocks, features[-2::-1], strict=True):
        x = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
        x = block(torch.cat([x, skip, *extras], dim=1))
        extras = []
    return x
