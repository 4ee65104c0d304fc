"""Path of data, going back: which lung of a mask is the patient's right one, and which the left."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

SMALLEST_PART = 0.1  # of the largest component: what is smaller is a crumb, not the other lung
_NEIGHBOURS = np.ones((3, 3), dtype=bool)


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
    labels, count = ndimage.label(mask, structure=_NEIGHBOURS)
    if count < 2:
        return None
    sizes = np.bincount(labels.ravel())[1:]
    first, second = np.argsort(sizes, kind="stable")[::-1][:2]
    if sizes[second] < SMALLEST_PART * sizes[first]:
        return None
    boxes = ndimage.find_objects(labels)
    centres = np.array(
        [_centre(labels[box] == i, axis, box[axis].start) for i, box in enumerate(boxes, start=1)]
    )
    extents = [box[axis] for box in boxes]
    if _within(centres[first], extents[second]) or _within(centres[second], extents[first]):
        return None
    is_low = np.concatenate([[False], centres < (centres[first] + centres[second]) / 2])
    low = np.where(is_low[labels], mask, 0).astype(np.uint8)
    return low, (mask - low).astype(np.uint8)


def _centre(part: NDArray[np.bool_], axis: int, start: int) -> float:
    """Mean position of a component, of its box (h, w) beginning at start, along an axis."""
    counts = part.sum(axis=1 - axis)
    return float(start + counts @ np.arange(len(counts)) / counts.sum())


def _within(centre: float, extent: slice) -> bool:
    return bool(extent.start <= centre <= extent.stop - 1)
