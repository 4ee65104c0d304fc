"""Path of data, from a DICOM file to pixels: the steps of the standard, one function each."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from multimix_monai.data.images import ImageError, Radiograph
from multimix_monai.dicom.geometry import patient_orientation, spacing_mm

if TYPE_CHECKING:
    from pydicom.dataset import Dataset


def read_dicom(source: str | Path | BinaryIO, *, name: str | None = None) -> Radiograph:
    """Reads a grey-scale, single-frame DICOM image (DX, CR or any other with such pixels).

    The range is that of Bits Stored after the rescale, never that of the image's content; windows
    and VOI LUTs are not applied.

    Args:
        source: a DICOM file or a stream of one, compressed in any way that can be decoded.
        name: what errors call it; the path if absent.

    Returns:
        Pixels float32 (H, W) in [0, 1], bright = dense. Spacing: Imager Pixel Spacing (0018,1164),
        at the detector, else Pixel Spacing (0028,0030); None without either.

    Raises:
        ImageError: not DICOM, no pixels, colour, several frames, not decodable, or of one value.
        ImportError: pydicom is not installed.
    """
    path = name or ("a stream" if hasattr(source, "read") else str(source))
    dataset = _parse(source, path)
    _refuse_unsuitable(dataset, path)
    stored = _decode(dataset, path)
    pixels, steps = to_unit_range(stored, dataset)
    if pixels.min() == pixels.max():
        raise ImageError(
            f"{path}: every stored pixel is {stored.flat[0]}, nothing to see: leave it out"
        )
    spacing, source_of_spacing = spacing_mm(dataset)
    return Radiograph(
        pixels=pixels,
        spacing_mm=spacing,
        spacing_source=source_of_spacing,
        orientation=patient_orientation(dataset),
        steps=steps,
    )


def to_unit_range(stored: np.ndarray, dataset: Dataset) -> tuple[np.ndarray, tuple[str, ...]]:
    """Stored values (H, W) to float32 in [0, 1] with bright = dense, and what was done.

    Rescale Slope and Intercept (0028,1053 and 1052; PS3.3 C.11.1) are applied to the values and to
    the range that Bits Stored (0028,0101) allows. MONOCHROME1 (PS3.3 C.7.6.3.1.2) shows the
    lowest value white, so it is inverted; the Presentation LUT Shape INVERSE that a MONOCHROME1 DX
    object carries (PS3.3 C.8.11.3) says the same and is not a second inversion.
    """
    bits, signed = int(dataset.BitsStored), int(dataset.PixelRepresentation) == 1
    low, high = (-(2.0 ** (bits - 1)), 2.0 ** (bits - 1) - 1) if signed else (0.0, 2.0**bits - 1)
    slope = float(dataset.get("RescaleSlope", None) or 1.0)
    intercept = float(dataset.get("RescaleIntercept", None) or 0.0)
    steps = [f"range of {bits} bits stored"]
    values = stored.astype(np.float64)
    if (slope, intercept) != (1.0, 0.0):
        values = values * slope + intercept
        low, high = sorted((low * slope + intercept, high * slope + intercept))
        steps.insert(0, f"rescale {slope:g} x + {intercept:g}")
    pixels = np.clip((values - low) / (high - low), 0, 1)
    if dataset.PhotometricInterpretation == "MONOCHROME1":
        pixels = 1 - pixels
        steps.append("inverted (MONOCHROME1)")
    return np.ascontiguousarray(pixels, dtype=np.float32), tuple(steps)


def _parse(source: str | Path | BinaryIO, path: str) -> Dataset:
    try:
        import pydicom
    except ImportError as error:
        raise ImportError(
            f'{path} is DICOM, for which pydicom is needed: pip install "multimix-monai[dicom]"'
        ) from error
    try:
        return pydicom.dcmread(source)
    except Exception as error:  # pydicom raises many kinds on files of garbage
        raise ImageError(
            f"{path} is not a readable DICOM file ({error}): export it again"
        ) from error


def _refuse_unsuitable(dataset: Dataset, path: str) -> None:
    """Refuses what is not one grey plane of pixels."""
    if "PixelData" not in dataset:
        kind = dataset.get("Modality", "") or "unknown"
        raise ImageError(f"{path} has no pixels (modality {kind}): give the image object itself")
    frames = int(dataset.get("NumberOfFrames", None) or 1)
    if frames != 1:
        raise ImageError(f"{path} has {frames} frames, one is needed: export frames one by one")
    photometric = str(dataset.get("PhotometricInterpretation", "missing"))
    if photometric not in ("MONOCHROME1", "MONOCHROME2"):
        raise ImageError(
            f"{path} is {photometric}; MONOCHROME1 or MONOCHROME2 is needed: export it as grey"
        )
    needed = ("Rows", "Columns", "BitsStored", "PixelRepresentation")
    if float(dataset.get("RescaleSlope", None) or 0.0) == 0 and "RescaleSlope" in dataset:
        raise ImageError(f"{path} has an empty or zero Rescale Slope: export it again")
    missing = [keyword for keyword in needed if dataset.get(keyword) is None]
    if missing:
        raise ImageError(f"{path} lacks {', '.join(missing)}: export it again")


def _decode(dataset: Dataset, path: str) -> np.ndarray:
    """Stored values (H, W), without what old overlays kept in the bits above Bits Stored."""
    try:
        stored = np.asarray(dataset.pixel_array)
    except Exception as error:  # each decoder has its own exceptions
        syntax = getattr(getattr(dataset, "file_meta", None), "TransferSyntaxUID", None)
        name = getattr(syntax, "name", "unknown transfer syntax")
        raise ImageError(
            f"{path}: pixels cannot be decoded ({name}; {error}): install the decoder"
            " (pylibjpeg, or see `multimix doctor`), or export it uncompressed"
        ) from error
    if stored.ndim != 2:
        raise ImageError(f"{path} has pixels of shape {stored.shape}; one grey plane is needed")
    if int(dataset.PixelRepresentation) == 0:
        stored = stored & (2 ** int(dataset.BitsStored) - 1)
    return stored
