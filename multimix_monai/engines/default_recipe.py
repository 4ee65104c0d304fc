"""Engines: the recipe that is taken unless another is asked for."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from monai.losses import DiceCELoss
from torch import Tensor, nn

from multimix_monai.data.keys import Keys
from multimix_monai.engines import streams as s
from multimix_monai.engines.recipe import (
    Batch,
    JointOutput,
    Recipe,
    Terms,
    add_pseudo_labels,
    images_of,
    joint_forward,
)
from multimix_monai.engines.teacher import Teacher
from multimix_monai.losses import (
    DistributionAlignment,
    MaskConsistencyLoss,
    PseudoLabelLoss,
    sure_pixels,
)
from multimix_monai.transforms.cutmix import draw_patches, mixed


class DefaultRecipe(Recipe):
    """Supervised terms on both tasks, and a teacher's view of what has no annotation.

    The teacher sees the weak view; the network must say the same of the strong view: the class
    where the teacher is confident, the mask on every pixel where it is. Both terms grow in with
    training.

    Args:
        threshold_prob: least probability of a pseudo-label.
        pseudo_label_weight: of the class term on unlabelled images.
        mask_threshold_prob: least probability of a pixel's pseudo-label.
        mask_consistency_weight: of the mask term on images without a mask.
        mask_weight: of Dice and cross-entropy on annotated masks.
        ramp_up: part of training over which the two unlabelled terms reach their weights.
        align_classes: bring the pseudo-labels' class frequencies to those of the labelled cases.
        label_smoothing: of the supervised class term, in [0, 1).
        cutmix_prob: of an image without a mask to have a square of another one in its strong view.

    Source: FixMatch (arXiv 2001.07685), Mean Teacher (1703.01780), ReMixMatch (1911.09785),
        UniMatch (2208.09910).
    """

    def __init__(
        self,
        threshold_prob: float = 0.9,
        pseudo_label_weight: float = 0.5,
        mask_threshold_prob: float = 0.95,
        mask_consistency_weight: float = 0.5,
        mask_weight: float = 1.0,
        ramp_up: float = 0.25,
        align_classes: bool = True,
        label_smoothing: float = 0.0,
        cutmix_prob: float = 0.0,
    ) -> None:
        super().__init__()
        self.pseudo_label_loss = PseudoLabelLoss(threshold_prob)
        self.pseudo_label_weight = pseudo_label_weight
        self.mask_consistency_loss = MaskConsistencyLoss(mask_threshold_prob)
        self.mask_consistency_weight = mask_consistency_weight
        self.mask_loss = DiceCELoss(sigmoid=True)
        self.mask_weight = mask_weight
        self.ramp_up = ramp_up
        self.alignment = DistributionAlignment() if align_classes else None
        self.label_smoothing = label_smoothing
        self.cutmix_prob = cutmix_prob

    def forward(self, network: nn.Module, teacher: Teacher, batch: Batch, progress: float) -> Terms:
        """The terms of a step, for the streams that the batch has."""
        patches = None
        if s.MASK_UNLABELLED in batch and self.cutmix_prob:
            batch, patches = self._cut_and_mixed(batch)
        out = joint_forward(
            network,
            decoded=images_of(
                batch, {s.MASK_LABELLED: Keys.IMAGE, s.MASK_UNLABELLED: Keys.IMAGE_STRONG}
            ),
            classified=images_of(
                batch, {s.LABEL_LABELLED: Keys.IMAGE, s.LABEL_UNLABELLED: Keys.IMAGE_STRONG}
            ),
        )
        weak = joint_forward(
            teacher.predict,
            decoded=images_of(batch, {s.MASK_UNLABELLED: Keys.IMAGE_WEAK}),
            classified=images_of(batch, {s.LABEL_UNLABELLED: Keys.IMAGE_WEAK}),
        )
        terms = Terms()
        self._add_supervised(terms, batch, out)
        ramp = ramp_up(progress, over=self.ramp_up)
        if s.LABEL_UNLABELLED in batch:
            add_pseudo_labels(
                terms,
                self.pseudo_label_loss,
                out.class_logits[s.LABEL_UNLABELLED],
                self._aligned(weak.class_logits[s.LABEL_UNLABELLED].softmax(dim=1), batch),
                weight=ramp * self.pseudo_label_weight,
                batch=batch,
            )
        if s.MASK_UNLABELLED in batch:
            probs = torch.sigmoid(weak.seg_logits[s.MASK_UNLABELLED])
            probs = probs if patches is None else mixed(probs, patches)
            self._add_mask_consistency(terms, out.seg_logits[s.MASK_UNLABELLED], probs, ramp=ramp)
        return terms

    def _cut_and_mixed(self, batch: Batch) -> tuple[Batch, Tensor]:
        """The batch with squares of others in the strong views without a mask, and where."""
        cases = batch[s.MASK_UNLABELLED]
        patches = draw_patches(cases[Keys.IMAGE_STRONG], prob=self.cutmix_prob)
        strong = mixed(cases[Keys.IMAGE_STRONG], patches)
        return {**batch, s.MASK_UNLABELLED: {**cases, Keys.IMAGE_STRONG: strong}}, patches

    def _add_supervised(self, terms: Terms, batch: Batch, out: JointOutput) -> None:
        if s.LABEL_LABELLED in batch:
            terms.losses["class"] = F.cross_entropy(
                out.class_logits[s.LABEL_LABELLED],
                batch[s.LABEL_LABELLED][Keys.LABEL],
                label_smoothing=self.label_smoothing,
            )
        if s.MASK_LABELLED in batch:
            truth = batch[s.MASK_LABELLED][Keys.MASK]
            terms.losses["mask"] = self.mask_weight * self.mask_loss(
                out.seg_logits[s.MASK_LABELLED], truth
            )

    def _aligned(self, probs: Tensor, batch: Batch) -> Tensor:
        if self.alignment is None or s.LABEL_LABELLED not in batch:
            return probs
        return self.alignment(probs, labels=batch[s.LABEL_LABELLED][Keys.LABEL])

    def _add_mask_consistency(
        self, terms: Terms, strong: Tensor, probs: Tensor, *, ramp: float
    ) -> None:
        """strong: the network's mask logits (B, M, H, W); probs: the teacher's, in [0, 1]."""
        loss = self.mask_consistency_loss(strong, probs)
        terms.losses["mask_consistency"] = ramp * self.mask_consistency_weight * loss
        sure = sure_pixels(probs, threshold_prob=self.mask_consistency_loss.threshold_prob)
        terms.monitors["sure_pixels"] = sure.float().mean()


def ramp_up(progress: float, *, over: float) -> float:
    """exp(-5 (1 - t)^2) with t from 0 to 1 over the first part of training; progress in [0, 1].

    Source: temporal ensembling (arXiv 1610.02242), section 2.
    """
    t = min(1.0, progress / over) if over > 0 else 1.0
    return float(torch.exp(torch.tensor(-5.0 * (1 - t) ** 2)))
