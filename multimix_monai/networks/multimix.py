"""Network, the whole: one encoder for both tasks, a saliency bridge, a decoder for the mask."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from multimix_monai.networks.bridge import BLIND, bridge, bridge_channels
from multimix_monai.networks.decoder import Decoder
from multimix_monai.networks.encoder import Encoded, Encoder
from multimix_monai.networks.saliency import saliency

SALIENCY_PASSES = ("shared", "separate")


class Prediction(NamedTuple):
    """What MultiMix says of a batch."""

    seg_logits: Tensor  # (N, mask_channels, H, W), N is B or `decode_first`
    class_logits: Tensor  # (B, classes)
    saliency: Tensor  # (N, 1, H, W), at least 0, without gradient


class MultiMix(nn.Module):
    """Classification and segmentation from one encoder, joined by a saliency bridge.

    Args:
        in_channels: channels of the image.
        num_classes: classes of the image label.
        mask_channels: channels of the mask.
        widths: channels of the five encoder blocks; 1,965,173 parameters with the defaults.
        dropout_prob: at the end of each block, in [0, 1).
        saliency_pass: in training, whether the saliency comes from the "shared" pass, dropout and
            all, or from a "separate" one without dropout, as published. Shared is the default: a
            step takes 0.88 of the time (tests/benchmarks/test_saliency.py), and validation Dice
            was alike (0.944 and 0.944 on 9 patients, mean of 3 seeds, 200 steps at 96 pixels).
            In evaluation both are the same.
        bridge: what the decoder sees of the classifier, see `bridge`; all but "saliency" are there
            for comparison. "zero" and "none" train without the saliency, which is then 0.

    Example:
        >>> MultiMix()(torch.rand(2, 1, 64, 64)).seg_logits.shape
        torch.Size([2, 1, 64, 64])

    Source: MultiMix, ISBI 2021 (arXiv 2010.14731) and MELBA 2021:011 (arXiv 2110.13185).
    Differs: the saliency is an explicit vector-Jacobian product (see `saliency`), so forward needs
        neither
        a graph nor an optimiser, and evaluation is deterministic.
    """

    def __init__(
        self,
        in_channels: int = 1,
        num_classes: int = 2,
        mask_channels: int = 1,
        widths: Sequence[int] = (16, 32, 64, 128, 256),
        dropout_prob: float = 0.25,
        saliency_pass: str = "shared",
        bridge: str = "saliency",
    ) -> None:
        super().__init__()
        if len(widths) != 5:
            raise ValueError(f"widths is {tuple(widths)}: five are needed, one an encoder block")
        if not 0 <= dropout_prob < 1:
            raise ValueError(f"dropout_prob is {dropout_prob}; it must lie in [0, 1)")
        if saliency_pass not in SALIENCY_PASSES:
            raise ValueError(f"saliency_pass is {saliency_pass!r}: use one of {SALIENCY_PASSES}")
        self.encoder = Encoder(in_channels, num_classes, widths=widths, dropout_prob=dropout_prob)
        channels = bridge_channels(in_channels, kind=bridge)
        self.decoder = Decoder(channels, mask_channels, widths=widths, dropout_prob=dropout_prob)
        self.bridge = bridge
        self.in_channels = in_channels
        self.fused = False
        self.saliency_pass = saliency_pass
        self.divisor = 2 ** len(widths)

    def forward(self, x: Tensor, *, decode_first: int | None = None) -> Prediction:
        """Predict. x: (B, in_channels, H, W), H and W divisible by 32.

        Args:
            decode_first: only the first so many images need a mask, the others only a class; all if
                None.

        Raises:
            ValueError: a size is not divisible by 32.
        """
        check_size(x, self.divisor)
        n = x.shape[0] if decode_first is None else decode_first
        if n == 0:
            empty = x.new_zeros(0, 1, *x.shape[2:])
            seg_logits = empty.expand(0, self.decoder.head.out_channels, *x.shape[2:])
            encoded = self.encoder(x, fast=self.is_fast())
            return Prediction(seg_logits, encoded.class_logits, empty)
        encoded, saliency_map = self.encode(x, n)
        seg_logits = self.decoder(
            encoded.features,
            bridge(x[:n], saliency_map, kind=self.bridge),
            fast=self.is_fast(),
        )
        return Prediction(seg_logits, encoded.class_logits, saliency_map)

    def is_fast(self) -> bool:
        """Whether to go the compiled way: where it was asked for, and a record is of use."""
        return self.fused and not (torch.is_inference_mode_enabled() or torch.jit.is_tracing())

    def encode(self, x: Tensor, n: int) -> tuple[Encoded, Tensor]:
        """Encode all images, with the saliency of the first n: (n, 1, H, W)."""
        weight, fast = self.encoder.classifier.weight, self.is_fast()
        if self.training and self.bridge in BLIND:
            return self.encoder(x, keep=n, fast=fast), x.new_zeros(n, 1, *x.shape[2:])
        if self.training and self.saliency_pass == "separate":
            # Before the other pass: autocast reuses copies of the weights, and these need a graph.
            encoded = self.encoder(x, keep=n, fast=fast)
            with torch.no_grad():
                still = self.encoder.forward_recorded(x[:n], keep=n, dropout=False, fast=fast)
            return encoded, saliency(still, classifier_weight=weight)
        encoded = self.encoder.forward_recorded(x, keep=n, dropout=self.training, fast=fast)
        return encoded, saliency(encoded, classifier_weight=weight)


def check_size(x: Tensor, divisor: int) -> None:
    """Refuse an image that five poolings cannot halve evenly."""
    height, width = x.shape[-2:]
    if height % divisor or width % divisor:
        raise ValueError(
            f"image is {height}x{width}; both must be divisible by {divisor}: "
            f"resize, or pad with monai.transforms.DivisiblePad(k={divisor})"
        )
