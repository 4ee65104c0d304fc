"""Path of data, from a datalist as people write it by hand to items that every run can rely on."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .images import name_without_suffix
from .integrity import Item
from .keys import Keys

_NAMES = (Keys.CASE, Keys.SOURCE, Keys.PATIENT)
_MASKS = (Keys.MASK, Keys.HIDDEN_MASK)
_LABELS = (Keys.LABEL, Keys.HIDDEN_LABEL)


def checked_items(parts: Mapping[str, Sequence[Any]], path: str | Path) -> dict[str, list[Item]]:
    """Items of each part in one form: names are str, masks lists of str, labels 0 or 1.

    What is null or empty is as absent, a case without name is called by its image's path without
    suffix, and entries of one image in one part are united. An item of `multimix datalist` stays
    as it is.

    Args:
        parts: as they stand in the JSON.
        path: of the JSON, for errors.

    Raises:
        ValueError: an item has no image, a mask is no path, a label is not 0 or 1, or entries of
            one image say different things; names part and case.
    """
    checked: dict[str, list[Item]] = {}
    for part, items in parts.items():
        forms = [_checked(item, f"{path}: {part}[{n}]") for n, item in enumerate(items)]
        checked[part] = _united(forms, f"{path}: {part}")
    return checked


def _checked(item: Any, where: str) -> Item:
    if not isinstance(item, dict) or not isinstance(item.get(Keys.IMAGE) or None, str):
        raise ValueError(f'{where}: has no image: an item is {{"image": "PATH", ...}}')
    where = f"{where} ({item.get(Keys.CASE) or item[Keys.IMAGE]})"
    form = {key: value for key, value in item.items() if value not in (None, "", [])}
    form |= {key: str(form[key]) for key in _NAMES if key in form}
    form |= {key: _files(form[key], f"{where}: {key}") for key in _MASKS if key in form}
    return form | {key: _label(form[key], f"{where}: {key}") for key in _LABELS if key in form}


def _files(value: Any, where: str) -> list[str]:
    files = [value] if isinstance(value, str) else value
    if not isinstance(files, list) or not all(isinstance(file, str) and file for file in files):
        raise ValueError(f"{where} is {value!r}; it must be a path, or a list of paths")
    return files


def _label(value: Any, where: str) -> int:
    if not isinstance(value, (int, float)) or value not in (0, 1):
        raise ValueError(
            f"{where} is {value!r}; it must be the number 0 (normal) or 1 (pneumonia): correct it, "
            "or leave it out where it is unknown"
        )
    return int(value)


def _united(items: Sequence[Item], where: str) -> list[Item]:
    """One item an image; each has a case."""
    by_image: dict[str, Item] = {}
    for item in items:
        image = item[Keys.IMAGE] = os.path.normpath(item[Keys.IMAGE])
        first = by_image.setdefault(image, item)
        for key, value in item.items():
            if first.setdefault(key, value) != value:
                raise ValueError(
                    f"{where}: {image} has two entries, one with {key} {first[key]!r} and one with "
                    f"{value!r}: make one of them"
                )
    for image, item in by_image.items():
        item.setdefault(Keys.CASE, str(Path(image).with_name(name_without_suffix(Path(image)))))
    return list(by_image.values())
