"""Path of data, from a user's own folder of radiographs to cases."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Set
from pathlib import Path

from ..case import Case
from .files import by_name, image_files, refuse_empty, refuse_masks_without_image, subfolder

_LABELS = {"": None, "0": 0, "1": 1, "normal": 0, "pneumonia": 1}


def read_folder(root: Path) -> list[Case]:
    """Read images/, masks/<same name>.* and labels.csv; only images are needed.

    Without an images/ folder the images lie anywhere below root except in masks/. The csv has
    the columns image (file name relative to the images' folder), label (0, 1, normal, pneumonia,
    or empty for unknown) and, if you have it, patient.

    Raises:
        ValueError: if there is no image, a mask or a csv row has no image, a row repeats an
            image, or a label is none of the allowed.
    """
    if not root.is_dir():
        raise ValueError(f"{root}: no such folder: check the path")
    base, masks_folder = subfolder(root, "images") or root, root / "masks"
    found = (path for path in image_files(base) if masks_folder not in path.parents)
    images = by_name(found, base=base)
    refuse_empty(base, images)
    masks = by_name(image_files(masks_folder), base=masks_folder)
    refuse_masks_without_image(masks, images)
    rows = label_rows(root / "labels.csv", base=base, images=set(images.values()))
    unknown: tuple[int | None, str | None] = (None, None)
    return [
        Case(
            image=path,
            case=key,
            mask=(masks[key],) if key in masks else (),
            label=rows.get(path, unknown)[0],
            patient=rows.get(path, unknown)[1],
        )
        for key, path in images.items()
    ]


def label_rows(
    path: Path, *, base: Path, images: Set[Path] | None
) -> dict[Path, tuple[int | None, str | None]]:
    """(label, patient) by image file; empty where there is no csv.

    Args:
        path: of the csv, see `read_folder`.
        base: folder that its names start from.
        images: what they may name; anything if None.

    Raises:
        ValueError: as of `read_folder`.
    """
    if not path.is_file():
        return {}
    rows: dict[Path, tuple[int | None, str | None]] = {}
    unknown = []
    for number, row in _read_csv(path):
        image = base / row["image"]
        if image in rows:
            raise ValueError(f"{path}: line {number}: {row['image']} occurs twice: keep one row")
        if images is not None and image not in images:
            unknown.append(row["image"])
        rows[image] = (_label(path, number, row.get("label", "")), row.get("patient") or None)
    if unknown:
        raise ValueError(
            f"{path} names {len(unknown)} files that are no images below {base}, such as "
            f"{', '.join(unknown[:3])}: correct the names or remove the rows"
        )
    return rows


def _read_csv(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """Line number and stripped row; a header with ';' and no ',' is split there."""
    with path.open(newline="", encoding="utf-8-sig") as file:
        header = file.readline()
        file.seek(0)
        delimiter = ";" if ";" in header and "," not in header else ","
        reader = csv.DictReader(file, delimiter=delimiter, restval="")
        if "image" not in (reader.fieldnames or ()):
            raise ValueError(
                f"{path}: column 'image' is missing, found {reader.fieldnames}: name the columns "
                "image,label,patient"
            )
        for row in reader:
            yield reader.line_num, {key: value.strip() for key, value in row.items() if key}


def _label(path: Path, number: int, text: str) -> int | None:
    if text.lower() not in _LABELS:
        raise ValueError(
            f"{path}: line {number}: label is {text!r}; allowed are 0, 1, normal, pneumonia or "
            "nothing"
        )
    return _LABELS[text.lower()]
