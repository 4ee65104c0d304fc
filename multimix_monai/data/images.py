"""Path of data, from a file to pixels: radiographs in a declared range, masks as 0 and 1.

Every format ends as float32 in [0, 1], row 0 at the top, dense tissue bright. The scale follows
the file's own range, never the image's content, except where the format declares none (float
pixels): 8 bit is v / 255; 16 bit is v / 4095 if no value exceeds 4095 (12 bit detectors), else
v / 65535. DICOM is read elsewhere.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

PILLOW_SUFFIXES = (".png", ".jpg", ".jpeg", ".gif", ".bmp", ".tif", ".tiff")
NIFTI_SUFFIXES = (".nii", ".nii.gz")
ROWS_FLIPPED, ALPHA_DROPPED = "rows flipped", "alpha dropped"  # steps of `read_image`
IMAGE_SUFFIXES = (*PILLOW_SUFFIXES, *NIFTI_SUFFIXES, ".img")

_JSRT_SHAPE = (2048, 2048)
_JSRT_SPACING_MM = (0.175, 0.175)
_MAX_LABEL = 31  # a mask whose values end here numbers its parts; masks of grey reach further
_MAX_12_BIT = 4095
_MAX_16_BIT = 65535
_ORIENTATION, _PHOTOMETRIC = 0x0112, 0x0106  # tags of EXIF and of TIFF
_DECODER_ERRORS = (
    OSError,
    SyntaxError,  # Pillow: broken PNG chunks
    ValueError,
    EOFError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)


class ImageError(ValueError):
    """A file that is refused, with a code for tables beside the message for people.

    Args:
        message: what, and what to do.
        reason: a word or two in snake case, the same for all files with this fault.
    """

    def __init__(self, message: str, reason: str = "unreadable") -> None:
        super().__init__(message, reason)  # both, or a worker process could not hand it over
        self.reason = reason

    def __str__(self) -> str:
        return str(self.args[0])


@dataclass(frozen=True)
class Objection:
    """Why a readable file should not be scored as a frontal chest radiograph; `--force` overrules.

    Attributes:
        reason: a code, as of `ImageError`.
        message: what the file says, and what to do.
    """

    reason: str
    message: str


@dataclass(frozen=True)
class Radiograph:
    """Pixels of one radiograph in the package's convention.

    Attributes:
        pixels: float32 (H, W) in [0, 1], rows and columns as stored, bright is dense.
        spacing_mm: distance of rows and of columns, None where the file does not tell.
        spacing_source: where the spacing comes from, "unknown" without one.
        orientation: directions of a row and of a column as letters, ("L", "F") for a patient who
            faces the viewer upright; None where the file does not tell.
        steps: what was applied to the stored values, in order.
        objections: why it should not be scored.
        flags: what a reader of the result should know, as codes, such as burned_in_annotation.
    """

    pixels: NDArray[np.float32]
    spacing_mm: tuple[float, float] | None = None
    spacing_source: str = "unknown"
    orientation: tuple[str, str] | None = None
    steps: tuple[str, ...] = ()
    objections: tuple[Objection, ...] = ()
    flags: tuple[str, ...] = ()


def read_image(path: str | Path, *, file: BinaryIO | None = None) -> Radiograph:
    """Read one radiograph: PNG, JPEG, GIF, BMP, TIFF, NIfTI or a JSRT .IMG.

    Colour becomes luminance and alpha is dropped; Pillow reduces 16 bit colour to 8 bit.

    Args:
        path: of the file; its name tells the format.
        file: its content, where it does not lie on the disk.

    Raises:
        ImageError: if the file is missing, empty, truncated, of unknown format, or of one value.
    """
    values, spacing_mm, steps = _stored_values(Path(path), file)
    if values.size == 0 or not np.isfinite(values).all():
        raise ImageError(f"{path}: has no pixels, or NaN or infinite ones: export it again")
    pixels, scale = _to_unit_range(values)
    if Path(path).suffix.lower() == ".img":
        pixels, steps = 1 - pixels, (*steps, "inverted")
    if pixels.min() == pixels.max():
        raise ImageError(
            f"{path}: every pixel has the value {values.flat[0]}: leave out or replace the file"
        )
    return Radiograph(
        np.ascontiguousarray(pixels),
        spacing_mm,
        spacing_source="file" if spacing_mm else "unknown",
        steps=(*steps, scale),
    )


def read_mask(paths: str | Path | Sequence[str | Path]) -> NDArray[np.uint8]:
    """Unite mask files (left and right lung, say) into one mask.

    A pixel is lung above half of its file's largest value, so that 0/1, 0/255 and grey edges all
    work; in a label map of at most 2 (left and right lung) every value but 0 is lung. A picture
    of one colour that is transparent in places is read by its alpha.

    Returns:
        uint8 (H, W), 1 is lung, 0 elsewhere.

    Raises:
        ImageError: if a file cannot be read or is a label map of more than the lungs, or the files
            differ in size.
    """
    files = [paths] if isinstance(paths, (str, Path)) else list(paths)
    if not files:
        raise ImageError("no mask file given: pass at least one")
    masks = [_binary(_mask_values(Path(file)), str(file)) for file in files]
    for file, mask in zip(files, masks, strict=True):
        if mask.shape != masks[0].shape:
            raise ImageError(
                f"{file}: mask is {_size(mask)} but {files[0]} is {_size(masks[0])} (rows x "
                "columns): export both on the image's grid"
            )
    return np.maximum.reduce(masks)


def name_without_suffix(path: Path) -> str:
    """File name without its image suffix: 'a.b.nii.gz' and 'a.b.png' -> 'a.b', '1.2.3' -> '1.2.3'.

    A number is no suffix: DICOM files are often named by their UID.
    """
    if path.name.lower().endswith(".nii.gz"):
        return path.name[:-7]
    return path.name if path.suffix[1:].isdigit() else path.stem


def _stored_values(
    path: Path, file: BinaryIO | None = None
) -> tuple[NDArray[np.generic], tuple[float, float] | None, tuple[str, ...]]:
    """Grey values (H, W) as stored, spacing, and steps."""
    if file is None and not path.is_file():
        raise ImageError(f"{path}: no such file: check the path")
    if _size_bytes(path, file) == 0:
        raise ImageError(f"{path}: the file is empty: copy or export it again")
    name = path.name.lower()
    try:
        if name.endswith(".img"):
            return _read_jsrt(path, file), _JSRT_SPACING_MM, ()
        if name.endswith(NIFTI_SUFFIXES):
            return _read_nifti(path, file)
        return _read_pillow(path, file)
    except ImageError:
        raise
    except _DECODER_ERRORS as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ImageError(
            f"{path}: cannot be decoded ({reason}): the file may be truncated or of another "
            "format; copy or export it again"
        ) from error


def _size_bytes(path: Path, file: BinaryIO | None) -> int:
    if file is None:
        return path.stat().st_size
    size = file.seek(0, io.SEEK_END)
    file.seek(0)
    return size


def _read_pillow(
    path: Path, file: BinaryIO | None
) -> tuple[NDArray[np.generic], None, tuple[str, ...]]:
    # By its bytes: Pillow maps a file by name, and a TIFF on its side then by the wrong rows.
    with Image.open(file or io.BytesIO(path.read_bytes())) as image:
        if getattr(image, "n_frames", 1) > 1:
            raise ImageError(f"{path}: holds {image.n_frames} frames: save one radiograph a file")
        turned = ("turned upright",) if image.getexif().get(_ORIENTATION, 1) != 1 else ()
        image.load()  # which turns a TIFF
        values, steps = _plane_of(ImageOps.exif_transpose(image))
        if image.mode.startswith("I") and _white_is_zero(image):  # Pillow inverts 8 bit by itself
            values, steps = values.max() - values, (*steps, "inverted")
        return values, None, (*turned, *steps)


def _plane_of(image: Image.Image) -> tuple[NDArray[np.generic], tuple[str, ...]]:
    """Of a decoded picture: grey values (H, W), and steps."""
    alpha = (ALPHA_DROPPED,) if image.has_transparency_data else ()
    if image.mode in ("1", "L", "F") or image.mode.startswith("I"):
        return np.asarray(image).copy(), alpha
    if image.mode == "LA":
        return np.asarray(image.getchannel("L")), alpha
    grey, colour = _grey(np.asarray(image.convert("RGB")))
    return grey, (*alpha, *colour)


def _white_is_zero(image: Image.Image) -> bool:
    """PhotometricInterpretation 0 of a TIFF (TIFF 6.0, section 4)."""
    tags = getattr(image, "tag_v2", {})
    return bool(tags.get(_PHOTOMETRIC, 1) == 0)


def _grey(rgb: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], tuple[str, ...]]:
    """(H, W, 3) -> (H, W): one channel where all agree, else luminance (ITU-R BT.601)."""
    if (rgb[..., 0] == rgb[..., 1]).all() and (rgb[..., 0] == rgb[..., 2]).all():
        return rgb[..., 0], ()
    luminance = rgb @ np.array([0.299, 0.587, 0.114], dtype=np.float32)
    return np.rint(luminance).astype(np.uint8), ("luminance",)


def _read_jsrt(path: Path, file: BinaryIO | None) -> NDArray[np.uint16]:
    """JSRT .IMG: 2048 x 2048 big-endian unsigned 16 bit without header, 12 bit values.

    The value grows with the film's optical density, so that lungs are stored bright: the caller
    inverts. Source: Shiraishi et al., AJR 174 (2000), and the database's user's guide.
    """
    expected = 2 * _JSRT_SHAPE[0] * _JSRT_SHAPE[1]
    size = _size_bytes(path, file)
    if size != expected:
        raise ImageError(
            f"{path}: has {size} bytes; a JSRT .IMG has {expected} "
            "(2048 x 2048 of 2 bytes): copy it again"
        )
    content = file.read() if file else path.read_bytes()
    values = np.frombuffer(content, dtype=">u2").reshape(_JSRT_SHAPE).astype(np.uint16)
    if values.max() > _MAX_12_BIT:
        raise ImageError(
            f"{path}: has a value of {values.max()}; a JSRT .IMG is big-endian and at most "
            f"{_MAX_12_BIT}: use the original file"
        )
    return values


def _read_nifti(
    path: Path, file: BinaryIO | None
) -> tuple[NDArray[np.generic], tuple[float, float] | None, tuple[str, ...]]:
    """NIfTI with axes (column, row[, 1]), as converters from DICOM write them.

    Rows are turned over only where the affine says that they run upwards while columns run to the
    patient's left (converters that flip rows). A spacing of exactly 1 x 1 means unknown.
    """
    if file is not None:
        raise ImageError(f"{path}: NIfTI is not read from archives: unpack it", "nifti_in_archive")
    import nibabel as nib
    from nibabel.filebasedimages import ImageFileError
    from nibabel.spatialimages import HeaderDataError

    try:
        volume: Any = nib.load(path)
        stored = np.asanyarray(volume.dataobj)
    except (ImageFileError, HeaderDataError) as error:
        raise OSError(str(error)) from error
    if stored.dtype.names or stored.ndim < 2 or any(n != 1 for n in stored.shape[2:]):
        raise ImageError(
            f"{path}: has shape {stored.shape} and type {stored.dtype}; a radiograph has one grey "
            "value a pixel and one slice: export a single 2-D image"
        )
    values = stored.reshape(stored.shape[:2]).T
    column_mm, row_mm = (float(mm) for mm in volume.header.get_zooms()[:2])
    spacing_mm = None if (row_mm, column_mm) == (1.0, 1.0) else (row_mm, column_mm)
    if rows_run_up(volume.affine):
        return values[::-1], spacing_mm, ("transposed", ROWS_FLIPPED)
    return values, spacing_mm, ("transposed",)


def rows_run_up(affine: NDArray[np.floating]) -> bool:
    """Whether rows run upwards while columns run to the patient's left.

    Args:
        affine: of NIfTI, to right, front and head, of the axes (column, row, slice).
    """
    return bool(affine[1, 1] > 0 > affine[0, 0])


def _to_unit_range(values: NDArray[np.generic]) -> tuple[NDArray[np.float32], str]:
    """Stored values -> float32 in [0, 1], and the scale that was used."""
    low, high = float(values.min()), float(values.max())
    if values.dtype == np.bool_:
        return values.astype(np.float32), "/ 1"
    if values.dtype == np.uint8:
        return values.astype(np.float32) / np.float32(255), "/ 255"
    if np.issubdtype(values.dtype, np.integer) and low >= 0 and high <= _MAX_16_BIT:
        top = _MAX_12_BIT if high <= _MAX_12_BIT else _MAX_16_BIT
        return values.astype(np.float32) / np.float32(top), f"/ {top}"
    if low >= 0 and high <= 1:
        return values.astype(np.float32), "/ 1"
    unit = (values.astype(np.float64) - low) / max(high - low, np.finfo(np.float32).tiny)
    return unit.astype(np.float32), f"({low:g}, {high:g}) to (0, 1)"


def _mask_values(path: Path) -> NDArray[np.generic]:
    """Values (H, W) as stored, or the alpha of a picture that has its shape in nothing else."""
    values, _, steps = _stored_values(path)
    if ALPHA_DROPPED not in steps or values.min() != values.max():
        return values
    with Image.open(io.BytesIO(path.read_bytes())) as image:
        alpha = np.asarray(ImageOps.exif_transpose(image).convert("RGBA").getchannel("A"))
    return alpha if alpha.min() != alpha.max() else values


def _binary(values: NDArray[np.generic], name: str) -> NDArray[np.uint8]:
    grey = values.astype(np.float32)
    top = float(grey.max(initial=0))
    if top <= _MAX_LABEL and (grey == np.rint(grey)).all():
        if top <= 2:
            return (grey > 0).astype(np.uint8)
        _refuse_labels(np.unique(grey), name)
    return (grey > top / 2).astype(np.uint8)


def _refuse_labels(values: NDArray[np.float32], name: str) -> None:
    """Raise ImageError for a map of more parts than one: which of them are lungs, nobody knows."""
    if len(values) > 2:
        raise ImageError(
            f"{name}: is a map of the labels {', '.join(f'{value:g}' for value in values)}: export "
            "the lungs alone, as 0 and 1, 0 and 255, or 0, 1 and 2 (left and right)"
        )


def _size(array: NDArray[np.generic]) -> str:
    return f"{array.shape[0]}x{array.shape[1]}"
