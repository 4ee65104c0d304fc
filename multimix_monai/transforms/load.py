"""Path of data, from a path to a radiograph: one door for every format, DICOM by its content."""

from __future__ import annotations

from pathlib import Path

from multimix_monai.data.images import ImageError, Radiograph, read_image

_DICOM_SUFFIXES = (".dcm", ".dicom")


def read_radiograph(path: str | Path) -> Radiograph:
    """Reads one radiograph of any format that the package knows.

    Args:
        path: DICOM (by suffix .dcm or .dicom, or by its content under any name), PNG, JPEG, GIF,
            BMP, TIFF, NIfTI or JSRT .IMG.

    Returns:
        Pixels float32 (H, W) in [0, 1], bright = dense, with the spacing where the file has it.

    Raises:
        ImageError: the file is missing, a folder, or cannot serve as an image; names it.
    """
    path = Path(path)
    if path.is_dir():
        raise ImageError(f"{path} is a folder, not an image: give a file in it")
    if not path.is_file():
        raise ImageError(f"{path} does not exist: check the path, or the dataset_dir before it")
    if is_dicom(path):
        # pydicom is an extra: only who has DICOM files needs it.
        from multimix_monai.dicom.pixels import read_dicom

        return read_dicom(path)
    return read_image(path)


def is_dicom(path: Path) -> bool:
    """Whether a file is DICOM: by suffix, or by the letters DICM after a preamble of 128 bytes.

    Source: PS3.10 section 7.1.
    """
    if path.suffix.lower() in _DICOM_SUFFIXES:
        return True
    try:
        with path.open("rb") as file:
            return file.read(132)[128:] == b"DICM"
    except OSError as error:
        raise ImageError(f"{path} cannot be opened ({error}): check its permissions") from error
