"""Arrays: a mask's connected parts, of 8 neighbours."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

EIGHT_NEIGHBOURS = np.ones((3, 3), dtype=bool)


def parts_by_size(mask: NDArray[np.bool_]) -> NDArray[np.intp]:
    """(H, W) bool -> (H, W), 0 outside, 1 the largest part."""
    labels, sizes = _labelled(mask)
    rank = np.zeros(len(sizes) + 1, dtype=np.intp)
    rank[1 + np.argsort(-sizes, kind="stable")] = np.arange(1, len(sizes) + 1)
    return rank[labels]


def largest_parts(mask: NDArray[np.bool_], n_parts: int) -> NDArray[np.bool_]:
    """Of a mask (H, W) only the so many largest parts; 0 keeps all."""
    labels, sizes = _labelled(mask)
    if not n_parts or len(sizes) <= n_parts:
        return mask
    kept = np.zeros(len(sizes) + 1, dtype=bool)
    kept[1 + np.argsort(-sizes, kind="stable")[:n_parts]] = True
    return kept[labels]


def _labelled(mask: NDArray[np.bool_]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Labels (H, W) from 1, and each part's size; counted in its box, to take little memory."""
    labels, _ = ndimage.label(mask, structure=EIGHT_NEIGHBOURS)
    boxes = enumerate(ndimage.find_objects(labels), start=1)
    return labels, np.array([np.count_nonzero(labels[box] == i) for i, box in boxes], dtype=np.intp)
