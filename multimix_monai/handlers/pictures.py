"""Path of data, showing: an image and what was found in it become an RGB picture to look at.

Pure functions of arrays, shared by prediction, evaluation and training. Colours are told apart by
colour-blind readers too (Okabe and Ito): the prediction is orange, the reference blue.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scipy.ndimage import gaussian_filter

PREDICTED_RGB = (240, 150, 0)
REFERENCE_RGB = (70, 175, 255)
TEXT_RGB = (255, 255, 255)
GROUND_RGBA = (0, 0, 0, 190)
SHEET_RGB = (24, 24, 24)
LINE_PART = 1 / 240  # a line's width as a part of the image's shorter side
TEXT_PART = 1 / 22  # a text's height as a part of the image's shorter side
HEAT_SIDE = 128  # on about so many pixels saliency is smoothed, on its shorter side
HEAT_STOPS = (0.0, 0.35, 0.7, 1.0)
HEAT_RGB = ((90, 0, 110), (215, 40, 60), (255, 150, 20), (255, 250, 160))  # ever brighter


def overlay(
    image: np.ndarray,
    mask: np.ndarray,
    *,
    truth: np.ndarray | None = None,
    text: str | None = None,
) -> np.ndarray:
    """The contour of the predicted mask on the image, beside that of the truth where it is known.

    The reference is drawn broad and the prediction narrow on top of it: where they agree, an
    orange line has blue rims. Words stand in the lower left corner, for the upper ones are where
    a radiograph has its side marker.

    Args:
        image: (H, W), in [0, 1], or uint8.
        mask: (H, W), the prediction; above 0.5 is inside. An empty mask draws nothing.
        truth: (H, W), as ``mask``.
        text: a short line such as "pneumonia 0.83".

    Returns:
        uint8 (H, W, 3).

    Raises:
        ValueError: if the image is not 2-D or a mask has another shape.
    """
    picture = _rgb(_grey(image))
    width = max(1.5, LINE_PART * min(image.shape))
    if truth is not None:
        _paint(picture, _line(truth, like=image, width=2 * width), REFERENCE_RGB)
    _paint(picture, _line(mask, like=image, width=width), PREDICTED_RGB)
    words = [(text, TEXT_RGB)] if text else []
    if truth is not None:
        found = "predicted" if np.any(mask > 0.5) else "predicted: none"
        words += [(found, PREDICTED_RGB), ("reference", REFERENCE_RGB)]
    return _written(picture, words)


def saliency_map(image: np.ndarray, saliency: np.ndarray) -> np.ndarray:
    """Where the class hangs on the pixels, as heat over the image.

    For display the saliency is smoothed by 1 % of the image's shorter side and scaled so that its
    99.5th percentile is full heat: pictures show where in an image, not how much between images.

    Args:
        image: (H, W), in [0, 1], or uint8.
        saliency: (H, W), at least 0, of any scale; 0 everywhere leaves the image as it is.

    Returns:
        uint8 (H, W, 3).

    Raises:
        ValueError: if the image is not 2-D or the saliency has another shape.
    """
    grey = _grey(image)
    _check_shape(saliency, like=image, name="saliency")
    steps = _heat(np.asarray(saliency, dtype=np.float32)).astype(np.uint16)
    return _heat_table().take(256 * steps + grey, axis=0)


def contact_sheet(pictures: Sequence[np.ndarray], *, columns: int) -> np.ndarray:
    """Pictures of any sizes in a grid, row by row, each scaled to fit the largest one's cell.

    Args:
        pictures: uint8 (H, W, 3) each.
        columns: pictures in a row; fewer pictures make a narrower sheet.

    Returns:
        uint8 (H, W, 3).

    Raises:
        ValueError: if there are no pictures, one is not RGB, or columns is below 1.
    """
    if not pictures or columns < 1:
        raise ValueError(f"{len(pictures)} pictures in {columns} columns; both must be at least 1")
    for number, picture in enumerate(pictures):
        if picture.ndim != 3 or picture.shape[2] != 3 or picture.dtype != np.uint8:
            raise ValueError(
                f"picture {number} is {picture.dtype} {picture.shape}; uint8 (H, W, 3) is expected"
            )
    height, width = (max(picture.shape[axis] for picture in pictures) for axis in (0, 1))
    gap = max(2, round(0.015 * min(height, width)))
    columns = min(columns, len(pictures))
    rows = math.ceil(len(pictures) / columns)
    size = (columns * (width + gap) + gap, rows * (height + gap) + gap)
    sheet = Image.new("RGB", size, SHEET_RGB)
    for number, picture in enumerate(pictures):
        row, column = divmod(number, columns)
        fitted = _fit(picture, width=width, height=height)
        left = gap + column * (width + gap) + (width - fitted.width) // 2
        top = gap + row * (height + gap) + (height - fitted.height) // 2
        sheet.paste(fitted, (left, top))
    return np.asarray(sheet)


def _fit(picture: np.ndarray, *, width: int, height: int) -> Image.Image:
    scale = min(width / picture.shape[1], height / picture.shape[0])
    size = (max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale)))
    return Image.fromarray(picture).resize(size, Image.Resampling.LANCZOS)


def _heat(saliency: np.ndarray) -> np.ndarray:
    """(H, W) -> uint8 (H, W), blurred by 1 % of the shorter side and scaled for display.

    A large array is blurred by way of a small one, which is quicker.
    """
    height, width = saliency.shape
    small = Image.fromarray(saliency).reduce(max(1, min(height, width) // HEAT_SIDE))
    blurred = gaussian_filter(np.asarray(small), sigma=0.01 * min(small.size))
    full = float(np.percentile(blurred, 99.5))
    steps = np.round(255 * np.clip(blurred / full, 0, 1)) if full > 0 else np.zeros_like(blurred)
    heat = Image.fromarray(steps.astype(np.uint8))
    return np.asarray(heat.resize((width, height), Image.Resampling.BILINEAR))


@lru_cache(maxsize=1)
def _heat_table() -> np.ndarray:
    """Colour of each of 256 steps of heat on each of 256 greys, uint8 (256 * 256, 3)."""
    heat = np.linspace(0, 1, 256)
    channels = [np.interp(heat, HEAT_STOPS, channel) for channel in zip(*HEAT_RGB, strict=True)]
    colours = np.stack(channels, axis=-1)[:, None]
    grey = np.arange(256.0)[None, :, None]
    cover = 0.85 * np.sqrt(heat)[:, None, None]
    return np.round(grey + cover * (colours - grey)).astype(np.uint8).reshape(-1, 3)


def _grey(image: np.ndarray) -> np.ndarray:
    """(H, W) in [0, 1], or uint8, which stays as it is -> uint8 (H, W)."""
    if image.ndim != 2 or image.size == 0:
        raise ValueError(f"image has shape {image.shape}; one 2-D image (H, W) is expected")
    if image.dtype == np.uint8:
        return image
    return np.round(255 * np.clip(np.nan_to_num(image), 0, 1)).astype(np.uint8)


def _rgb(grey: np.ndarray) -> np.ndarray:
    """uint8 (H, W) -> (H, W, 3), a copy."""
    return np.repeat(grey[..., None], 3, axis=-1)


def _check_shape(array: np.ndarray, *, like: np.ndarray, name: str) -> None:
    if array.shape != like.shape:
        raise ValueError(
            f"{name} has shape {array.shape} and the image {like.shape}; both must lie on the "
            "image's grid"
        )


def _line(mask: np.ndarray, *, like: np.ndarray, width: float) -> tuple[np.ndarray, np.ndarray]:
    """The pixels near the mask's contour, and how much of each it covers: an anti-aliased line.

    The contour runs midway between neighbouring pixels of which one is inside. Around each point of
    it lie the same few pixels at the same distances: they are marked from the furthest to the
    nearest, so that each keeps its nearest point.

    Returns:
        Places (N,) in the flat image, and cover (N,) in (0, 1].
    """
    _check_shape(mask, like=like, name="mask")
    inside = np.asarray(mask) > 0.5
    reach = width / 2 + 0.5
    pad = math.ceil(reach)
    cover = np.zeros((inside.shape[0] + 2 * pad, inside.shape[1] + 2 * pad), dtype=np.float32)
    n_columns = cover.shape[1]
    stamps = []
    for axis, between in ((1, (0.0, 0.5)), (0, (0.5, 0.0))):
        rows, columns = _changes(inside, axis=axis)
        places = (rows + pad) * n_columns + columns + pad
        near = _around(between, reach=reach)
        stamps += [(d, places + row * n_columns + column) for d, row, column in near]
    for distance, places in sorted(stamps, key=lambda stamp: -stamp[0]):
        cover.ravel()[places] = min(1.0, reach - distance)
    cover = np.ascontiguousarray(cover[pad:-pad, pad:-pad])
    covered = np.flatnonzero(cover > 0)
    return covered, cover.ravel()[covered]


def _changes(inside: np.ndarray, *, axis: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns, (N,) each, of pixels (H, W) that differ from the next along an axis."""
    differs = np.diff(inside, axis=axis)
    rows, columns = np.divmod(np.flatnonzero(differs), max(1, differs.shape[1]))
    return rows, columns


