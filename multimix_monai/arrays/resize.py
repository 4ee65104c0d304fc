"""Arrays: a plane on a coarser or a finer grid."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import sparse


def fitted_size(shape: tuple[int, ...], *, longest_side: int) -> tuple[int, int]:
    """Rows and columns (H, W) scaled so that the longer has this length, each at least 1."""
    scale = longest_side / max(shape)
    height, width = (max(1, round(n * scale)) for n in shape)
    return height, width


def resize(plane: NDArray[np.floating], *, size: tuple[int, int]) -> NDArray[np.float32]:
    """Bilinear with antialiasing, which moves no structure. plane: (H, W) -> float32, a copy.

    Pixel centres lie at (i + 0.5) / n. Equal to Pillow's BILINEAR of mode F within 1e-6, and to
    torch's within the 2e-5 by which its float32 positions err; on a radiograph of 20 megapixels
    7 and 2 times as fast.

    Args:
        size: rows and columns of the result.
    """
    plane = np.ascontiguousarray(plane, dtype=np.float32)
    down, across = (_weights(n, m) for n, m in zip(plane.shape, size, strict=True))
    if size[0] < plane.shape[0]:  # rows first where that leaves less to do, and last where more
        return _across(down @ plane, across)
    return down @ _across(plane, across)


def _across(plane: NDArray[np.float32], weights: sparse.csr_array) -> NDArray[np.float32]:
    return np.ascontiguousarray((weights @ np.ascontiguousarray(plane.T)).T)


@lru_cache(maxsize=64)
def _weights(n: int, m: int) -> sparse.csr_array:
    """(m, n), rows of sum 1: how much of each of n pixels is in each of m.

    A triangle that reaches as far as the distance of the coarser grid's pixels.
    """
    scale = n / m
    reach = max(scale, 1.0)
    centres = (np.arange(m) + 0.5) * scale
    first = np.maximum(np.floor(centres - reach), 0).astype(np.intp)
    counts = np.minimum(np.ceil(centres + reach), n).astype(np.intp) - first
    ends = np.cumsum(counts)
    rows = np.repeat(np.arange(m), counts)
    columns = np.arange(ends[-1]) - np.repeat(ends - counts - first, counts)
    values = np.maximum(1 - np.abs(columns + 0.5 - centres[rows]) / reach, 0)
    values /= np.bincount(rows, values, minlength=m)[rows]
    return sparse.csr_array((values.astype(np.float32), columns, np.append(0, ends)), shape=(m, n))
