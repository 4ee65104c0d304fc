"""Path of data, the Image Pixel module: what the bytes of a picture mean, checked once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from multimix_monai.data.images import ImageError
from multimix_monai.dicom.attributes import integer, text

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

MAX_PIXELS = 64_000_000  # three times the largest detector
GREY = ("MONOCHROME1", "MONOCHROME2")
PALETTE = "PALETTE COLOR"
SAMPLES = {
    **dict.fromkeys((*GREY, PALETTE), 1),
    **dict.fromkeys(("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT"), 3),
}


@dataclass(frozen=True)
class Layout:
    """The attributes of the Image Pixel module that decoding needs.

    Attributes:
        rows, columns: (0028,0010) and (0028,0011).
        samples: (0028,0002), 1 or 3.
        photometric: (0028,0004).
        bits_allocated: (0028,0100): 8, 16 or 32.
        bits_stored: (0028,0101), from 1 to bits_allocated.
        high_bit: (0028,0102); bits_stored - 1 in all but old files.
        signed: Pixel Representation (0028,0103) is 1; colours never are.
        planar: Planar Configuration (0028,0006) is 1: planes follow each other.
    """

    rows: int
    columns: int
    samples: int
    photometric: str
    bits_allocated: int
    bits_stored: int
    high_bit: int
    signed: bool
    planar: bool


def layout_of(dataset: Dataset, name: str) -> Layout:
    """Reads and checks the Image Pixel module.

    Raises:
        ImageError: with reason bad_attributes, photometric, odd_bits or too_large.

    Source: PS3.3 C.7.6.3.
    """
    _refuse_gaps(dataset, name)
    photometric = text(dataset, "PhotometricInterpretation")
    samples = integer(dataset, "SamplesPerPixel") or SAMPLES.get(photometric, 0)
    if SAMPLES.get(photometric) != samples:
        raise ImageError(
            f"{name} is {photometric} of {samples} samples a pixel; grey, RGB, YBR or palette is "
            "needed: export it as MONOCHROME2",
            "photometric",
        )
    stored = _number(dataset, "BitsStored")
    high_bit = integer(dataset, "HighBit")
    layout = Layout(
        rows=_number(dataset, "Rows"),
        columns=_number(dataset, "Columns"),
        samples=samples,
        photometric=photometric,
        bits_allocated=_number(dataset, "BitsAllocated"),
        bits_stored=stored,
        high_bit=stored - 1 if high_bit is None else high_bit,
        signed=samples == 1 and _number(dataset, "PixelRepresentation") == 1,
        planar=integer(dataset, "PlanarConfiguration") == 1,
    )
    _refuse_odd(layout, name)
    return layout


def _refuse_gaps(dataset: Dataset, name: str) -> None:
    needed = ("Rows", "Columns", "BitsAllocated", "BitsStored", "PixelRepresentation")
    missing = [keyword for keyword in needed if integer(dataset, keyword) is None]
    if not text(dataset, "PhotometricInterpretation"):
        missing.append("PhotometricInterpretation")
    if missing:
        raise ImageError(
            f"{name} lacks {', '.join(missing)}, or has no number there: export it again",
            "bad_attributes",
        )


def _refuse_odd(layout: Layout, name: str) -> None:
    size = f"{layout.rows} rows x {layout.columns} columns"
    if not (0 < layout.rows < 2**16 and 0 < layout.columns < 2**16):
        raise ImageError(f"{name} claims {size}: export it again", "bad_attributes")
    if layout.rows * layout.columns > MAX_PIXELS:
        raise ImageError(
            f"{name} claims {size}, more than {MAX_PIXELS // 10**6} million pixels: export it "
            "smaller",
            "too_large",
        )
    bits = (layout.bits_allocated, layout.bits_stored, layout.high_bit)
    whole = layout.bits_allocated in (8, 16, 32) and layout.bits_stored > 1
    if not (whole and layout.bits_stored - 1 <= layout.high_bit < layout.bits_allocated):
        raise ImageError(
            f"{name} has bits allocated, stored and high bit {bits}; a radiograph has 8, 16 or 32 "
            "bits a pixel, for example 16, 12, 11: export it again",
            "odd_bits",
        )


def _number(dataset: Dataset, keyword: str) -> int:
    """Of an attribute that is known to be there."""
    found = integer(dataset, keyword)
    assert found is not None
    return found
