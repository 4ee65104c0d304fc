"""Losses: one file a term; Dice and cross-entropy are MONAI's and torch's own."""

from multimix_monai.losses.alignment import DistributionAlignment, align
from multimix_monai.losses.mask_consistency import MaskConsistencyLoss, sure_pixels
from multimix_monai.losses.mask_divergence import MaskDivergenceLoss, bernoulli_divergence
from multimix_monai.losses.pseudo_label import PseudoLabelLoss, confident

__all__ = [
    "DistributionAlignment",
    "MaskConsistencyLoss",
    "MaskDivergenceLoss",
    "PseudoLabelLoss",
    "align",
    "bernoulli_divergence",
    "confident",
    "sure_pixels",
]
