"""Path of data, from a path to a radiograph: one door for every format, DICOM by its content."""

from __future__ import annotations

from pathlib import Path

from multimix_monai.data.archives import archive_of, is_archive, members_of
from multimix_monai.data.files import is_dicom, open_file
from multimix_monai.data.images import ImageError, Radiograph, read_image


def read_radiograph(path: str | Path) -> Radiograph:
    """Reads one radiograph of any format that the package knows.

    Args:
        path: DICOM (by suffix .dcm or .dicom, or by its content under any name), PNG, JPEG, GIF,
            BMP, TIFF, NIfTI or JSRT .IMG; or such a file in a zip archive, by a path through it.

    Returns:
        Pixels float32 (H, W) in [0, 1], bright = dense, with the spacing where the file has it.

    Raises:
        ImageError: the file is missing, a folder, or cannot serve as an image; names it.
    """
    path = Path(path)
    if is_archive(path):
        members_of(path)  # says what is wrong with it
        raise ImageError(f"{path} is an archive: name a file in it", "archive")
    if archive_of(path) is None and not is_dicom(path):
        return read_image(path)
    with open_file(path) as file:
        if not is_dicom(path):
            return read_image(path, file=file)
        # pydicom is an extra: only who has DICOM files needs it.
        from multimix_monai.dicom.pixels import read_dicom

        return read_dicom(file, name=str(path))
