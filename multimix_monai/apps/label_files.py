"""Apps: labels as the clients of MONAI Label send and take them, on the radiograph's own grid.

PNG has rows and columns as stored. NIfTI and NRRD have the axes (column, row, 1), as converters
from DICOM write them, with the radiograph's spacing; a label for a NIfTI image takes over its
affine.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from multimix_monai.data.images import (
    NIFTI_SUFFIXES,
    ROWS_FLIPPED,
    ImageError,
    read_mask,
    rows_run_up,
)
from multimix_monai.transforms.load import read_radiograph

PNG, NRRD, RAW, SEG = ".png", ".nrrd", ".bin", ".dcm"
SUFFIXES = (PNG, *NIFTI_SUFFIXES, NRRD, SEG)
_MAX_16_BIT = 65535
_LPS = "left-posterior-superior"


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
        _write_nrrd(path, *_placed(plane, image=image))
    else:
        import nibabel as nib

        nib.save(nib.Nifti1Image(*_placed(plane, image=image)), path)


def _sixteen_bit(plane: NDArray[np.floating]) -> NDArray[np.uint16]:
    top = float(plane.max()) or 1.0
    return np.rint(plane / top * _MAX_16_BIT).astype(np.uint16)


def _placed(plane: NDArray[Any], *, image: Path) -> tuple[NDArray[Any], NDArray[np.float64]]:
    """A plane with the axes (column, row, 1), and the affine of NIfTI, to right, front and head."""
    radiograph = read_radiograph(image)
    if not image.name.lower().endswith(NIFTI_SUFFIXES):
        row_mm, column_mm = radiograph.spacing_mm or (1.0, 1.0)
        affine = np.diag([-column_mm, -row_mm, 1.0, 1.0])  # to the left and down, as DICOM's
        return plane.T[:, :, None], affine
    import nibabel as nib

    source: Any = nib.load(image)
    stored = plane[::-1] if ROWS_FLIPPED in radiograph.steps else plane
    return stored.T.reshape(source.shape), source.affine


def _write_nrrd(path: Path, values: NDArray[Any], affine: NDArray[np.float64]) -> None:
    """Source: the NRRD format, section 5 (space, space directions, space origin)."""
    import nrrd

    lps = np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine
    place = {"space": _LPS, "space directions": lps[:3, :3].T, "space origin": lps[:3, 3]}
    nrrd.write(str(path), values.reshape(*values.shape[:2], 1), header=place)


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
            values, header = nrrd.read(str(path))
        except (nrrd.NRRDError, OSError, ValueError) as error:
            raise ValueError("the label is no NRRD that can be read: save it again") from error
        plane = values[..., 0].T if values.ndim == 3 else values.T
        return _binary(plane[::-1] if _rows_run_up(header) else plane)
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


def _rows_run_up(header: Mapping[str, Any]) -> bool:
    """Whether an NRRD's rows are turned over, by the rule by which those of a NIfTI image are."""
    directions = np.nan_to_num(np.array(header.get("space directions", np.zeros((3, 3))), float))
    space = str(header.get("space", _LPS)).lower()
    names = space.split("-") if "-" in space else list(space)
    to_ras = [-1 if name[:1] in "lp" else 1 for name in names[:2]]
    return rows_run_up(np.diag([*to_ras, 1]) @ directions.T)


def _binary(values: NDArray[Any]) -> NDArray[np.uint8]:
    """Whatever is marked is lung."""
    return (np.asarray(values) > 0).astype(np.uint8)
