"""Benchmarks, other rivals: what a user would take instead, which classifies nothing."""

from __future__ import annotations

import torch
from monai.losses import DiceLoss
from monai.networks.nets import BasicUNet, FlexibleUNet
from torch import Tensor, nn

from tests.benchmarks.published import Decoder, Encoder

RIVALS = ("plain U-Net", "monai BasicUNet", "monai FlexibleUNet")


class PlainUNet(nn.Module):
    """The published encoder and decoder without classifier, saliency and bridge."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = Encoder()
        del self.encoder.classifier
        self.decoder = Decoder(bridge_channels=0)

    def forward(self, x: Tensor) -> Tensor:
        """x: (B, 1, H, W) -> mask logits (B, 1, H, W)."""
        encoder, features = self.encoder, []
        for number, layer in enumerate(encoder.blocks):
            x = layer(encoder.pool(x) if number else x)
            features.append(x)
        return self.decoder(features, [])


def rival(name: str) -> nn.Module:
    """One of RIVALS with its own defaults, from one channel to one.

    Args:
        name: "monai FlexibleUNet" has the smallest EfficientNet as its encoder.
    """
    if name == "plain U-Net":
        return PlainUNet()
    if name == "monai BasicUNet":
        return BasicUNet(spatial_dims=2, in_channels=1, out_channels=1)
    return FlexibleUNet(in_channels=1, out_channels=1, backbone="efficientnet-b0")


class SupervisedStep:
    """One step of training a network of masks: Dice, Adam."""

    def __init__(self, network: nn.Module, *, autocast: bool = False) -> None:
        self.network = network.train()
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=1e-4)
        self.dice = DiceLoss(sigmoid=True)
        self.autocast = autocast

    def __call__(self, images: Tensor, masks: Tensor) -> Tensor:
        """images, masks: (B, 1, H, W) -> the loss."""
        with torch.autocast(images.device.type, dtype=torch.bfloat16, enabled=self.autocast):
            logits = self.network(images)
        loss = self.dice(logits.float(), masks)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return loss.detach()
