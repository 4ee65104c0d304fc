"""Path of data, from three samples a pixel to one: grey pictures that are stored as colour."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from multimix_monai.data.images import ImageError
from multimix_monai.dicom.decode import Stored

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

NOTICEABLE = 0.1  # difference of channels, of the whole range; lossy codecs stay below
MAX_COLOURED = 0.005  # of the pixels: a coloured letter or logo passes, a Doppler picture does not
_LUMA = (0.299, 0.587, 0.114)


def grey_plane(
    samples: Stored, *, bits: int, luminance_first: bool = False
) -> tuple[NDArray[np.float32], float, str]:
    """One plane of RGB, YBR_FULL, YBR_ICT or YBR_RCT samples.

    A grey picture has three equal channels in RGB, and neutral chroma (half of the range) in YBR:
    whichever holds for more pixels is taken, since decoders and attributes do not always agree on
    which of the two a codestream holds.

    Args:
        samples: (H, W, 3), each in [0, 2**bits).
        bits: of a sample.
        luminance_first: the samples of a coloured picture are YBR, not RGB.

    Returns:
        Plane in [0, 1] (H, W), the share of pixels that are coloured, and what was done. A truly
        coloured picture becomes its luminance.

    Source: PS3.3 C.7.6.3.1.2; luminance of ITU-R BT.601.
    """
    top, half = 2.0**bits - 1, 2.0 ** (bits - 1)
    first, second, third = (samples[..., n].astype(np.float32) for n in range(3))
    of_rgb = _spread(np.abs(first - second), np.abs(first - third), top)
    of_ybr = _spread(np.abs(second - half), np.abs(third - half), top)
    if min(of_rgb, of_ybr) > MAX_COLOURED:
        luma = first if luminance_first else np.tensordot(samples, _LUMA, 1).astype(np.float32)
        return np.clip(luma / top, 0, 1), min(of_rgb, of_ybr), "luminance of a coloured picture"
    if of_rgb <= of_ybr:
        return first / top, of_rgb, "one of three equal channels"
    return first / top, of_ybr, "luminance channel, chroma neutral"


def _spread(one: NDArray[np.float32], other: NDArray[np.float32], top: float) -> float:
    """The share of pixels whose difference is noticeable."""
    return float((np.maximum(one, other) > NOTICEABLE * top).mean())


def palette(indices: Stored, dataset: Dataset, name: str) -> tuple[Stored, int]:
    """The colours (H, W, 3) that indices (H, W) stand for, and their bits.

    Raises:
        ImageError: with reason bad_attributes: tables are missing or broken.

    Source: PS3.3 C.7.6.3.1.5, C.7.6.3.1.6 and C.7.9: Palette Color Lookup Tables (0028,1101) to
    (0028,1203), also segmented.
    """
    low, high = int(indices.min()), int(indices.max())
    if high - low >= 2**16:
        raise ImageError(f"{name}: palette indices up to {high}: export it again", "bad_attributes")
    try:
        used = np.arange(low, high + 1).astype(indices.dtype)
        colours = _apply_color_lut()(used, dataset)[:, :3]
    except Exception as error:  # of many kinds, for tables of any length and type
        raise ImageError(
            f"{name}: its palette cannot be read: export it as MONOCHROME2", "bad_attributes"
        ) from error
    return colours[indices - low], 8 if colours.max() < 2**8 else 16


def _apply_color_lut() -> Callable[[Stored, Dataset], Stored]:
    """pydicom's function, wherever its version keeps it."""
    import pydicom

    recent = int(pydicom.__version__.split(".")[0]) >= 3
    home = import_module("pydicom.pixels" if recent else "pydicom.pixel_data_handlers.util")
    apply: Callable[[Stored, Dataset], Stored] = home.apply_color_lut
    return apply
