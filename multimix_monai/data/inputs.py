"""Before the path of data begins: what a user names becomes a list of radiographs' paths."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

from multimix_monai.data.archives import ARCHIVE_SUFFIX, archive_of, is_archive, members_of
from multimix_monai.data.dicomdir import images_of, is_dicomdir
from multimix_monai.data.files import is_dicom, open_file, walk
from multimix_monai.data.images import IMAGE_SUFFIXES, ImageError, name_without_suffix
from multimix_monai.data.keys import Keys
from multimix_monai.data.results import is_case_folder


def find_cases(inputs: str | Path | Iterable[str | Path]) -> list[dict[str, Any]]:
    """Radiographs among files, folders (at any depth), zip archives and DICOMDIRs, as cases.

    A file named as such is taken whatever it is called, and even if it is missing, so that its
    refusal is reported; of a folder's or an archive's files only images and DICOM are, hidden
    ones left out. Of a DICOMDIR the images are taken that it names, missing ones too.

    Returns:
        A case for each path, in a stable order, each path once.

    Raises:
        FileNotFoundError: none of the inputs exists, or nothing is found in them.
    """
    given = [Path(p) for p in ([inputs] if isinstance(inputs, (str, Path)) else inputs)]
    names = ", ".join(map(str, given))
    if not any(path.exists() or archive_of(path) for path in given):
        raise FileNotFoundError(
            f"{names} does not exist: name a folder of radiographs (for the bundle, --dataset_dir)"
        )
    paths = dict.fromkeys(str(path) for entry in given for path in radiographs_at(entry))
    if not paths:
        raise FileNotFoundError(
            f"no radiograph in {names}: name a folder with some (for the bundle, --dataset_dir)"
        )
    return [{Keys.IMAGE: path, Keys.CASE: name_without_suffix(Path(path))} for path in paths]


def radiographs_at(path: Path) -> Iterable[Path]:
    """What one entry stands for: itself, or the radiographs in it."""
    if path.is_dir():
        return radiographs_below(path)
    return contents(path) if is_archive(path) or is_dicomdir(path) else [path]


def radiographs_below(folder: Path) -> list[Path]:
    """Radiographs at any depth, sorted; a folder that cannot be read is one, to be refused.

    Linked folders are followed, see `walk`.
    Of a dataset's folder, with images/ and masks/ side by side, masks/ is left out, and of a folder
    of results what was written for each case.
    """
    found: set[Path] = set()
    for root, folders, names in walk(folder, onerror=lambda error: found.add(_place(error))):
        if {"images", "masks"} <= set(folders):
            folders.remove("masks")
        folders[:] = [name for name in folders if not is_case_folder(Path(root, name))]
        for path in (Path(root, name) for name in names if not name.startswith(".")):
            if is_archive(path) or is_dicomdir(path):
                found.update(contents(path))
            elif is_radiograph(path):
                found.add(path)
    return sorted(found)


def _place(error: OSError) -> Path:
    return Path(os.fsdecode(error.filename))


def contents(path: Path) -> list[Path]:
    """Radiographs in an archive or of a DICOMDIR; if it cannot be read, itself, to be refused."""
    try:
        return list(_in_archive(path) if is_archive(path) else _of_dicomdir(path))
    except ImageError:
        return [path]


def _in_archive(archive: Path) -> Iterator[Path]:
    """Members that may be radiographs, and those that a DICOMDIR among them misses."""
    names = (name for name in members_of(archive) if not Path(name).name.startswith("."))
    paths = [archive / name for name in names]
    by_lower = {str(path).lower(): path for path in paths}
    for path in paths:
        if is_dicomdir(path):
            yield from _absent_of(path, by_lower)
        elif path.name.lower().endswith(ARCHIVE_SUFFIX) or is_radiograph(path):
            yield path


def _absent_of(dicomdir: Path, by_lower: dict[str, Path]) -> Iterator[Path]:
    """Images that a DICOMDIR in an archive names and the archive lacks; itself if unreadable."""
    try:
        with open_file(dicomdir) as file:
            named = images_of(file, name=str(dicomdir))
    except ImageError:
        yield dicomdir
        return
    images = (dicomdir.parent.joinpath(*parts) for parts in named)
    yield from (image for image in images if str(image).lower() not in by_lower)


def _of_dicomdir(dicomdir: Path) -> Iterator[Path]:
    with open_file(dicomdir) as file:
        named = images_of(file, name=str(dicomdir))
    entries = lru_cache(maxsize=64)(_entries)
    for parts in named:
        path = dicomdir.parent
        for part in parts:  # mounted media often show their names in lower case
            exact = path / part
            path = exact if exact.exists() else entries(path).get(part.lower(), exact)
        yield path


def _entries(folder: Path) -> dict[str, Path]:
    """A folder's entries by their names in lower case; none if it cannot be listed."""
    try:
        return {path.name.lower(): path for path in folder.iterdir()}
    except OSError:
        return {}


def is_radiograph(path: Path) -> bool:
    """Whether a file of a folder or an archive may be one: by its name, or DICOM by its content.

    A broken link with an image's name counts, and what cannot be opened: they are refused later,
    by name.
    """
    if path.name.lower().endswith(IMAGE_SUFFIXES):
        return True
    try:
        return (archive_of(path) is not None or path.is_file()) and is_dicom(path)
    except (ImageError, OSError):
        return True
