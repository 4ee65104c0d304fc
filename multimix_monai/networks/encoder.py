"""Network, second stop: the shared encoder classifies the image and hands its features on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor, nn

from multimix_monai.networks import fused
from multimix_monai.networks.blocks import BlockRecord, ConvBlock


class Stage(NamedTuple):
    """One block and its pooling on the way forward."""

    block: BlockRecord
    pooled: Tensor  # (B, C, H / 2, W / 2)
    pool_indices: Tensor  # (B, C, H / 2, W / 2), flat positions of each window's first maximum
    size: tuple[int, int]  # (H, W) before pooling


class Encoded(NamedTuple):
    """What the encoder knows of a batch."""

    features: tuple[Tensor, ...]  # of each block before its pooling, finest first; of those kept
    class_logits: Tensor  # (B, classes)
    stages: tuple[Stage | fused.FusedStage, ...] | None  # only where a record was asked for


class Encoder(nn.Module):
    """Blocks with max-pooling by 2 after each; average of the last pool; linear to classes."""

    def __init__(
        self, in_channels: int, num_classes: int, *, widths: Sequence[int], dropout_prob: float
    ) -> None:
        super().__init__()
        channels = [in_channels, *widths]
        self.blocks: Sequence[ConvBlock] = nn.ModuleList(  # type: ignore[assignment]
            ConvBlock(i, o, dropout_prob=dropout_prob)
            for i, o in zip(channels, widths, strict=False)
        )
        self.classifier = nn.Linear(widths[-1], num_classes)

    def forward(self, x: Tensor, *, keep: int | None = None, fast: bool = False) -> Encoded:
        """x: (B, in_channels, H, W) -> features of the first `keep`, all if None, and all classes.

        Fast, the steps are compiled, see `fused`.
        """
        if fast:
            n = len(x) if keep is None else keep
            found, x, _ = fused.encode(self.blocks, x, keep=n, dropout=self.training)
            return Encoded(tuple(found), self.classify(x), None)
        features = []
        for block in self.blocks:
            x = block(x)
            features.append(x[:keep])
            x = F.max_pool2d(x, 2)
        return Encoded(tuple(features), self.classify(x), None)

    def forward_recorded(
        self, x: Tensor, *, keep: int, dropout: bool, fast: bool = False
    ) -> Encoded:
        """The same for the first `keep` images, with the record along which `saliency` runs back.

        Class logits are those of all. Fast, the steps are compiled, see `fused`.
        """
        if fast:
            found, x, records = fused.encode(self.blocks, x, keep=keep, dropout=dropout)
            return Encoded(tuple(found), self.classify(x), tuple(records))
        features, stages = [], []
        for block in self.blocks:
            x, record = block.forward_recorded(x, keep=keep, dropout=dropout)
            features.append(x[:keep])
            x, indices = F.max_pool2d(x, 2, return_indices=True)
            size = (x.shape[2] * 2, x.shape[3] * 2)
            stages.append(Stage(record, x.detach()[:keep], indices[:keep], size))
        return Encoded(tuple(features), self.classify(x), tuple(stages))

    def classify(self, pooled: Tensor) -> Tensor:
        """The last pooled features, (B, widths[-1], h, w) -> class logits (B, classes)."""
        logits: Tensor = self.classifier(pooled.mean(dim=(2, 3)))
        return logits