def _around(point: tuple[float, float], *, reach: float) -> list[tuple[float, int, int]]:
    """Distance, row and column of the pixels nearer to a point than reach."""
    side = range(-math.ceil(reach), math.ceil(reach) + 1)
    found = [(math.hypot(r - point[0], c - point[1]), r, c) for r in side for c in side]
    return [pixel for pixel in found if pixel[0] < reach]


def _paint(picture: np.ndarray, line: tuple[np.ndarray, np.ndarray], colour: Sequence[int]) -> None:
    """Mix a colour into the picture, uint8 (H, W, 3), where a line covers it, in place."""
    places, cover = line
    pixels = picture.reshape(-1, 3)
    before = pixels[places].astype(np.float32)
    mixed = before + cover[:, None] * (np.asarray(colour, dtype=np.float32) - before)
    pixels[places] = np.round(mixed).astype(np.uint8)


@lru_cache(maxsize=16)
def _font(size: float) -> Any:
    return ImageFont.load_default(size)


def _written(picture: np.ndarray, words: list[tuple[str, tuple[int, int, int]]]) -> np.ndarray:
    """The picture with words in one line on a dark ground, lower left, shrunk to fit its width.

    It is changed in place.
    """
    if not words:
        return picture
    size = max(9.0, TEXT_PART * min(picture.shape[:2]))
    line = "  ".join(word for word, _ in words)
    needed = _font(size).getlength(line) + size
    font = _font(max(6.0, size * min(1.0, picture.shape[1] / needed)))
    pad = round(0.4 * font.size)
    width, height = round(font.getlength(line)) + 2 * pad, round(1.25 * font.size) + pad
    canvas = Image.fromarray(picture[-height:])
    ground = Image.new("RGBA", (width, height), GROUND_RGBA)
    canvas.paste(ground, (0, canvas.height - height), ground)
    pen, left = ImageDraw.Draw(canvas), float(pad)
    for word, colour in words:
        pen.text((left, canvas.height - height / 2), word, fill=colour, font=font, anchor="lm")
        left += font.getlength(f"{word}  ")
    picture[-height:] = np.asarray(canvas)
    return picture
