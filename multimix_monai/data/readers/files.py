"""Path of data, from a dataset's folder to its files: what every reader needs."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path, PurePosixPath

from ..files import walk
from ..images import IMAGE_SUFFIXES, name_without_suffix

DICOM_SUFFIXES = (".dcm", ".dicom")


def image_files(folder: Path) -> Iterator[Path]:
    """Images below a folder, sorted by path; hidden files are left out.

    Files of any other suffix, or none, count where they carry DICOM's magic, as exports of a
    PACS do.
    """
    for path in files_below(folder):
        if "__MACOSX" in path.parts or not path.is_file():
            continue
        known = path.name.lower().endswith((*IMAGE_SUFFIXES, *DICOM_SUFFIXES))
        if known or _has_dicom_magic(path):
            yield path


def files_below(folder: Path) -> list[Path]:
    """What is no folder, sorted by path, hidden files left out; see `walk`."""
    return sorted(
        place / name for place, _, names in walk(folder) for name in names if name[0] != "."
    )


def subfolder(root: Path, *names: str) -> Path | None:
    """The first of the named folders that exists below root."""
    return next((root / name for name in names if (root / name).is_dir()), None)


def required_folder(root: Path, *names: str) -> Path:
    """The first of the named folders that exists below root.

    Raises:
        ValueError: if none does.
    """
    if not root.is_dir():
        raise ValueError(f"{root}: no such folder: check the path")
    found = subfolder(root, *names)
    if found is None:
        raise ValueError(f"{root}: has none of the folders {', '.join(names)}: check the path")
    return found


def by_name(files: Iterable[Path], *, base: Path | None = None) -> dict[str, Path]:
    """Files by their name without suffix; with a base, by their path below it without suffix.

    Raises:
        ValueError: if two files share a name.
    """
    named: dict[str, Path] = {}
    for path in files:
        name = name_without_suffix(path)
        key = one_form(path.parent.relative_to(base) / name if base else Path(name))
        twin = named.setdefault(key, path)
        if twin != path:
            raise ValueError(f"{path} and {twin} have the same name: rename or remove one")
    return named


def one_form(path: Path) -> str:
    """A path as text that compares: macOS spells letters with accents in two characters (NFD)."""
    return unicodedata.normalize("NFC", path.as_posix())


def refuse_empty(root: Path, found: Collection[object]) -> None:
    """Raise ValueError where a dataset holds no image."""
    if not found:
        raise ValueError(f"{root}: no images found: check the path and its layout")


def refuse_masks_without_image(masks: dict[str, Path], images: Iterable[str]) -> None:
    """Raise ValueError where a mask's name is none of the images' names."""
    known = set(images)
    orphans = sorted(masks.keys() - known)
    if orphans:
        names = ", ".join(f"{masks[name]}{_moved(name, known)}" for name in orphans[:3])
        raise ValueError(
            f"{len(orphans)} masks without an image of the same name, such as {names}: "
            "add the images or remove the masks"
        )


def _moved(name: str, images: Iterable[str]) -> str:
    image = in_other_folder(name, images)
    return f" (its image is {image}: masks/ has the same subfolders as images/)" if image else ""


def in_other_folder(name: str, names: Iterable[str]) -> str | None:
    """The one path that ends in the same file name; None if there is none, or more than one."""
    same = [other for other in names if PurePosixPath(other).name == PurePosixPath(name).name]
    return same[0] if len(same) == 1 else None


def clinical_reading(folder: Path | None, name: str) -> dict[str, str]:
    """Sex ("F", "M") and age in years from NLM's ClinicalReadings/<name>.txt, where they stand.

    Montgomery writes "Patient's Sex: F" and "Patient's Age: 027Y", Shenzhen "female 27yrs".
    """
    path = folder / f"{name}.txt" if folder else None
    if path is None or not path.is_file():
        return {}
    text = path.read_text(encoding="utf-8", errors="replace")
    sex = re.search(r"Sex:\s*([FM])|\b(f|m)e?(?:male|ale)\b", text, re.IGNORECASE)
    age = re.search(r"0*(\d+)\s*y", text, re.IGNORECASE)
    info = {"sex": (sex[1] or sex[2]).upper()} if sex else {}
    return info | ({"age": age[1]} if age else {})


def _has_dicom_magic(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(132)[128:] == b"DICM"
