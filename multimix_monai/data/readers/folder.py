"""Path of data, from a user's own folder of radiographs to cases."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

from ..case import Case
from ..patient import digest, patient_id
from .files import (
    by_name,
    image_files,
    in_other_folder,
    one_form,
    refuse_empty,
    refuse_masks_without_image,
    subfolder,
)
from .labels import Row, label_rows

_LABELS = "labels.csv"


def read_folder(root: Path) -> list[Case]:
    """Read images/, masks/<same name>.* and labels.csv; only images are needed.

    Masks lie in the same subfolders as their images; left and right lung may be two files,
    <same name>_left.* and <same name>_right.*. Without an images/ folder the images lie anywhere
    below root except in masks/. The csv is as `label_rows` says; its image is the file's name
    relative to the images' folder. The patient of a DICOM file without one in the csv is a digest
    of its Patient ID.

    Raises:
        ValueError: if there is no image, a mask or a csv row has no image, or the csv is wrong.
    """
    if not root.is_dir():
        raise ValueError(f"{root}: no such folder: check the path")
    base, masks_folder = subfolder(root, "images") or root, root / "masks"
    found = (path for path in image_files(base) if masks_folder not in path.parents)
    images = by_name(found, base=base)
    refuse_empty(base, images)
    masks = _masks_by_image(masks_folder, images)
    rows = _rows_by_image(root, base=base, images=images.values())
    patients = _patients(rows, images=images.values())
    unknown: Row = (None, None)
    return [
        Case(
            image=path,
            case=key,
            mask=masks.get(key, ()),
            label=rows.get(path, unknown)[0],
            patient=patients.get(path),
        )
        for key, path in images.items()
    ]


def _masks_by_image(folder: Path, images: Collection[str]) -> dict[str, tuple[Path, ...]]:
    """Mask files by the key of their image: one, or those of left and right lung."""
    masks = by_name(image_files(folder), base=folder)
    found: dict[str, tuple[Path, ...]] = {}
    for key in images:
        pair = f"{key}_left", f"{key}_right"
        if key in masks:
            found[key] = (masks.pop(key),)
        elif all(name in masks and name not in images for name in pair):
            found[key] = (masks.pop(pair[0]), masks.pop(pair[1]))
    refuse_masks_without_image(masks, images)
    return found


def _rows_by_image(root: Path, *, base: Path, images: Collection[Path]) -> dict[Path, Row]:
    """Rows of the csv by image file; empty where there is no csv."""
    found = [path for path in sorted(root.iterdir()) if path.name.lower() == _LABELS]
    if not found:
        return {}
    if len(found) > 1:
        raise ValueError(f"{root} has {found[0].name} and {found[1].name}: remove one")
    by_form = {one_form(path): path for path in images}
    rows = {name: (one_form(base / name), row) for name, row in label_rows(found[0]).items()}
    unknown = [name for name, (form, _) in rows.items() if form not in by_form]
    if unknown:
        known = [one_form(path.relative_to(base)) for path in images]
        some = ", ".join(f"{name}{_moved(name, known)}" for name in unknown[:3])
        raise ValueError(
            f"{found[0]} names {len(unknown)} files that are no images below {base}, such as "
            f"{some}: correct the names or remove the rows"
        )
    return {by_form[form]: row for form, row in rows.values()}


def _moved(name: str, images: Collection[str]) -> str:
    image = in_other_folder(name, images)
    return f" (found in {Path(image).parent}: write {image})" if image else ""


def _patients(rows: Mapping[Path, Row], *, images: Collection[Path]) -> dict[Path, str]:
    """Patient by image file: the csv's, else of DICOM files with one Patient ID the same.

    No header is read where the csv knows all patients.
    """
    told = {path: patient for path, (_, patient) in rows.items() if patient}
    if len(told) == len(images):
        return told
    ids = {path: id for path in images if (id := patient_id(path)) is not None}
    keys = {ids[path]: patient for path, patient in told.items() if path in ids}
    return {path: keys.get(id, digest(id)) for path, id in ids.items()} | told
