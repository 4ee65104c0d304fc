"""Engines: how unsure the network is of a case, and what the case looks like to it.

It is asked three times: of the image, of its mirror image, and of one a little smaller and darker.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from multimix_monai.arrays.flip import mask_disagreement
from multimix_monai.engines.sampling import Informativeness
from multimix_monai.networks import MultiMix
from multimix_monai.transforms.batch import beside
from multimix_monai.transforms.intensity import gamma
from multimix_monai.transforms.spatial import Geometry, places, read_at

ZOOM = 0.9  # of the smaller view
GAMMA = 1.25  # of the same
SIDE = 16  # of the picture that stands for a case before there is a network


def appearance(images: Tensor) -> list[Informativeness]:
    """What is known of cases before there is a network: how they look, in 16 x 16 pixels.

    images: (B, 1, S, S) in [0, 1], preprocessed.
    """
    small = F.adaptive_avg_pool2d(images.float(), SIDE).flatten(1)
    return [Informativeness({}, row) for row in small.cpu().numpy()]


@torch.inference_mode()
def informativeness(
    network: MultiMix, images: Tensor, *, threshold_prob: float = 0.5
) -> list[Informativeness]:
    """What choosing the next case needs to know of each image, from one pass over three views.

    The measures, each in [0, 1]: ``mask_doubt``, 1 - the Dice to be expected of the mask by its own
    probabilities; ``mask_disagreement``, 1 - Dice between the masks of the views; ``class_doubt``,
    the entropy of the classes; ``class_disagreement``, by how much a class's probability changes
    between views. The features are what the classes are told from, 256 numbers.

    Args:
        network: in whichever mode; it is asked in evaluation and left as it was.
        images: (B, 1, S, S) in [0, 1], preprocessed.
        threshold_prob: a pixel at or above it belongs to the mask.

    Raises:
        ValueError: a side is not divisible by 32.

    Source: expected Dice, Soft Dice Confidence (arXiv 2402.10665).
    """
    images = images.to(network.encoder.classifier.weight.device)
    views = torch.cat([images, images.flip(-1), _smaller(images)])
    with _evaluating(network), _pooled_features(network) as pooled:
        # Asked as the class does, since a packed network gives one tensor.
        seg_logits, class_logits, _ = MultiMix.forward(network, views)
    straight, mirrored, small = seg_logits.sigmoid().chunk(3)
    probs = torch.stack([straight, mirrored.flip(-1), _zoomed(small, 1 / ZOOM)], dim=1)
    classes = torch.stack(class_logits.softmax(dim=1).chunk(3), dim=1)
    features = pooled[0][: len(images)].float().cpu().numpy()
    return [
        Informativeness(_measures(p, c, threshold_prob=threshold_prob), row)
        for p, c, row in zip(probs.cpu().numpy(), classes.cpu().numpy(), features, strict=True)
    ]


def expected_dice(probs: NDArray[np.floating], mask: NDArray[np.bool_]) -> float:
    """Dice of a mask with the truth, if each pixel is lung with its probability; 0 for no lung.

    Args:
        probs: (..., H, W) in [0, 1].
        mask: of the same shape.
    """
    size = float(probs.sum(dtype=np.float64)) + int(mask.sum())
    return 2 * float(probs[mask].sum(dtype=np.float64)) / size if size else 0.0


def entropy(probs: NDArray[np.floating]) -> float:
    """Of classes, (K,), 1 where all are equally likely and 0 where one is certain."""
    p = np.asarray(probs, dtype=np.float64)
    return float(-(p * np.log(np.maximum(p, 1e-12))).sum() / np.log(p.size))


def _measures(
    probs: NDArray[np.float32], classes: NDArray[np.float32], *, threshold_prob: float
) -> dict[str, float]:
    """probs: (views, M, S, S), undone and the image's own first; classes: (views, K)."""
    masks = probs >= np.float32(threshold_prob)
    return {
        "mask_doubt": 1 - expected_dice(probs[0], masks[0]),
        "mask_disagreement": float(np.mean([mask_disagreement(masks[0], m) for m in masks[1:]])),
        "class_doubt": entropy(classes[0]),
        "class_disagreement": float(np.abs(classes[1:] - classes[0]).max()),
    }


def _smaller(images: Tensor) -> Tensor:
    return gamma(_zoomed(images, ZOOM), GAMMA)


def _zoomed(images: Tensor, zoom: float) -> Tensor:
    """images: (B, C, S, S) -> the same about their centre, 0 outside."""
    matrix = Geometry(zoom=np.full(len(images), zoom)).matrix()
    return read_at(images, places(images, beside(matrix, images)))


@contextmanager
def _evaluating(network: nn.Module) -> Iterator[None]:
    was_training = network.training
    try:
        network.eval()
        yield
    finally:
        network.train(was_training)


@contextmanager
def _pooled_features(network: MultiMix) -> Iterator[list[Tensor]]:
    """What the classifier is given in each pass of this thread, (B, widths[-1]) each."""
    seen: list[Tensor] = []
    thread = threading.get_ident()

    def keep(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        if threading.get_ident() == thread:  # a server may predict meanwhile
            seen.append(inputs[0])

    hook = network.encoder.classifier.register_forward_pre_hook(keep)
    try:
        yield seen
    finally:
        hook.remove()
