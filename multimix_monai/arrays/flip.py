"""Arrays: does the network say the same of a radiograph and of its mirror image?"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from multimix_monai.arrays.output import unpack


def flip_measures(
    packed: NDArray[np.float32],
    flipped: NDArray[np.float32],
    *,
    threshold_prob: float,
    mask_channels: int = 1,
    num_classes: int = 2,
) -> dict[str, float]:
    """``flip_mask`` and ``flip_prob``, by how much the two differ, each in [0, 1].

    Args:
        packed: (mask_channels + 1 + num_classes, S, S), of the image.
        flipped: the same of its mirror image, as the network gave it.
        threshold_prob: a pixel at or above it belongs to the mask.
    """
    sizes = {"mask_channels": mask_channels, "num_classes": num_classes}
    a, b = (unpack(output, **sizes) for output in (packed, flipped[..., ::-1]))
    masks = (output.mask_probs >= np.float32(threshold_prob) for output in (a, b))
    # Uncalibrated, so that the measure's range does not hang on a calibration.
    return {
        "flip_mask": mask_disagreement(*masks),
        "flip_prob": abs(float(a.raw_probs[-1]) - float(b.raw_probs[-1])),
    }


def mask_disagreement(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    """1 - Dice of two masks of one shape; 0 where both are empty."""
    size = np.count_nonzero(a) + np.count_nonzero(b)
    return float(1 - 2 * np.count_nonzero(a & b) / size) if size else 0.0
