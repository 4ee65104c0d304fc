"""Engines: the published recipe, its defects repaired."""

from __future__ import annotations

import torch.nn.functional as F
from monai.losses import DiceLoss
from torch import nn

from multimix_monai.data.keys import Keys
from multimix_monai.engines import streams as s
from multimix_monai.engines.recipe import (
    Batch,
    Recipe,
    Terms,
    add_pseudo_labels,
    images_of,
    joint_forward,
)
from multimix_monai.engines.teacher import Teacher
from multimix_monai.losses import MaskDivergenceLoss, PseudoLabelLoss

DIVERGENCES = ("other_images", "views")


class PaperRecipe(Recipe):
    """L = CE(C_l) + λ pseudo-labels(C_u) + α Dice(S_l) + β KL(S_l || S_u).

    Args:
        threshold_prob: t, least probability of a pseudo-label.
        pseudo_label_weight: λ.
        dice_weight: α; the paper takes 5 for small and 1 for large label sets.
        divergence_weight: β.
        divergence_of: "other_images", as published, or "views": the teacher's mask of the weak view
            against the network's of the strong view of one image, pixel by pixel.

    Raises:
        ValueError: divergence_of is unknown.

    Source: MultiMix (arXiv 2110.13185), equations 1 to 6 and section 4.2.
    Differs: the divergence is that of Bernoulli variables (published: identically 0); pseudo-labels
        come from a pass without dropout; each case gives its own weak and strong view, freshly
        shuffled and augmented.
    """

    def __init__(
        self,
        threshold_prob: float = 0.7,
        pseudo_label_weight: float = 0.25,
        dice_weight: float = 5.0,
        divergence_weight: float = 0.01,
        divergence_of: str = "other_images",
    ) -> None:
        super().__init__()
        if divergence_of not in DIVERGENCES:
            raise ValueError(f"divergence_of is {divergence_of!r}: use one of {DIVERGENCES}")
        self.pseudo_label_loss = PseudoLabelLoss(threshold_prob)
        self.divergence_loss = MaskDivergenceLoss()
        self.dice_loss = DiceLoss(sigmoid=True)
        self.pseudo_label_weight = pseudo_label_weight
        self.dice_weight = dice_weight
        self.divergence_weight = divergence_weight
        self.of_views = divergence_of == "views"

    def forward(self, network: nn.Module, teacher: Teacher, batch: Batch, progress: float) -> Terms:
        """The terms of a step, for the streams that the batch has."""
        out = joint_forward(
            network,
            decoded=images_of(
                batch,
                {
                    s.MASK_LABELLED: Keys.IMAGE,
                    s.MASK_UNLABELLED: Keys.IMAGE_STRONG if self.of_views else Keys.IMAGE_WEAK,
                },
            ),
            classified=images_of(
                batch, {s.LABEL_LABELLED: Keys.IMAGE, s.LABEL_UNLABELLED: Keys.IMAGE_STRONG}
            ),
        )
        terms = Terms()
        if s.LABEL_LABELLED in batch:
            terms.losses["class"] = F.cross_entropy(
                out.class_logits[s.LABEL_LABELLED], batch[s.LABEL_LABELLED][Keys.LABEL]
            )
        if s.LABEL_UNLABELLED in batch:
            weak = teacher.predict(batch[s.LABEL_UNLABELLED][Keys.IMAGE_WEAK], decode_first=0)
            add_pseudo_labels(
                terms,
                self.pseudo_label_loss,
                out.class_logits[s.LABEL_UNLABELLED],
                weak.class_logits.float().softmax(dim=1),
                weight=self.pseudo_label_weight,
                batch=batch,
            )
        if s.MASK_LABELLED in batch:
            truth = batch[s.MASK_LABELLED][Keys.MASK]
            dice = self.dice_loss(out.seg_logits[s.MASK_LABELLED], truth)
            terms.losses["dice"] = self.dice_weight * dice
        if s.MASK_LABELLED in batch and s.MASK_UNLABELLED in batch:
            reference = out.seg_logits[s.MASK_LABELLED]
            if self.of_views:
                reference = teacher.predict(batch[s.MASK_UNLABELLED][Keys.IMAGE_WEAK]).seg_logits
            divergence = self.divergence_loss(reference, out.seg_logits[s.MASK_UNLABELLED])
            terms.losses["divergence"] = self.divergence_weight * divergence
        return terms
