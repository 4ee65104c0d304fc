"""Arrays: what the network says of one radiograph, taken apart."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, softmax


class Output(NamedTuple):
    """One radiograph's results on the network's grid."""

    mask_probs: NDArray[np.float32]  # (mask_channels, S, S)
    saliency: NDArray[np.float32]  # (1, S, S), at least 0
    probs: NDArray[np.float32]  # (classes,), calibrated
    raw_probs: NDArray[np.float32]  # (classes,), as the network gives them


def unpack(
    packed: NDArray[np.float32],
    *,
    mask_channels: int = 1,
    num_classes: int = 2,
    temperature: float = 1.0,
) -> Output:
    """Take the packed output apart: `networks.pack`, undone.

    Args:
        packed: (mask_channels + 1 + num_classes, S, S): mask logits, saliency, and class logits,
            each spread evenly over its plane.
        mask_channels: how many come first.
        num_classes: how many come last.
        temperature: divides the class logits of `probs`, above 0; it changes no ranking.

    Raises:
        ValueError: the number of channels is another, or temperature is not above 0.
    """
    check_temperature(temperature)
    channels = mask_channels + 1 + num_classes
    if packed.ndim != 3 or packed.shape[0] != channels:
        raise ValueError(
            f"'pred' has shape {packed.shape}; expected ({channels}, H, W): {mask_channels} mask, "
            f"1 saliency, {num_classes} class channels of one decollated case: wrap the network in "
            "PackedMultiMix, or decollate the batch"
        )
    class_logits = packed[mask_channels + 1 :, 0, 0]
    return Output(
        mask_probs=expit(packed[:mask_channels]),
        saliency=packed[mask_channels : mask_channels + 1].copy(),
        probs=softmax(class_logits / np.float32(temperature)),
        raw_probs=softmax(class_logits),
    )


def check_temperature(temperature: float) -> None:
    """Refuse what is not above 0 and finite."""
    if not 0 < temperature < math.inf:
        raise ValueError(f"temperature is {temperature}; it must be above 0 and finite")
