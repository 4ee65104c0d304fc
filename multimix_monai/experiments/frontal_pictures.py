"""Experiments: radiographs as other machines take them, and what must be refused.

What is fitted on and what is measured have nothing in common: other patients, other painters,
other texts in other fonts, other seeds.
"""

from __future__ import annotations

import importlib.util
import io
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from multimix_monai.data.images import ImageError
from multimix_monai.experiments import drawn
from multimix_monai.transforms.load import read_radiograph

Pixels = NDArray[np.float32]
Change = Callable[[Pixels, np.random.Generator], NDArray[Any]]

FITTED_FONTS = ("DejaVuSans.ttf", "DejaVuSans-Bold.ttf", "DejaVuSansMono.ttf")
MEASURED_FONTS = ("DejaVuSerif.ttf", "DejaVuSerif-Italic.ttf", "STIXGeneral.ttf", "cmr10.ttf")
FITTED_TEXT = "the lung is a page of text and not a picture of anything at all"
MEASURED_TEXT = "Befund vom Montag 12:30 ohne Hinweis auf 45,3 mm Herz Seite links Dosis Klinik"


class Picture(NamedTuple):
    """A picture and what it is."""

    kind: str  # FRONTAL or a kind of stand-in
    source: str  # the set that it was made of
    name: str
    pixels: Pixels


def turned(quarters: int) -> Change:
    """Counterclockwise by so many times 90 degrees."""
    return lambda pixels, rng: np.ascontiguousarray(np.rot90(pixels, quarters))


