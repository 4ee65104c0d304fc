"""Network, fourth stop: the bridge, which shows the decoder where the classifier looked."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

BRIDGE_SCALE = 8  # the first stage of the decoder works at an eighth of the image's size
BRIDGES = ("saliency", "shuffled", "zero", "none")
BLIND = ("zero", "none")  # these need no saliency


def bridge_channels(in_channels: int, *, kind: str) -> int:
    """How many channels `bridge` has.

    Raises:
        ValueError: kind is unknown.
    """
    if kind not in BRIDGES:
        raise ValueError(f"bridge is {kind!r}: use one of {BRIDGES}")
    return 0 if kind == "none" else in_channels + 1


def bridge(image: Tensor, saliency: Tensor, *, kind: str = "saliency") -> Tensor:
    """Image and saliency side by side, averaged down by 8. (B, C, H, W) -> (B, C + 1, H/8, W/8).

    Args:
        image: the network's input.
        saliency: (B, 1, H, W).
        kind: "saliency"; for experiments that ask what it is good for, "shuffled" has the same
            values in other places, "zero" has the image alone, and "none" has no channel at all.

    Source: MultiMix (arXiv 2110.13185), section 3.2, "saliency bridge".
    Differs: the published code picks every eighth pixel; a mean keeps what lies between them.
    """
    if kind == "none":
        return image.new_zeros(len(image), 0, *(n // BRIDGE_SCALE for n in image.shape[2:]))
    if kind == "shuffled":
        saliency = shuffled(saliency)
    elif kind == "zero":
        saliency = torch.zeros_like(saliency)
    return F.avg_pool2d(torch.cat([image, saliency], dim=1), BRIDGE_SCALE)


def shuffled(saliency: Tensor) -> Tensor:
    """The pixels of (B, 1, H, W) in an order of their own, the same for every image and call."""
    pixels = saliency.flatten(2)
    order = torch.randperm(pixels.shape[2], generator=torch.Generator().manual_seed(0))
    return pixels[:, :, order.to(pixels.device)].view_as(saliency)
