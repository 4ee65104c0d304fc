"""Path of data, going back: which lung of a mask is the patient's right one, and which the left."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from multimix_monai.arrays.parts import Part, parts_of

SMALLEST_PART = 0.1  # of the largest component: what is smaller is a crumb, not the other lung


def split_lungs(
    mask: NDArray[np.uint8], orientation: tuple[str, str] | None
) -> dict[str, NDArray[np.uint8]]:
    """Right and left lung of a mask, where both can be told; a split is never invented.

    The two largest components are the lungs if the smaller one has at least a tenth of the larger
    one's area and neither one's centre lies within the other's extent from left to right: else it
    may be one lung in two pieces, or both lungs in one. Smaller components go to the side, of the
    line midway between the two centres, on which their own centre lies.

    Args:
        mask: (H, W) of 0 and 1, on the grid as stored.
        orientation: directions of a row and of a column as letters, as of `patient_orientation`.

    Returns:
        {} for an empty mask; else {"right lung", "left lung"} where they can be told, and {"lung"}
        otherwise. The parts never overlap, and together they are the mask.

    Source: PS3.3 C.7.6.1.1.1 (Patient Orientation (0020,0020)).
    """
    if not mask.any():
        return {}
    axis, leftwards = _left_right_axis(orientation)
    sides = None if axis is None else _sides(mask, axis)
    if sides is None:
        return {"lung": mask}
    low, high = sides
    right, left = (low, high) if leftwards else (high, low)
    return {"right lung": right, "left lung": left}


def _left_right_axis(orientation: tuple[str, str] | None) -> tuple[int | None, bool]:
    """The array axis from side to side of the patient, and whether it runs to the left."""
    row, column = orientation or ("", "")
    for axis, direction in ((1, row[:1]), (0, column[:1])):
        if direction in ("L", "R"):
            return axis, direction == "L"
    return None, False


def _sides(
    mask: NDArray[np.uint8], axis: int
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]] | None:
    """The mask on the low and on the high side of an axis; None where there are no two sides."""
    parts = parts_of(mask)
    if len(parts) < 2:
        return None
    second, first = sorted(range(len(parts)), key=lambda n: parts[n].size)[-2:]
    if parts[second].size < SMALLEST_PART * parts[first].size:
        return None
    centres, extents = [_centre(part, axis) for part in parts], [part.box[axis] for part in parts]
    if _within(centres[first], extents[second]) or _within(centres[second], extents[first]):
        return None
    low = np.zeros_like(mask)
    for part, centre in zip(parts, centres, strict=True):
        if centre < (centres[first] + centres[second]) / 2:
            low[part.box] |= part.pixels
    return low, mask - low


def _centre(part: Part, axis: int) -> float:
    """Mean position of a part along an axis."""
    counts = part.pixels.sum(axis=1 - axis)
    return float(part.box[axis].start + counts @ np.arange(len(counts)) / counts.sum())


def _within(centre: float, extent: slice) -> bool:
    return bool(extent.start <= centre <= extent.stop - 1)
