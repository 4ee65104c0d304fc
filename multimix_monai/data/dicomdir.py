"""Path of data, from the table of contents of a DICOM medium to the images that it names."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

from multimix_monai.data.images import ImageError


def is_dicomdir(path: Path) -> bool:
    """Whether a file is a medium's table of contents: by its name, that the standard prescribes.

    Source: PS3.10 section 8.6.
    """
    return path.name.upper() == "DICOMDIR"


def images_of(file: BinaryIO, *, name: str) -> list[tuple[str, ...]]:
    """The parts of the path of each image, in the order of the records, from the medium's root.

    Records of other kinds (reports, presentation states, structures) are no images.

    Raises:
        ImageError: the file cannot be read as a DICOMDIR.
        ImportError: pydicom is not installed.

    Source: PS3.3 F.3.2.2: Directory Record Type (0004,1430), Referenced File ID (0004,1500).
    """
    try:
        from pydicom import dcmread
    except ImportError as error:
        raise ImportError(
            'a DICOMDIR needs pydicom: pip install "multimix-monai[dicom]"'
        ) from error
    try:
        records = dcmread(file).DirectoryRecordSequence
        images = [r.ReferencedFileID for r in records if r.DirectoryRecordType == "IMAGE"]
    except Exception as error:  # pydicom raises many kinds on files of garbage
        raise ImageError(
            f"{name} cannot be read as a DICOMDIR ({type(error).__name__}): name the folder of "
            "the images instead",
            "dicomdir_damaged",
        ) from error
    return [_parts([image] if isinstance(image, str) else image) for image in images]


def _parts(file_id: Iterable[str]) -> tuple[str, ...]:
    """A Referenced File ID without what would lead out of the medium."""
    parts = (part.replace("\\", "/").strip("/") for part in map(str, file_id))
    return tuple(part for part in parts if part not in ("", ".", "..") and "/" not in part)
