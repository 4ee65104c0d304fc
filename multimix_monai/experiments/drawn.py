"""Experiments: pictures that are no chest radiographs, drawn from scratch.

Each painter takes a generator and a size (rows, columns) and gives float32 (H, W) in [0, 1].
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

Picture = NDArray[np.float32]
Size = tuple[int, int]
Painter = Callable[[np.random.Generator, Size], Picture]


def noise(rng: np.random.Generator, size: Size) -> Picture:
    """Gaussian noise with an amplitude spectrum of 1 / f^b, b from 0 (white) to 2.5 (clouds)."""
    rows, columns = np.fft.fftfreq(size[0])[:, None], np.fft.fftfreq(size[1])[None]
    frequency = np.hypot(rows, columns)
    frequency[0, 0] = np.inf
    spectrum = np.fft.fft2(rng.standard_normal(size)) / frequency ** rng.uniform(0, 2.5)
    return unit(np.fft.ifft2(spectrum).real)


def gradient(rng: np.random.Generator, size: Size) -> Picture:
    """A ramp in any direction or a glow around any centre, with a little grain."""
    v, u = grid(size)
    angle, centre = rng.uniform(0, 2 * math.pi), rng.uniform(-0.7, 0.7, 2)
    ramp = u * math.cos(angle) + v * math.sin(angle)
    glow = -np.hypot(u - centre[0], v - centre[1]) * rng.choice([-1, 1])
    plane = ramp if rng.random() < 0.5 else glow
    return unit(plane + rng.uniform(0, 0.1) * rng.standard_normal(size))


def texture(rng: np.random.Generator, size: Size) -> Picture:
    """Stripes, a chessboard, bricks or cells of any scale."""
    v, u = grid(size)
    angle, waves = rng.uniform(0, math.pi), rng.uniform(1, 12)
    a = waves * (u * math.cos(angle) + v * math.sin(angle))
    b = waves * rng.uniform(0.5, 2) * (v * math.cos(angle) - u * math.sin(angle))
    kind = rng.integers(4)
    if kind == 3:
        seeds = rng.uniform(-1, 1, (rng.integers(4, 60), 2))
        near = np.sort(np.hypot(u[..., None] - seeds[:, 0], v[..., None] - seeds[:, 1]), axis=-1)
        return unit(near[..., 1] - near[..., 0])
    board = np.sin(math.pi * a) * np.sin(math.pi * b)
    bricks = np.minimum((a % 1), ((b + 0.5 * (np.floor(a) % 2)) % 1))
    plane = (np.sin(math.pi * a), np.sign(board), np.minimum(bricks, 0.15))[kind]
    return unit(plane + rng.uniform(0, 0.3) * rng.standard_normal(size))


def page(rng: np.random.Generator, size: Size, *, fonts: Sequence[str], words: str) -> Picture:
    """A printed page in one or two columns, or a screen with white letters.

    Args:
        rng: of everything that differs between pages.
        size: rows and columns.
        fonts: TrueType files.
        words: what the lines are made of.
    """
    canvas, draw = blank(size, 255)
    height, width = size
    points = int(rng.uniform(0.018, 0.06) * height) + 6
    font = ImageFont.truetype(str(rng.choice(list(fonts))), points)
    n_columns, vocabulary = int(rng.integers(1, 3)), words.split()
    top, bottom = rng.uniform(0.03, 0.2) * height, rng.uniform(0.8, 1.1) * height
    for column in range(n_columns):
        left = (0.07 + column * 0.88 / n_columns) * width
        for y in np.arange(top, bottom, 1.3 * points):
            line = " ".join(rng.choice(vocabulary, int(rng.integers(1, 60 // n_columns))))
            while draw.textlength(line, font=font) > 0.78 * width / n_columns and " " in line:
                line = line.rsplit(" ", 1)[0]
            draw.text((left, float(y)), line, fill=int(rng.integers(0, 60)), font=font)
    plane = ndimage.gaussian_filter(np.asarray(canvas, dtype=np.float32), rng.uniform(0, 0.8))
    return unit(-plane if rng.random() < 0.3 else plane)


def shapes(rng: np.random.Generator, size: Size) -> Picture:
    """Ellipses, rectangles and polygons of any grey on any ground, soft or sharp."""
    canvas, draw = blank(size, int(rng.integers(0, 256)))
    for _ in range(rng.integers(1, 12)):
        corners = rng.uniform(0, 1, (int(rng.integers(3, 7)), 2)) * (size[1], size[0])
        box = [*corners.min(axis=0), *corners.max(axis=0)]
        grey, kind = int(rng.integers(0, 256)), rng.integers(3)
        if kind == 0:
            draw.ellipse(box, fill=grey)
        elif kind == 1:
            draw.rectangle(box, fill=grey)
        else:
            draw.polygon([tuple(corner) for corner in corners], fill=grey)
    return finish(rng, canvas)


def tubes(rng: np.random.Generator, size: Size) -> Picture:
    """Bones as bright tubes in soft tissue: a long bone, a hand, a hip, a row of teeth."""
    return finish(rng, (_long_bones, _hand, _hip)[rng.integers(3)](rng, size), grain=0.04)


def jaw(rng: np.random.Generator, size: Size) -> Picture:
    """Two arcs of teeth in a wide panorama."""
    canvas, draw = blank(size, int(rng.integers(40, 110)))
    height, width = size
    for arc, bend in ((0.4, 0.12), (0.56, 0.18)):
        for x in np.linspace(0.15, 0.85, int(rng.integers(12, 17))):
            y = arc + bend * (1 - (2 * x - 1) ** 2) - 0.06
            rx, ry = 0.02 * width, rng.uniform(0.05, 0.08) * height
            box = (x * width - rx, y * height - ry, x * width + rx, y * height + ry)
            draw.ellipse(box, fill=int(rng.integers(170, 256)))
    return finish(rng, canvas, grain=0.05)


def slices(rng: np.random.Generator, size: Size) -> Picture:
    """An axial slice: a body on black, organs dark or bright in it, a vertebra."""
    v, u = grid(size)
    flat, body = rng.uniform(0.55, 1.0), rng.uniform(0.6, 0.95)
    plane = 0.55 * ellipse(u, v, (0, 0), (body, body * flat))
    shell = ellipse(u, v, (0, 0), (body * 0.93, body * flat * 0.93))
    plane += rng.uniform(-0.2, 0.35) * (plane - 0.55 * shell > 0.2)
    for _ in range(rng.integers(1, 7)):
        centre = rng.uniform(-0.5, 0.5, 2) * body * (1, flat)
        radii = rng.uniform(0.05, 0.4, 2) * body
        plane += rng.uniform(-0.5, 0.3) * ellipse(u, v, centre, radii) * shell
    spine = (rng.uniform(-0.05, 0.05), rng.choice([-1, 1]) * 0.6 * body * flat)
    plane += rng.uniform(0, 0.5) * ellipse(u, v, spine, (0.12, 0.12))
    plane = ndimage.gaussian_filter(np.clip(plane, 0, 2), rng.uniform(0, 0.01) * size[0])
    return unit(plane + rng.uniform(0, 0.08) * rng.standard_normal(size))


def photograph(rng: np.random.Generator, size: Size) -> Picture:
    """What photographs have in common: a sky, a ground, objects of all sizes, clouds on each."""
    v, u = grid(size)
    plane = 0.4 * noise(rng, size) + rng.uniform(-0.5, 0.5) * (v > rng.uniform(-0.6, 0.6))
    for radius in rng.uniform(0.05, 1, int(rng.integers(1, 25))) ** 2:
        centre, stretch = rng.uniform(-1, 1, 2), rng.uniform(0.4, 2.5)
        part = ellipse(u, v, centre, (radius * stretch, radius / stretch)) > 0
        plane = np.where(part, rng.uniform(0, 1) + rng.uniform(0, 0.6) * noise(rng, size), plane)
    return unit(ndimage.gaussian_filter(plane, rng.uniform(0, 0.006) * size[0]))


def figure(rng: np.random.Generator, size: Size) -> Picture:
    """A line drawing: curves, axes, boxes and stick figures, black on white or white on black."""
    canvas, draw = blank(size, 255)
    height, width = size
    for _ in range(rng.integers(2, 9)):
        points = np.cumsum(rng.normal(0, 0.09, (int(rng.integers(3, 60)), 2)), axis=0) + 0.5
        pixels = [tuple(p) for p in points * (width, height)]
        draw.line(pixels, fill=int(rng.integers(0, 100)), width=int(rng.integers(1, 7)))
        x0, y0 = rng.uniform(0, 0.7, 2) * (width, height)
        box = (x0, y0, x0 + rng.uniform(0.05, 0.5) * width, y0 + rng.uniform(0.05, 0.5) * height)
        outline = draw.ellipse if rng.random() < 0.5 else draw.rectangle
        outline(box, outline=int(rng.integers(0, 100)), width=int(rng.integers(1, 5)))
    plane = np.asarray(canvas, dtype=np.float32)
    return unit(-plane if rng.random() < 0.3 else plane)


def _long_bones(rng: np.random.Generator, size: Size) -> Image.Image:
    canvas, draw = blank(size, 0)
    x, lean = rng.uniform(0.35, 0.65), rng.uniform(-0.25, 0.25)
    limb, bone = rng.uniform(0.15, 0.4), rng.uniform(0.04, 0.1)
    ends = ((x - lean, -0.1), (x + lean, 1.1))
    _thick(draw, size, ends, width=limb, grey=90)
    for shift in (0.0,) if rng.random() < 0.5 else (-0.07, 0.07):
        moved = [(a + shift, b) for a, b in ends]
        _thick(draw, size, moved, width=bone, grey=220)
        _thick(draw, size, moved, width=bone * 0.5, grey=150)
    return canvas


def _hand(rng: np.random.Generator, size: Size) -> Image.Image:
    canvas, draw = blank(size, 0)
    for grey, scale in ((80, 1.0), (210, 0.45)):
        _thick(draw, size, ((0.5, 1.1), (0.5, 0.75)), width=0.25 * scale, grey=grey)
        for n, top in enumerate((0.42, 0.18, 0.1, 0.15, 0.27)):
            knuckle, tip = (0.34 + 0.075 * n, 0.6), (0.2 + 0.145 * n, top)
            _thick(draw, size, ((0.5, 0.8), knuckle, tip), width=0.09 * scale, grey=grey)
    return canvas.rotate(float(rng.uniform(-180, 180)))


def _hip(rng: np.random.Generator, size: Size) -> Image.Image:
    canvas, draw = blank(size, int(rng.integers(60, 120)))
    height, width = size
    hole = int(rng.integers(60, 140))
    for side in (-1, 1):
        x = 0.5 + 0.2 * side
        for grey, rx, ry, cx, cy in (
            (190, 0.2, 0.22, x, 0.3),
            (130, 0.14, 0.15, x, 0.27),
            (hole, 0.07, 0.08, 0.5 + 0.09 * side, 0.66),
        ):
            box = ((cx - rx) * width, (cy - ry) * height, (cx + rx) * width, (cy + ry) * height)
            draw.ellipse(box, fill=grey)
        femur = ((0.5 + 0.26 * side, 0.58), (0.5 + 0.36 * side, 0.66), (0.5 + 0.34 * side, 1.1))
        _thick(draw, size, femur, width=0.09, grey=225)
    _thick(draw, size, ((0.5, -0.1), (0.5, 0.4)), width=0.12, grey=215)
    return canvas


def _thick(
    draw: ImageDraw.ImageDraw,
    size: Size,
    points: Sequence[tuple[float, float]],
    *,
    width: float,
    grey: int,
) -> None:
    """A polyline with round ends; points (x, y) and width as parts of the picture's width."""
    pixels = [(x * size[1], y * size[0]) for x, y in points]
    radius = width * size[1] / 2
    draw.line(pixels, fill=grey, width=max(1, int(2 * radius)), joint="curve")
    for x, y in pixels:
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=grey)


