"""Arrays: grey values, for the network and to look at."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from multimix_monai.arrays.resize import fitted_size, resize
from multimix_monai.data.images import ImageError

LOWER, UPPER = 0.5, 99.5  # percentiles that become 0 and 1
PICTURE_SIDE = 1024  # pixels, of what is drawn to look at
MIN_CONTRAST = 0.005  # of the file's range [0, 1]: a little over one grey level of 8 bits


def stretched(
    plane: NDArray[np.float32], *, lower: float = LOWER, upper: float = UPPER, name: str
) -> NDArray[np.float32]:
    """A plane's percentiles become 0 and 1, what lies beyond too: exposure and bit depth drop out.

    Args:
        plane: (H, W) in [0, 1], before any padding.
        lower, upper: percentiles in [0, 100].
        name: of the file, for the error.

    Raises:
        ImageError: the percentiles lie within MIN_CONTRAST of each other.
    """
    low, high = (float(p) for p in np.percentile(plane, (lower, upper)))
    if high - low < MIN_CONTRAST:
        raise ImageError(
            f"{name}: nearly constant, {upper - lower:g} % of its pixels lie between {low:.4f} and "
            f"{high:.4f} of the range 0 to 1: leave it out"
        )
    return np.clip((plane - np.float32(low)) / np.float32(high - low), 0, 1)


def as_picture(
    plane: NDArray[np.float32], *, longest_side: int | None = PICTURE_SIDE
) -> NDArray[np.uint8]:
    """A plane (H, W) in [0, 1] in 256 steps, uint8 (h, w).

    Args:
        longest_side: what is larger is reduced to it; None leaves all rows and columns.
    """
    if longest_side and max(plane.shape) > longest_side:
        plane = resize(plane, size=fitted_size(plane.shape, longest_side=longest_side))
    return np.rint(255 * plane).astype(np.uint8)


def check_picture_side(picture_side: int | None) -> None:
    """Refuse a longest side below 1."""
    if picture_side is not None and picture_side < 1:
        raise ValueError(
            f"picture_side is {picture_side}; it must be at least 1, or null for full size"
        )