def inverted(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    """Dense is dark."""
    return 1 - pixels


def corner(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    """One of the four corners, 0.4 to 0.55 of the rows and columns."""
    rows, columns = (int(n * rng.uniform(0.4, 0.55)) for n in pixels.shape)
    below, right = rng.random(2) < 0.5
    part = pixels[-rows:] if below else pixels[:rows]
    return part[:, -columns:] if right else part[:, :columns]


def part(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    """A half or less: one lung, the shoulders, the belly, or any small piece."""
    height, width = pixels.shape
    kind, share = rng.integers(5), rng.uniform(0.25, 0.48)
    rows, columns = int(share * height), int(share * width)
    top, left = (int(rng.uniform(0, 1 - share) * n) for n in pixels.shape)
    return (
        pixels[:rows],
        pixels[-rows:],
        pixels[:, :columns],
        pixels[:, -columns:],
        pixels[top : top + rows, left : left + columns],
    )[kind]


TURNED: dict[str, Change] = {
    "rotated_90": turned(1),
    "rotated_180": turned(2),
    "rotated_270": turned(3),
    "inverted": inverted,
}


def retaken(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    """As another technician and another machine would have: some of these changes, all mild."""
    for change, prob in (
        (_tilt, 0.4),
        (_collimate, 0.5),
        (_surround, 0.25),
        (_shade, 0.4),
        (_cloud, 0.2),
        (_stretch, 1.0),
        (_expose, 0.8),
        (_grain, 0.25),
        (_compress, 0.4),
    ):
        if rng.random() < prob:
            pixels = np.clip(change(pixels, rng), 0, 1).astype(np.float32)
    return pixels


def _tilt(pixels: Pixels, rng: np.random.Generator) -> NDArray[Any]:
    return ndimage.rotate(pixels, rng.uniform(-8, 8), reshape=False, order=1, mode="constant")


def _margins(pixels: Pixels, rng: np.random.Generator, most: float) -> NDArray[np.int64]:
    """Of top, bottom, left, right in pixels, at most so large a part of the side, many 0."""
    sides = np.repeat(pixels.shape, 2)
    return (rng.uniform(0, most, 4) * (rng.random(4) < 0.5) * sides).astype(int)


def _collimate(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    top, bottom, left, right = _margins(pixels, rng, 0.08)
    return pixels[top : pixels.shape[0] - bottom, left : pixels.shape[1] - right]


def _surround(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    """Shutters or the film's edge: black, seldom white."""
    top, bottom, left, right = _margins(pixels, rng, 0.2)
    grey = float(rng.random() < 0.15)
    return np.pad(pixels, ((top, bottom), (left, right)), constant_values=grey)


def _shade(pixels: Pixels, rng: np.random.Generator) -> NDArray[Any]:
    return pixels + np.float32(rng.uniform(0, 0.1)) * _field(pixels.shape, rng, 3)


def _cloud(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    """Opacities: parts become as dense as the heart."""
    share = 1 / (1 + np.exp(-4 * (_field(pixels.shape, rng, 6) - 0.8)))
    dense = np.float32(np.quantile(pixels, 0.8))
    strength = np.float32(rng.uniform(0.2, 0.8))
    return pixels + strength * share * np.maximum(dense - pixels, 0)


def _field(shape: Sequence[int], rng: np.random.Generator, n: int) -> Pixels:
    """Smooth random values of standard deviation about 1, n hills and valleys a side."""
    coarse = Image.fromarray(rng.standard_normal((n, n)).astype(np.float32))
    return np.asarray(coarse.resize((shape[1], shape[0]), Image.Resampling.BICUBIC))


def _stretch(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    """To 96 to 1000 rows, more or less slim: some sets have lost their aspect ratio."""
    rows = round(np.exp(rng.uniform(np.log(96), np.log(1000))))
    slim = pixels.shape[1] / pixels.shape[0] * np.exp(rng.uniform(-0.2, 0.2))
    size = (max(64, round(rows * slim)), rows)
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BILINEAR))


def _expose(pixels: Pixels, rng: np.random.Generator) -> NDArray[Any]:
    return pixels ** np.exp(rng.uniform(-0.5, 0.5))


def _grain(pixels: Pixels, rng: np.random.Generator) -> NDArray[Any]:
    noise = rng.standard_normal(pixels.shape).astype(np.float32)
    return pixels + np.float32(rng.uniform(0, 0.03)) * noise


def _compress(pixels: Pixels, rng: np.random.Generator) -> NDArray[Any]:
    file = io.BytesIO()
    Image.fromarray(np.rint(255 * pixels).astype(np.uint8)).save(
        file, "JPEG", quality=int(rng.integers(30, 95))
    )
    return np.asarray(Image.open(file), dtype=np.float32) / 255


def pictures_to_fit(
    chests: Sequence[Path], *, seed: int, n_drawn: int
) -> Iterator[tuple[int, Picture]]:
    """Chests as they are and retaken, and what is no upright chest, made of them or drawn.

    Args:
        chests: radiographs; one that is listed n times is retaken in n ways.
        seed: of all changes and drawings.
        n_drawn: pictures of each painter.

    Yields:
        A number that pictures made of the same radiograph share, and the picture.
    """
    turns = list(TURNED.items())
    for number, path in enumerate(chests):
        rng = np.random.default_rng([seed, number])
        pixels = read_radiograph(path).pixels
        one = partial(Picture, source="training", name=path.name)
        again = retaken(pixels, rng)
        yield number, one("frontal", pixels=pixels if number % 3 == 0 else retaken(pixels, rng))
        yield number, one("frontal", pixels=again)
        for kind, change in (turns[number % 4], turns[(number + 1 + number // 4) % 4]):
            yield number, one(kind, pixels=change(again if number % 2 else pixels, rng))
        yield number, one("corner", pixels=corner(pixels if number % 3 else again, rng))
        yield number, one("part", pixels=part(pixels, rng))
    painters = drawn.FITTED | {"page": partial(_page, fonts=FITTED_FONTS, words=FITTED_TEXT)}
    for n, (kind, paint) in enumerate(painters.items()):
        for i in range(n_drawn):
            rng = np.random.default_rng([seed, 1, n, i])
            rows, columns = (int(side) for side in rng.integers(120, 320, 2))
            pixels = paint(rng, (rows, columns))
            yield len(chests) + i, Picture(kind, "drawn", str(i), pixels)


def stand_ins(source: str, chests: Sequence[Path], *, seed: int) -> Iterator[Picture]:
    """Turned, inverted and cut chests."""
    for number, path in enumerate(chests):
        pixels = read_radiograph(path).pixels
        rng = np.random.default_rng([seed, number])
        for kind, change in (TURNED | {"corner": corner}).items():
            yield Picture(kind, source, path.name, change(pixels, rng))


def other_pictures(*, seed: int, n_drawn: int) -> Iterator[Picture]:
    """Noise, pages and drawings by painters that nothing was fitted on, photographs, CT/MR/US."""
    painters = drawn.MEASURED | {"page": partial(_page, fonts=MEASURED_FONTS, words=MEASURED_TEXT)}
    for n, (kind, paint) in enumerate(painters.items()):
        for i in range(n_drawn):
            rng = np.random.default_rng([seed, 2, n, i])
            yield Picture(kind, "drawn", str(i), paint(rng, (256, 224)))
    for path in photographs():
        whole = read_radiograph(path).pixels
        yield Picture("photograph", "packages", path.name, whole)
        for i, half in enumerate(np.array_split(whole, 2)):
            for j, quarter in enumerate(np.array_split(half, 2, axis=1)):
                name = f"{path.name}, quarter {2 * i + j + 1}"
                yield Picture("photograph", "packages", name, quarter)
    yield from other_modalities()


def photographs() -> list[Path]:
    """Those that scikit-image, scikit-learn and matplotlib come with."""
    folders = (
        _package("skimage") / "data",
        _package("sklearn") / "datasets" / "images",
        _package("matplotlib") / "mpl-data" / "sample_data",
    )
    return [
        path
        for folder in folders
        for path in sorted(folder.glob("*"))
        if path.suffix in (".png", ".jpg")
    ]


def other_modalities() -> Iterator[Picture]:
    """First frames of pydicom's test files, each picture once, as grey and in their own range."""
    from pydicom import dcmread

    seen = set()
    for path in sorted((_package("pydicom") / "data" / "test_files").glob("*.dcm")):
        try:
            frame = _one_frame(dcmread(path, force=True))
        except Exception:  # no picture, or one that is broken on purpose, as each version says it
            continue
        key = np.rint(8 * frame[::8, ::8]).tobytes()  # many are one picture, differently coded
        if key not in seen:
            seen.add(key)
            yield Picture("other modality", "pydicom", path.name, frame)


def _one_frame(dataset: Any) -> Pixels:
    """(H, W) in [0, 1], of any shape and range."""
    pixels = np.asarray(dataset.pixel_array, dtype=np.float32)
    if dataset.get("SamplesPerPixel", 1) == 3:
        pixels = pixels.mean(axis=-1)
    frame = pixels.reshape(-1, *pixels.shape[-2:])[0]
    if frame.min() == frame.max():
        raise ImageError("every pixel has the same value")
    return drawn.unit(frame)


def _page(
    rng: np.random.Generator, size: drawn.Size, *, fonts: Sequence[str], words: str
) -> Pixels:
    folder = _package("matplotlib") / "mpl-data" / "fonts" / "ttf"
    return drawn.page(rng, size, fonts=[str(folder / f) for f in fonts], words=words)


def _package(name: str) -> Path:
    """Folder of an installed package."""
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        raise ImportError(f"{name} is not installed: pip install {name}")
    return Path(spec.origin).parent
