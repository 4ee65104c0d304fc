"""Path of data, from a user's own folder of radiographs to cases."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

from ..case import Case
from ..patient import digest, patient_id
from .files import (
    by_name,
    image_files,
    one_form,
    refuse_empty,
    refuse_masks_without_image,
    subfolder,
)
from .labels import Row, label_rows

_LABELS = "labels.csv"


def read_folder(root: Path) -> list[Case]:
    """Read images/, masks/<same name>.* and labels.csv; only images are needed.

    Without an images/ folder the images lie anywhere below root except in masks/. The csv is as
    `label_rows` says; its image is the file's name relative to the images' folder. The patient of
    a DICOM file without one in the csv is a digest of its Patient ID.

    Raises:
        ValueError: if there is no image, a mask or a csv row has no image, or the csv is wrong.
    """
    if not root.is_dir():
        raise ValueError(f"{root}: no such folder: check the path")
    base, masks_folder = subfolder(root, "images") or root, root / "masks"
    found = (path for path in image_files(base) if masks_folder not in path.parents)
    images = by_name(found, base=base)
    refuse_empty(base, images)
    masks = by_name(image_files(masks_folder), base=masks_folder)
    refuse_masks_without_image(masks, images)
    rows = _rows_by_image(root, base=base, images=images.values())
    patients = _patients(rows, images=images.values())
    unknown: Row = (None, None)
    return [
        Case(
            image=path,
            case=key,
            mask=(masks[key],) if key in masks else (),
            label=rows.get(path, unknown)[0],
            patient=patients.get(path),
        )
        for key, path in images.items()
    ]


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
        raise ValueError(
            f"{found[0]} names {len(unknown)} files that are no images below {base}, such as "
            f"{', '.join(unknown[:3])}: correct the names or remove the rows"
        )
    return {by_form[form]: row for form, row in rows.values()}


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
