"""Engines: what every recipe shares, its terms and the one encoder pass that serves all streams."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from multimix_monai.data.keys import Keys
from multimix_monai.engines.streams import LABEL_UNLABELLED, UNKNOWN_LABEL
from multimix_monai.engines.teacher import Teacher
from multimix_monai.losses import PseudoLabelLoss, confident
from multimix_monai.networks import Prediction

Batch = dict[str, dict[str, Tensor]]  # stream name -> collated cases


@dataclass
class Terms:
    """A step's loss: weighted terms, whose sum is minimised, and figures to watch."""

    losses: dict[str, Tensor] = field(default_factory=dict)
    monitors: dict[str, Tensor] = field(default_factory=dict)

    def total(self) -> Tensor:
        """The scalar to differentiate."""
        return torch.stack(list(self.losses.values())).sum()


class Recipe(nn.Module):
    """What turns a step's cases into terms; its buffers belong to the checkpoint."""

    def forward(self, network: nn.Module, teacher: Teacher, batch: Batch, progress: float) -> Terms:
        """The terms of a step, for the streams that the batch has.

        Args:
            network: MultiMix in training mode, maybe wrapped.
            teacher: makes the pseudo-labels.
            batch: stream name -> collated cases, on the network's device.
            progress: part of training that is done, in [0, 1].
        """
        raise NotImplementedError


def add_pseudo_labels(
    terms: Terms,
    loss: PseudoLabelLoss,
    strong_logits: Tensor,
    weak_probs: Tensor,
    *,
    weight: float,
    batch: Batch,
) -> None:
    """The class term on unlabelled images, with how many took part and how many were right.

    Args:
        terms: it is added here.
        loss: of strong logits and weak probabilities.
        strong_logits: (B, K) of the network, weak_probs: (B, K) of the teacher.
        weight: of the term.
        batch: where labels are known that training does not see.
    """
    terms.losses["pseudo_label"] = weight * loss(strong_logits, weak_probs)
    hidden = batch[LABEL_UNLABELLED][Keys.HIDDEN_LABEL]
    terms.monitors |= pseudo_label_monitors(weak_probs, hidden, threshold_prob=loss.threshold_prob)


@dataclass
class JointOutput:
    """Logits by name of what was put in."""

    seg_logits: dict[str, Tensor]
    class_logits: dict[str, Tensor]


def joint_forward(
    network: Callable[..., Prediction], *, decoded: dict[str, Tensor], classified: dict[str, Tensor]
) -> JointOutput:
    """Encode all images in one pass and decode only those that reach a mask loss.

    Args:
        network: MultiMix, maybe wrapped, or `Teacher.predict`.
        decoded: name -> (B, C, H, W) that need a mask.
        classified: name -> (B, C, H, W) that need only a class.
    """
    images = {**decoded, **classified}
    if not images:
        return JointOutput({}, {})
    sizes = [len(x) for x in images.values()]
    n = sum(len(x) for x in decoded.values())
    out = network(torch.cat(list(images.values())), decode_first=n)
    classes = dict(zip(images, out.class_logits.float().split(sizes), strict=True))
    masks = dict(zip(decoded, out.seg_logits.float().split(sizes[: len(decoded)]), strict=True))
    return JointOutput(masks, {name: classes[name] for name in classified})


def pseudo_label_monitors(
    weak_probs: Tensor, hidden: Tensor, *, threshold_prob: float
) -> dict[str, Tensor]:
    """How many pseudo-labels there are, and how many of those with a hidden truth are right."""
    sure = confident(weak_probs, threshold_prob=threshold_prob)
    monitors = {"pseudo_label_rate": sure.float().mean()}
    checked = sure & (hidden != UNKNOWN_LABEL)
    if checked.any():
        right = weak_probs.argmax(dim=1)[checked] == hidden[checked]
        monitors["pseudo_label_accuracy"] = right.float().mean()
    return monitors


def images_of(batch: Batch, wanted: dict[str, str]) -> dict[str, Tensor]:
    """Stream name -> its images, for the streams that the batch has. wanted: name -> key."""
    return {name: batch[name][key] for name, key in wanted.items() if name in batch}
