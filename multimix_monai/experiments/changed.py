"""Experiments: radiographs as other scanners, workstations and hospitals would have given them.

A change takes a picture (H, W) in [0, 1] and its mask (H, W) of 0 and 1, and gives both, of the
same or of another size. All of them leave the lungs to be seen.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage import exposure

Picture = NDArray[np.floating]
Both = tuple[Picture, Picture]
Change = Callable[[Picture, Picture], Both]


def of_grey(change: Callable[[Picture], Picture]) -> Change:
    """What leaves every pixel where it is."""
    return lambda image, mask: (change(image).clip(0, 1), mask)


def windowed(image: Picture) -> Picture:
    """The darkest and the brightest sixth are lost, as by a narrow window."""
    low, high = np.quantile(image, (1 / 6, 5 / 6))
    return (image - low) / (high - low)


def uneven(image: Picture) -> Picture:
    """From left to right ever more exposed, at last by half."""
    return image * np.linspace(1, 0.5, image.shape[1])


def coarse(image: Picture) -> Picture:
    """A mean over 1 / 96 of the side."""
    return ndimage.uniform_filter(image, max(image.shape) // 96)


def grainy(image: Picture) -> Picture:
    """Noise of a fourteenth of the range."""
    return image + np.random.default_rng(0).normal(0, 0.07, image.shape)


def bordered(value: float) -> Change:
    """An edge of one grey, a seventh of the picture wide, such as a collimator or film leaves."""

    def change(image: Picture, mask: Picture) -> Both:
        width = max(image.shape) // 7
        return np.pad(image, width, constant_values=value), np.pad(mask, width)

    return change


def cropped(image: Picture, mask: Picture) -> Both:
    """A sixteenth is cut off on every side."""
    rows, columns = (slice(n // 16, n - n // 16) for n in image.shape)
    return image[rows, columns], mask[rows, columns]


def stretched(height: float, width: float) -> Change:
    """Rows and columns by factors, as where the aspect ratio was lost."""

    def change(image: Picture, mask: Picture) -> Both:
        return (
            ndimage.zoom(image, (height, width), order=1),
            ndimage.zoom(mask, (height, width), order=0),
        )

    return change


def turned(degrees: float) -> Change:
    """About the middle; what comes in at the corners is black."""

    def change(image: Picture, mask: Picture) -> Both:
        return (
            ndimage.rotate(image, degrees, reshape=False, order=1),
            ndimage.rotate(mask, degrees, reshape=False, order=0),
        )

    return change


CHANGES: Mapping[str, Change] = {
    "as it is": lambda image, mask: (image, mask),
    "gamma 0.5": of_grey(lambda image: image**0.5),
    "gamma 2": of_grey(lambda image: image**2),
    "narrow window": of_grey(windowed),
    "equalised, adaptively": of_grey(exposure.equalize_adapthist),
    "uneven exposure": of_grey(uneven),
    "coarse": of_grey(coarse),
    "grainy": of_grey(grainy),
    "black border": bordered(0.0),
    "white border": bordered(1.0),
    "cropped": cropped,
    "a quarter wider": stretched(1.0, 1.25),
    "a quarter taller": stretched(1.25, 1.0),
    "turned by 10 degrees": turned(10),
}
