"""Losses: the published divergence between masks of labelled and of unlabelled images."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def bernoulli_divergence(logits_p: Tensor, logits_q: Tensor) -> Tensor:
    """KL(p || q) of two Bernoulli variables, elementwise, at least 0, in nats."""
    p = torch.sigmoid(logits_p)
    agree = p * (F.logsigmoid(logits_p) - F.logsigmoid(logits_q))
    return agree + (1 - p) * (F.logsigmoid(-logits_p) - F.logsigmoid(-logits_q))


class MaskDivergenceLoss(torch.nn.Module):
    """Mean KL divergence between the predicted masks of labelled and of unlabelled images.

    The i-th labelled is compared with the i-th unlabelled image; of the longer batch the rest is
    left out.

    Raises:
        ValueError: masks of unequal size.

    Source: MultiMix (arXiv 2110.13185), equation 6.
    Differs: every pixel is a Bernoulli variable. The published code takes a softmax over the one
        mask channel,
        which is 1 everywhere, so that its divergence and gradient are exactly 0.
    """

    def forward(self, labelled_logits: Tensor, unlabelled_logits: Tensor) -> Tensor:
        """Both (B, M, H, W), batches may differ -> scalar, at least 0."""
        if labelled_logits.shape[1:] != unlabelled_logits.shape[1:]:
            raise ValueError(
                f"masks are {tuple(labelled_logits.shape[1:])} and "
                f"{tuple(unlabelled_logits.shape[1:])}; they must be of one size"
            )
        n = min(len(labelled_logits), len(unlabelled_logits))
        return bernoulli_divergence(
            labelled_logits[:n].float(), unlabelled_logits[:n].float()
        ).mean()
