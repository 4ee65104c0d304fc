"""Path of data, what a datalist is held to: no overlap, no missing file; its counts and hash."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .case import Case
from .keys import Keys

Item = dict[str, Any]


def refuse_patient_overlap(parts: Mapping[str, Sequence[Item]]) -> None:
    """Raise ValueError where a patient is in two parts, naming the patient and the files."""
    first: dict[tuple[str, str], tuple[str, str]] = {}
    for part, items in parts.items():
        for item in items:
            name = item.get(Keys.PATIENT) or item.get(Keys.CASE) or item[Keys.IMAGE]
            patient = (str(item.get(Keys.SOURCE)), str(name))
            other, file = first.setdefault(patient, (part, item[Keys.IMAGE]))
            if other != part:
                raise ValueError(
                    f"patient {patient[1]} of {patient[0]} is in {other} ({file}) and {part} "
                    f"({item[Keys.IMAGE]}): a patient may be in one part only; correct the "
                    "patient keys, or remove one of the files"
                )


def refuse_image_overlap(parts: Mapping[str, Sequence[Item]]) -> None:
    """Raise ValueError where an image is in two parts, naming it."""
    first: dict[str, str] = {}
    for part, items in parts.items():
        for item in items:
            other = first.setdefault(item[Keys.IMAGE], part)
            if other != part:
                raise ValueError(
                    f"{item[Keys.IMAGE]} is in {other} and {part}: an image may be in one part "
                    "only; remove one of the entries"
                )


def refuse_twins(parts: Mapping[str, Sequence[Case]], digests: Mapping[Path, str]) -> None:
    """Raise ValueError where two parts hold the same pixels. digests: image -> their hash."""
    first: dict[str, tuple[str, Case]] = {}
    for part, case in ((part, case) for part, cases in parts.items() for case in cases):
        other, twin = first.setdefault(digests[case.image], (part, case))
        if other != part:
            raise ValueError(
                f"{twin.image} of patient {twin.patient or twin.case} in {other} and {case.image} "
                f"of patient {case.patient or case.case} in {part} are the same picture: remove "
                "one of the files"
            )


def refuse_repeated_cases(parts: Mapping[str, Sequence[Item]]) -> None:
    """Raise ValueError where two cases share a name within a source, or one file occurs twice."""
    names: dict[tuple[str, str], str] = {}
    files: dict[str, str] = {}
    for item in (item for items in parts.values() for item in items):
        source, case, image = item[Keys.SOURCE], item[Keys.CASE], item[Keys.IMAGE]
        twin = names.setdefault((source, case), image)
        if twin != image:
            raise ValueError(
                f"two cases of {source} are named {case}: {twin} and {image}: rename one, or "
                "give the sources different names"
            )
        if image in files:
            raise ValueError(
                f"{image} occurs twice, in {files[image]} and {source}: name each folder once"
            )
        files[image] = source


def refuse_missing_files(parts: Mapping[str, Sequence[Item]], path: str | Path) -> None:
    """Raise ValueError where files are missing, naming the first and the remedy."""
    files = (file for items in parts.values() for item in items for file in files_of(item))
    missing = [file for file in files if not os.path.isfile(file)]
    if missing:
        raise ValueError(
            f"{path}: {len(missing)} files are missing, such as {', '.join(missing[:3])}: set "
            "--dataset-dir (dataset_dir) to the folder that the datalist was made from"
        )


def validation_gap(parts: Mapping[str, Sequence[Item]]) -> str | None:
    """What is trained and cannot be validated, and how the best epoch is then chosen; else None."""
    trained, validated = (_tasks(parts[part]) for part in ("training", "validation"))
    lacking = [task for task in trained if task not in validated]
    if not lacking:
        return None
    chosen = f"is chosen by the {validated[0]} alone" if validated else "is the last"
    return f"validation has no {' and no '.join(lacking)}: the best epoch {chosen}"


def _tasks(items: Sequence[Item]) -> list[str]:
    labels = {item[Keys.LABEL] for item in items if Keys.LABEL in item}
    masks = ["masks"] if any(Keys.MASK in item for item in items) else []
    return [*masks, "labels of both classes"] if len(labels) > 1 else masks


def count_items(parts: Mapping[str, Sequence[Item]]) -> dict[str, dict[str, dict[str, int]]]:
    """Images, visible masks and labels, and patients of each part and source."""
    counts: dict[str, dict[str, dict[str, int]]] = {part: {} for part in parts}
    for part, items in parts.items():
        for source in sorted({item[Keys.SOURCE] for item in items}):
            own = [item for item in items if item[Keys.SOURCE] == source]
            labels = [item.get(Keys.LABEL) for item in own]
            counts[part][source] = {
                "images": len(own),
                "masks": sum(Keys.MASK in item for item in own),
                "label_0": labels.count(0),
                "label_1": labels.count(1),
                "unlabelled": labels.count(None),
                "patients": len({item[Keys.PATIENT] for item in own}),
            }
    return counts


def content_hash(parts: Mapping[str, Sequence[Item]], *, dataset_dir: str | Path) -> str:
    """sha256 over the sorted items of all parts and the sizes of their files.

    Sizes stand for the files' contents, so that it takes no reading: an exchanged file of the
    same size is not noticed. The order of items and the place of dataset_dir do not matter.
    """
    lines = []
    for part, items in parts.items():
        for item in items:
            sizes = [os.path.getsize(os.path.join(dataset_dir, file)) for file in files_of(item)]
            lines.append(json.dumps([part, item, sizes], sort_keys=True))
    return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()


def files_of(item: Item) -> list[str]:
    """Every file that an item names."""
    return [item[Keys.IMAGE], *item.get(Keys.MASK, []), *item.get(Keys.HIDDEN_MASK, [])]
