"""Path of data, from a path to bytes: a file on the disk, or a member of a zip archive."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from multimix_monai.data.archives import archive_of, read_member
from multimix_monai.data.images import ImageError
from multimix_monai.data.sniff import HEAD_BYTES, starts_like_dicom

DICOM_SUFFIXES = (".dcm", ".dicom")


def walk(
    folder: Path, *, onerror: Callable[[OSError], object] | None = None
) -> Iterator[tuple[Path, list[str], list[str]]]:
    """As os.walk, sorted; linked folders are followed, each real one once.

    A link to a folder above, or to one that was there before, leads nowhere.

    Args:
        folder: the uppermost.
        onerror: gets what went wrong at a folder that cannot be read, which is passed over.

    Yields:
        A folder, names of folders in it, of which those that are taken away are passed over, and
        names of files.
    """
    been = {str(parent) for parent in folder.resolve().parents}
    for place, folders, names in os.walk(folder, followlinks=True, onerror=onerror):
        if (real := os.path.realpath(place)) in been:
            folders.clear()
            continue
        been.add(real)
        folders.sort()  # or it were left to the disk under which link a file goes
        yield Path(place), folders, names


def open_file(path: str | Path) -> BinaryIO:
    """Open a file, or a member of an archive by a path through it such as `exam.zip/a/b.dcm`.

    Raises:
        ImageError: it is missing, a folder, or cannot be opened; names it.
    """
    path = Path(path)
    archive = archive_of(path)
    if archive is not None:
        return io.BytesIO(read_member(archive, path.relative_to(archive).as_posix()))
    if path.is_dir() and os.access(path, os.R_OK | os.X_OK):
        raise ImageError(f"{path} is a folder, not an image: give a file in it", "folder")
    if not path.exists():
        raise ImageError(
            f"{path} does not exist: check the path, or the dataset_dir before it", "missing"
        )
    try:
        return path.open("rb")
    except OSError as error:
        raise ImageError(
            f"{path} cannot be opened ({error.strerror}): check its permissions", "locked"
        ) from error


def is_dicom(path: str | Path) -> bool:
    """Whether a file is DICOM: by suffix, or by its first bytes.

    Raises:
        ImageError: it has to be opened and cannot be.
    """
    path = Path(path)
    if path.suffix.lower() in DICOM_SUFFIXES:
        return True
    archive = archive_of(path)
    if archive is not None:
        head = read_member(archive, path.relative_to(archive).as_posix(), size=HEAD_BYTES)
        return starts_like_dicom(head)
    with open_file(path) as file:
        return starts_like_dicom(file.read(HEAD_BYTES))
