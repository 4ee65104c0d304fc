"""Arrays: a mask's connected parts, of 8 neighbours."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

EIGHT_NEIGHBOURS = np.ones((3, 3), dtype=bool)


class Part(NamedTuple):
    """One connected part of a mask (H, W)."""

    box: tuple[slice, slice]  # rows and columns that it extends over
    pixels: NDArray[np.bool_]  # (h, w), which of the box's pixels belong to it
    size: int  # in pixels


def parts_of(mask: NDArray[np.generic]) -> list[Part]:
    """The parts of a mask (H, W), bool or of 0 and 1, in the order of their first pixels.

    Looked for in the mask's box alone, and counted in their own: large masks stay quick.
    """
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    if not rows.size:
        return []
    top, left = rows[0], columns[0]
    labels, _ = ndimage.label(
        mask[top : rows[-1] + 1, left : columns[-1] + 1], structure=EIGHT_NEIGHBOURS
    )
    found = []
    for number, box in enumerate(ndimage.find_objects(labels), start=1):
        pixels = labels[box] == number
        place = tuple(
            slice(int(part.start + start), int(part.stop + start))
            for part, start in zip(box, (top, left), strict=True)
        )
        found.append(Part((place[0], place[1]), pixels, int(np.count_nonzero(pixels))))
    return found


def parts_by_size(mask: NDArray[np.bool_]) -> NDArray[np.intp]:
    """(H, W) bool -> (H, W), 0 outside, 1 the largest part."""
    ranks = np.zeros(mask.shape, dtype=np.intp)
    for rank, part in enumerate(_largest_first(mask), start=1):
        ranks[part.box][part.pixels] = rank
    return ranks


def largest_parts(mask: NDArray[np.bool_], n_parts: int) -> NDArray[np.bool_]:
    """Of a mask (H, W) only the so many largest parts; 0 keeps all."""
    parts = _largest_first(mask) if n_parts else []
    if len(parts) <= n_parts:
        return mask
    kept = np.zeros_like(mask)
    for part in parts[:n_parts]:
        kept[part.box] |= part.pixels
    return kept


def _largest_first(mask: NDArray[np.bool_]) -> list[Part]:
    return sorted(parts_of(mask), key=lambda part: -part.size)