def blank(size: Size, grey: int) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    """An even canvas of `size` rows and columns, and a pen."""
    canvas = Image.new("L", (size[1], size[0]), grey)
    return canvas, ImageDraw.Draw(canvas)


def finish(rng: np.random.Generator, canvas: Image.Image, *, grain: float = 0.02) -> Picture:
    """Blur and grain of any strength."""
    plane = np.asarray(canvas, dtype=np.float32) / 255
    plane = ndimage.gaussian_filter(plane, rng.uniform(0, 0.015) * plane.shape[0])
    return unit(plane + rng.uniform(0, 2 * grain) * rng.standard_normal(plane.shape))


def grid(size: Size) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Rows v and columns u of all pixels, each from -1 to 1."""
    v, u = np.meshgrid(np.linspace(-1, 1, size[0]), np.linspace(-1, 1, size[1]), indexing="ij")
    return v, u


def ellipse(
    u: NDArray[np.float64],
    v: NDArray[np.float64],
    centre: tuple[float, float] | NDArray[np.float64],
    radii: tuple[float, float] | NDArray[np.float64],
) -> NDArray[np.float64]:
    """1 inside, 0 outside."""
    inside = ((u - centre[0]) / radii[0]) ** 2 + ((v - centre[1]) / radii[1]) ** 2 <= 1
    return inside.astype(np.float64)


def unit(plane: NDArray[np.floating]) -> Picture:
    """Stretch to [0, 1]."""
    low, high = float(plane.min()), float(plane.max())
    return ((plane - low) / max(high - low, 1e-6)).astype(np.float32)


# What is fitted on and what is measured; noise, of other seeds, is in both.
FITTED: dict[str, Painter] = {
    "noise": noise,
    "gradient": gradient,
    "texture": texture,
    "shapes": shapes,
    "tubes": tubes,
    "slices": slices,
    "scene": photograph,
}
MEASURED: dict[str, Painter] = {"noise": noise, "figure": figure, "jaw": jaw}
