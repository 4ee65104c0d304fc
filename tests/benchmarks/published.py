"""Benchmarks, the rival to beat: the published formulation, stated anew in plain modules.

Written from the paper's equations and from what its authors' code is known to do; no line is
theirs. Every batch is encoded twice, once in evaluation mode for the saliency, whose backward pass
also fills the gradients of the weights (they are then cleared), and once in training mode for the
features; all images of a step are decoded.

Source: MultiMix, ISBI 2021 (arXiv 2010.14731) and MELBA 2021:011 (arXiv 2110.13185), section 3.
Differs: a prediction leaves the network in the mode it was in.
"""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from monai.losses import DiceLoss
from torch import Tensor, nn

WIDTHS = (16, 32, 64, 128, 256)
PASSES = (
    ("mask_labelled", "image"),
    ("mask_unlabelled", "image_weak"),
    ("label_labelled", "image"),
    ("label_unlabelled", "image_weak"),
    ("label_unlabelled", "image_strong"),
)
Batch = dict[str, dict[str, Tensor]]


def block(in_channels: int, out_channels: int) -> nn.Sequential:
    """(conv 3x3, InstanceNorm, LeakyReLU 0.2) twice, dropout."""
    layers: list[nn.Module] = []
    for channels in (in_channels, out_channels):
        layers += [
            nn.Conv2d(channels, out_channels, kernel_size=3, padding=1),
            nn.InstanceNorm2d(out_channels),
            nn.LeakyReLU(0.2),
        ]
    return nn.Sequential(*layers, nn.Dropout(0.25))


class Encoder(nn.Module):
    """Five blocks, max-pooling after each; average of the last pool; linear to two classes."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(block(i, o) for i, o in pairwise((1, *WIDTHS)))
        self.pool = nn.MaxPool2d(2)
        self.classifier = nn.Linear(WIDTHS[-1], 2)

    def forward(self, x: Tensor) -> tuple[list[Tensor], Tensor]:
        """x: (B, 1, H, W) -> features, finest first, and class logits (B, 2)."""
        features = []
        for layer in self.blocks:
            features.append(layer(x))
            x = self.pool(features[-1])
        return features, self.classifier(x.mean(dim=(2, 3)))


class Decoder(nn.Module):
    """Four times: bilinear x2, concatenate the skip (at first the bridge too), block."""

    def __init__(self, bridge_channels: int) -> None:
        super().__init__()
        ins = [b + s for b, s in pairwise(WIDTHS[::-1])]
        ins[0] += bridge_channels
        self.up = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True)
        self.blocks = nn.ModuleList(block(i, o) for i, o in zip(ins, WIDTHS[-2::-1], strict=True))
        self.head = nn.Conv2d(WIDTHS[0], 1, kernel_size=1)

    def forward(self, features: list[Tensor], bridge: list[Tensor]) -> Tensor:
        """features: finest first; bridge: (B, C, H/8, W/8), one or none -> logits (B, 1, H, W)."""
        x, extra = features[-1], bridge
        for layer, skip in zip(self.blocks, features[-2::-1], strict=True):
            x = layer(torch.cat([self.up(x), skip, *extra], dim=1))
            extra = []
        return self.head(x)


class PublishedMultiMix(nn.Module):
    """The whole network; forward needs a graph and leaves no gradient in the weights."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = Encoder()
        self.decoder = Decoder(bridge_channels=2)
        self.uncalled_head = nn.Conv2d(WIDTHS[0] + 1, 1, kernel_size=1)  # as published

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """x: (B, 1, H, W) -> mask logits (B, 1, H, W), class logits (B, 2), saliency as x."""
        saliency = self.saliency(x)
        with torch.set_grad_enabled(self.training):
            features, class_logits = self.encoder(x)
            bridge = F.interpolate(torch.cat([x, saliency], dim=1), scale_factor=1 / 8)
            return self.decoder(features, [bridge]), class_logits, saliency

    def saliency(self, x: Tensor) -> Tensor:
        """Absolute gradient of the winning class score, by a backward pass through everything."""
        was_training = self.encoder.training
        self.encoder.eval()
        with torch.enable_grad():
            leaf = x.detach().clone().requires_grad_()
            self.encoder(leaf)[1].amax(dim=1).sum().backward()
        self.zero_grad()
        self.encoder.train(was_training)
        assert leaf.grad is not None
        return leaf.grad.abs()


class PublishedStep:
    """One step of training on the four streams, the fourth in two views, each a batch of its own.

    L = CE(C_l) + 0.25 pseudo-labels(C_u) + 5 Dice(S_l) + 0.01 KL(labelled || unlabelled masks),
    Adam at 1e-4.

    Args:
        device: of the network.
        all_masks: the divergence takes the masks of the class streams too, so that all images are
            differentiated through the decoder, as by the published code; else only those of S_l
            and S_u, as equation 6 may be read.
    """

    def __init__(self, *, device: str = "cpu", all_masks: bool = True) -> None:
        self.network = PublishedMultiMix().to(device).train()
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=1e-4)
        self.dice = DiceLoss(sigmoid=True)
        self.all_masks = all_masks

    def __call__(self, batch: Batch) -> Tensor:
        """batch: as `engines.StreamDataset` gives it -> the loss."""
        passes = [self.network(batch[stream][key])[:2] for stream, key in PASSES]
        masks, classes = zip(*passes, strict=True)
        seg_l, seg_u, class_l, weak, strong = masks
        loss = (
            F.cross_entropy(classes[2], batch["label_labelled"]["label"])
            + 0.25 * pseudo_label(classes[4], classes[3].detach().softmax(dim=1))
            + 5 * self.dice(seg_l, batch["mask_labelled"]["mask"])
            + 0.01 * divergence(seg_l, seg_u)
        )
        if self.all_masks:
            loss = loss + 0.01 * (divergence(class_l, weak) + divergence(class_l, strong))
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return loss.detach()


def pseudo_label(strong_logits: Tensor, weak_probs: Tensor) -> Tensor:
    """Cross-entropy against the class of the weak view where that has 0.7 or more. (B, 2) each."""
    sure, target = weak_probs.max(dim=1)
    return (F.cross_entropy(strong_logits, target, reduction="none") * (sure >= 0.7)).mean()


def divergence(logits_p: Tensor, logits_q: Tensor) -> Tensor:
    """KL of softmaxes over the one mask channel, as published: 0, as is its gradient. (B, 1, H, W).

    The work is done all the same. Of the longer batch the rest is left out.
    """
    n = min(len(logits_p), len(logits_q))
    p, q = logits_p[:n].softmax(dim=1), logits_q[:n].log_softmax(dim=1)
    return F.kl_div(q, p, reduction="mean")
