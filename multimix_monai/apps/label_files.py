"""Apps: labels as the clients of MONAI Label send and take them, on the radiograph's own grid.

PNG has rows and columns as stored. NIfTI and NRRD have the axes (column, row, 1), as converters
from DICOM write them; a label for a NIfTI image takes over its affine.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from multimix_monai.data.images import NIFTI_SUFFIXES, ImageError, read_mask
from multimix_monai.transforms.load import read_radiograph

PNG, NRRD, RAW, SEG = ".png", ".nrrd", ".bin", ".dcm"
SUFFIXES = (PNG, *NIFTI_SUFFIXES, NRRD, SEG)
_MAX_16_BIT = 65535


def suffix_for(image: Path, wanted: str | None) -> str:
    """The suffix of a label: what a client wants, or what suits the image.

    Raises:
        ValueError: it is none that can be written.
    """
    if wanted:
        if wanted not in SUFFIXES:
            raise ValueError(f"result_extension is {wanted!r}; it can be {', '.join(SUFFIXES)}")
        return wanted
    return PNG if image.suffix.lower() in (".png", ".jpg", ".jpeg", ".bmp", ".gif") else ".nii.gz"


def write_plane(path: Path, plane: NDArray[Any], *, image: Path) -> None:
    """Write a mask or a map (H, W), by the path's suffix.

    Args:
        path: with one of SUFFIXES but that of DICOM.
        plane: uint8, or float32 of at least 0, which a PNG holds as 16 bit of its maximum.
        image: the radiograph's file.
    """
    if path.name.endswith(PNG):
        Image.fromarray(plane if plane.dtype == np.uint8 else _sixteen_bit(plane)).save(path)
    elif path.name.endswith(NRRD):
        import nrrd

        nrrd.write(str(path), plane.T[:, :, None], header={"space": "left-posterior-superior"})
    else:
        _write_nifti(path, plane, image=image)


def _sixteen_bit(plane: NDArray[np.floating]) -> NDArray[np.uint16]:
    top = float(plane.max()) or 1.0
    return np.rint(plane / top * _MAX_16_BIT).astype(np.uint16)


def _write_nifti(path: Path, plane: NDArray[Any], *, image: Path) -> None:
    import nibabel as nib

    radiograph = read_radiograph(image)
    if not image.name.lower().endswith(NIFTI_SUFFIXES):
        row_mm, column_mm = radiograph.spacing_mm or (1.0, 1.0)
        affine = np.diag([-column_mm, -row_mm, 1.0, 1.0])  # to the left and down, as DICOM's
        nib.save(nib.Nifti1Image(plane.T[:, :, None], affine), path)
        return
    source: Any = nib.load(image)
    stored = plane[::-1] if "rows flipped" in radiograph.steps else plane
    nib.save(nib.Nifti1Image(stored.T.reshape(source.shape), source.affine), path)


def read_label(path: Path, *, image: Path) -> NDArray[np.uint8]:
    """A finished label, uint8 (H, W) of 0 and 1, checked against its radiograph.

    Args:
        path: a label as a client sent it: one of SUFFIXES but DICOM's, or .bin, the bytes of the
            plane row by row, as OHIF sends it.
        image: the radiograph's file.

    Raises:
        ValueError: it cannot be read, is of another size than its radiograph, or empty.
    """
    grid = read_radiograph(image).pixels.shape
    mask = _read(path, grid)
    if mask.shape != grid:
        raise ValueError(
            f"the label is {mask.shape[0]}x{mask.shape[1]} but its image is {grid[0]}x{grid[1]} "
            "(rows x columns): save a label that was drawn on this image"
        )
    if not mask.any():
        raise ValueError("the label is empty: draw the lungs, or leave the image without a label")
    return mask


def _read(path: Path, grid: tuple[int, ...]) -> NDArray[np.uint8]:
    name = path.name.lower()
    if name.endswith(NRRD):
        import nrrd

        try:
            values, _ = nrrd.read(str(path))
        except (nrrd.NRRDError, OSError, ValueError) as error:
            raise ValueError("the label is no NRRD that can be read: save it again") from error
        return _binary(values[..., 0].T if values.ndim == 3 else values.T)
    if name.endswith(RAW):
        values = np.fromfile(path, dtype=np.uint8)
        if values.size != grid[0] * grid[1]:
            raise ValueError(
                f"the label has {values.size} bytes but its image {grid[0]}x{grid[1]} pixels: save "
                "a label that was drawn on this image"
            )
        return _binary(values.reshape(grid))
    try:
        return read_mask(path)
    except ImageError as error:
        raise ValueError(str(error).replace(str(path), "the label")) from error


def _binary(values: NDArray[Any]) -> NDArray[np.uint8]:
    """Whatever is marked is lung."""
    return (np.asarray(values) > 0).astype(np.uint8)
