"""Experiments: a radiograph without its lungs, its lungs alone, and what else could be a shortcut.

A network that tells pneumonia where no lung is left has learnt something else. What takes the place
of removed pixels matters: an edge still shows the lungs' shape. So everything is filled in two
ways, and the shape is also shown on its own. Arrays only; the network's answers are in
`audit_answers`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage

Plane = NDArray[np.float32]
Mask = NDArray[np.bool_]
Frame = tuple[slice, slice]  # rows and columns of the network's input that are no padding

WHOLE, SHAPE = "whole", "shape only"
LUNGS, BACKGROUND, OUTSIDE, RIM = "lungs", "background", "outside the box", "rim"
RIM_SHARE = 1 / 8  # of the picture's rows and columns on each side
LUNG_GREY, REST_GREY = 0.3, 0.6  # of a shape: about the means of normalised radiographs
NOTHING_GREY = 0.5  # of a picture of which nothing is kept
POWER = 4.0  # of the distance; above 2, or far pixels outweigh near ones


def regions(lungs: Mask, frame: Frame, *, margin_px: float) -> dict[str, Mask]:
    """Which pixels are kept, by region; none of them in the padding.

    Args:
        lungs: (S, S), the predicted mask.
        frame: of the picture in it.
        margin_px: by how much the lungs are widened, since pneumonia hides their border.

    Returns:
        `lungs`, widened, and `background`, all the rest; `outside the box` around the widened
        lungs; `rim`, the outer eighth of the picture on each side, which is the same for all
        pictures of one size and so tells nothing by its own shape.

    Raises:
        ValueError: there are no lungs.
    """
    if not lungs.any():
        raise ValueError("the mask has no lungs: leave this case out")
    inside = np.zeros(lungs.shape, dtype=bool)
    inside[frame] = True
    near = inside & (ndimage.distance_transform_edt(~lungs) <= margin_px)
    return {
        LUNGS: near,
        BACKGROUND: inside & ~near,
        OUTSIDE: _without(inside, ndimage.find_objects(near.astype(np.uint8))[0]),
        RIM: _without(inside, _inner(frame)),
    }


def _without(inside: Mask, box: tuple[slice, ...]) -> Mask:
    outside = inside.copy()
    outside[box] = False
    return outside


def _inner(frame: Frame) -> Frame:
    rows, columns = (
        slice(side.start + rim, side.stop - rim)
        for side in frame
        for rim in (round(RIM_SHARE * (side.stop - side.start)),)
    )
    return rows, columns


def fill_mean(image: Plane, keep: Mask) -> Plane:
    """Everywhere the mean of what is kept. image, keep: (S, S)."""
    grey = image[keep].mean() if keep.any() else NOTHING_GREY
    return np.full_like(image, grey)


def fill_smooth(image: Plane, keep: Mask) -> Plane:
    """Everywhere the mean of what is kept, weighted by 1 / (1 + distance^2)^2.

    It meets the kept pixels without a step, which a constant does not, and has no texture.

    Args:
        image, keep: (S, S).

    Source: Shepard, Proc. 23rd ACM National Conference (1968).
    """
    if not keep.any():
        return fill_mean(image, keep)
    values, weights = _spread(np.stack([image * keep, keep]))
    return np.clip(values / weights, 0, 1).astype(image.dtype)


FILLS: dict[str, Callable[[Plane, Mask], Plane]] = {"mean": fill_mean, "smooth": fill_smooth}


def _spread(planes: NDArray[np.floating]) -> NDArray[np.float64]:
    """Each pixel spread over all by the weight of its distance. planes: (B, H, W)."""
    height, width = planes.shape[1:]
    size = (2 * height, 2 * width)  # twice, or what leaves on the right comes back on the left
    spectrum = fft.rfft2(planes.astype(np.float64), s=size) * _weights(height, width)
    spread: NDArray[np.float64] = fft.irfft2(spectrum, s=size)[:, :height, :width]
    return spread


@lru_cache(maxsize=4)
def _weights(height: int, width: int) -> NDArray[np.complex128]:
    """Spectrum of the weights by distance on a grid of twice the size."""
    rows, columns = (
        np.minimum(np.arange(2 * n), 2 * n - np.arange(2 * n)) for n in (height, width)
    )
    squares = rows[:, None].astype(float) ** 2 + columns.astype(float) ** 2
    spectrum: NDArray[np.complex128] = fft.rfft2((1 + squares) ** (-POWER / 2))
    return spectrum


def shape_only(lungs: Mask, frame: Frame) -> Plane:
    """Two greys, the same in all pictures: nothing but the lungs' shape, size and place."""
    image = np.zeros(lungs.shape, dtype=np.float32)
    image[frame] = REST_GREY
    image[lungs] = LUNG_GREY
    return image


def view_names() -> list[str]:
    """Of `views`, in its order."""
    kept = [f"{r}, {f}" for r in (LUNGS, BACKGROUND, OUTSIDE, RIM) for f in FILLS]
    return [WHOLE, *kept, SHAPE]


def views(image: Plane, kept: dict[str, Mask], frame: Frame) -> dict[str, Plane]:
    """The picture, each of its regions alone in each fill, and the shape of its lungs.

    Args:
        image: (S, S), as the network sees it.
        kept: as of `regions`.
        frame: of the picture; the padding stays 0.
    """
    shown = {WHOLE: image}
    for region, keep in kept.items():
        for name, fill in FILLS.items():
            plane = np.zeros_like(image)
            plane[frame] = fill(image, keep)[frame]
            plane[keep] = image[keep]
            shown[f"{region}, {name}"] = plane
    return shown | {SHAPE: shape_only(kept[LUNGS], frame)}
