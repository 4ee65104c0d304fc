"""Path of data, showing: an image and what was found in it become an RGB picture to look at.

Pure functions of arrays, shared by prediction, evaluation and training. Colours are told apart by
colour-blind readers too (Okabe and Ito): the prediction is orange, the reference blue.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scipy.ndimage import gaussian_filter, maximum_filter
from scipy.spatial import KDTree

PREDICTED_RGB = (240, 150, 0)
REFERENCE_RGB = (70, 175, 255)
TEXT_RGB = (255, 255, 255)
GROUND_RGBA = (0, 0, 0, 190)
SHEET_RGB = (24, 24, 24)
LINE_PART = 1 / 240  # a line's width as a part of the image's shorter side
TEXT_PART = 1 / 22  # a text's height as a part of the image's shorter side
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
    return _heat_table()[_heat(np.asarray(saliency, dtype=np.float32)), grey]


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
    small = Image.fromarray(saliency).reduce(max(1, min(height, width) // 512))
    blurred = gaussian_filter(np.asarray(small), sigma=0.01 * min(small.size))
    full = float(np.percentile(blurred, 99.5))
    steps = np.round(255 * np.clip(blurred / full, 0, 1)) if full > 0 else np.zeros_like(blurred)
    heat = Image.fromarray(steps.astype(np.uint8))
    return np.asarray(heat.resize((width, height), Image.Resampling.BILINEAR))


@lru_cache(maxsize=1)
def _heat_table() -> np.ndarray:
    """Colour of each of 256 steps of heat on each of 256 greys, uint8 (256, 256, 3)."""
    heat = np.linspace(0, 1, 256)
    channels = [np.interp(heat, HEAT_STOPS, channel) for channel in zip(*HEAT_RGB, strict=True)]
    colours = np.stack(channels, axis=-1)[:, None]
    grey = np.arange(256.0)[None, :, None]
    cover = 0.85 * np.sqrt(heat)[:, None, None]
    return np.round(grey + cover * (colours - grey)).astype(np.uint8)


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


def _line(
    mask: np.ndarray, *, like: np.ndarray, width: float
) -> tuple[tuple[np.ndarray, np.ndarray], np.ndarray]:
    """The pixels near the mask's contour, and how much of each it covers: an anti-aliased line.

    The contour runs midway between neighbouring pixels of which one is inside. The distance to it
    is needed, and computed, only within the line's reach: large images stay quick.

    Returns:
        Rows and columns (N,) each, and cover (N,) in [0, 1].
    """
    _check_shape(mask, like=like, name="mask")
    inside = np.asarray(mask) > 0.5
    across = np.argwhere(inside[:, 1:] != inside[:, :-1])
    down = np.argwhere(inside[1:] != inside[:-1])
    points = np.concatenate([across + np.array([0.0, 0.5]), down + np.array([0.5, 0.0])])
    near = np.zeros(inside.shape, dtype=np.uint8)
    near[tuple(np.floor(points).astype(int).T)] = 1
    near = maximum_filter(near, size=2 * math.ceil(width / 2 + 1.5) + 1)
    rows, columns = np.nonzero(near)
    distance = np.empty(0)
    if len(points):
        distance = KDTree(points).query(np.stack([rows, columns], axis=-1))[0]
    return (rows, columns), np.clip(width / 2 + 0.5 - distance, 0, 1)


def _paint(
    picture: np.ndarray,
    line: tuple[tuple[np.ndarray, np.ndarray], np.ndarray],
    colour: Sequence[int],
) -> None:
    """Mix a colour into the picture, uint8 (H, W, 3), where a line covers it, in place."""
    pixels, cover = line
    before = picture[pixels].astype(np.float32)
    mixed = before + cover[:, None] * (np.asarray(colour, dtype=np.float32) - before)
    picture[pixels] = np.round(mixed).astype(np.uint8)


def _written(picture: np.ndarray, words: list[tuple[str, tuple[int, int, int]]]) -> np.ndarray:
    """The picture with words in one line on a dark ground, lower left, shrunk to fit its width."""
    if not words:
        return picture
    canvas = Image.fromarray(picture)
    size = max(9.0, TEXT_PART * min(canvas.size))
    line = "  ".join(word for word, _ in words)
    needed = ImageFont.load_default(size).getlength(line) + size
    size = max(6.0, size * min(1.0, canvas.width / needed))
    font = ImageFont.load_default(size)
    pad = round(0.4 * size)
    width, height = round(font.getlength(line)) + 2 * pad, round(1.25 * size) + pad
    ground = Image.new("RGBA", (width, height), GROUND_RGBA)
    canvas.paste(ground, (0, canvas.height - height), ground)
    pen, left = ImageDraw.Draw(canvas), float(pad)
    for word, colour in words:
        pen.text((left, canvas.height - height / 2), word, fill=colour, font=font, anchor="lm")
        left += font.getlength(f"{word}  ")
    return np.asarray(canvas)
