"""Path of data, from a DICOM file to a radiograph: the steps of the standard in their order."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
from numpy.typing import NDArray

from multimix_monai.data.images import ImageError, Objection, Radiograph
from multimix_monai.dicom.colour import MAX_COLOURED, grey_plane, palette
from multimix_monai.dicom.decode import decode, transfer_syntax
from multimix_monai.dicom.geometry import patient_orientation, spacing_mm
from multimix_monai.dicom.grey import grey_picture
from multimix_monai.dicom.layout import GREY, PALETTE, layout_of
from multimix_monai.dicom.objects import refuse_other_objects, refuse_without_pixels
from multimix_monai.dicom.parse import opened, quiet, read_header, read_whole
from multimix_monai.dicom.suitability import flags, objections

if TYPE_CHECKING:
    from pydicom.dataset import FileDataset

_BIG_ENDIAN = "1.2.840.10008.1.2.2"


def read_dicom(source: str | Path | BinaryIO, *, name: str | None = None) -> Radiograph:
    """Reads the one picture of a DICOM file, as a workstation shows it.

    Args:
        source: a file, whatever its name, or a binary stream, which stays open.
        name: what errors call it; the path if absent.

    Returns:
        Pixels float32 (H, W) in [0, 1], rows and columns as stored, bright = dense. `steps` says
        all that was applied, `objections` why it should not be scored: another modality, body part
        or view, or a coloured picture.

    Raises:
        ImageError: it has no single grey picture that can be decoded; reason and remedy are in it.
        ImportError: pydicom is not installed.
    """
    name = name or (str(source) if isinstance(source, (str, Path)) else "a stream")
    with quiet(), opened(source, name) as stream:
        header = read_header(stream, name)
        refuse_other_objects(header, name)
        dataset = read_whole(stream, name)
        pixels, steps, against = _picture(dataset, name)
        spacing, spacing_source = spacing_mm(dataset)
        return Radiograph(
            pixels=pixels,
            spacing_mm=spacing,
            spacing_source=spacing_source,
            orientation=patient_orientation(dataset),
            steps=steps,
            objections=(*objections(dataset, name), *against),
            flags=flags(dataset),
        )


def _picture(
    dataset: FileDataset, name: str
) -> tuple[NDArray[np.float32], tuple[str, ...], tuple[Objection, ...]]:
    """Pixels (H, W), steps, and an objection if they are truly coloured."""
    refuse_without_pixels(dataset, name)
    layout = layout_of(dataset, name)
    decoded = decode(dataset, layout, name)
    against: tuple[Objection, ...] = ()
    if layout.photometric in GREY:
        little_endian = transfer_syntax(dataset)[0] != _BIG_ENDIAN
        pixels, steps = grey_picture(decoded, dataset, name, little_endian=little_endian)
    else:
        samples, bits = decoded.values, decoded.bits
        if layout.photometric == PALETTE:
            samples, bits = palette(samples, dataset, name)
        ybr = layout.photometric in ("YBR_FULL", "YBR_FULL_422")
        pixels, coloured, step = grey_plane(samples, bits=bits, luminance_first=ybr)
        steps = (f"{layout.photometric}: {step}",)
        against = _coloured(coloured, name)
    if pixels.min() == pixels.max():
        raise ImageError(f"{name}: shows one grey level, nothing to see: leave it out", "constant")
    return np.ascontiguousarray(pixels), (decoded.step, *steps), against


def _coloured(share: float, name: str) -> tuple[Objection, ...]:
    if share <= MAX_COLOURED:
        return ()
    message = (
        f"{name} is coloured in {share:.1%} of its pixels, a radiograph is grey: give the image "
        "as the detector made it, or use --force"
    )
    return (Objection("colour", message),)
