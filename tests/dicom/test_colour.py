from __future__ import annotations

import numpy as np
import pytest
from pydicom.dataset import Dataset

from multimix_monai.data.images import ImageError
from multimix_monai.dicom.colour import grey_plane, palette

GREY = np.arange(240, dtype=np.uint8).reshape(20, 12)


def test_equal_channels_and_neutral_chroma_are_grey() -> None:
    neutral = np.full_like(GREY, 128)
    for samples, step in (
        (np.stack([GREY] * 3, -1), "one of three equal channels"),
        (np.stack([GREY, neutral, neutral + 1], -1), "luminance channel, chroma neutral"),
    ):
        plane, coloured, said = grey_plane(samples, bits=8)
        np.testing.assert_allclose(plane, GREY / 255, atol=1e-6)
        assert (coloured, said) == (0, step)


def test_what_a_lossy_codec_leaves_is_grey_and_a_logo_too() -> None:
    noise = np.random.default_rng(0).integers(-10, 11, (200, 200, 3))
    samples = np.clip(noise + 100, 0, 255).astype(np.uint8)
    samples[:10, :10] = (255, 0, 0)
    assert grey_plane(samples, bits=8)[2] == "one of three equal channels"


def test_a_coloured_picture_becomes_its_luminance_and_says_so() -> None:
    samples = np.random.default_rng(0).integers(0, 256, (50, 50, 3)).astype(np.uint8)
    plane, coloured, said = grey_plane(samples, bits=8)
    assert coloured > 0.5 and said == "luminance of a coloured picture"
    np.testing.assert_allclose(plane, samples @ [0.299, 0.587, 0.114] / 255, atol=1e-6)
    plane, coloured, _ = grey_plane(samples, bits=8, luminance_first=True)
    assert coloured > 0.5 and np.array_equal(plane, samples[..., 0] / np.float32(255))


def table(entries: np.ndarray, *, first: int = 0, bits: int = 8) -> Dataset:
    dataset = Dataset()
    for colour in ("Red", "Green", "Blue"):
        name = f"{colour}PaletteColorLookupTable"
        setattr(dataset, f"{name}Descriptor", [len(entries), first, bits])
        setattr(dataset, f"{name}Data", entries.tobytes())
    return dataset


def test_indices_become_the_colours_they_stand_for() -> None:
    inverse = np.arange(255, -1, -1, dtype=np.uint8)
    colours, bits = palette(GREY, table(inverse), "a.dcm")
    assert bits == 8 and np.array_equal(colours[..., 1], 255 - GREY)
    wide = (np.arange(256) * 257).astype("<u2")
    colours, bits = palette(GREY, table(wide, bits=16), "a.dcm")
    assert bits == 16 and np.array_equal(colours[..., 2], GREY * np.uint16(257))


@pytest.mark.parametrize("dataset", [Dataset(), table(np.zeros(0, np.uint8))])
def test_a_palette_that_cannot_be_read_is_refused(dataset: Dataset) -> None:
    with pytest.raises(ImageError, match=r"a\.dcm: its palette") as error:
        palette(GREY, dataset, "a.dcm")
    assert error.value.reason == "bad_attributes"


def test_indices_beyond_any_palette_are_refused() -> None:
    with pytest.raises(ImageError, match="palette indices up to 4000000"):
        palette(np.array([[0, 4_000_000]], np.uint32), table(np.zeros(4, np.uint8)), "a.dcm")
