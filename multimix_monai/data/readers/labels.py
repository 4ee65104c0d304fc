"""Path of data, from a csv of labels and patients, as people's spreadsheets write it, to rows."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path

from .files import one_form

COLUMNS = ("image", "label", "patient")
_LABELS = {"": None, "0": 0, "1": 1, "normal": 0, "pneumonia": 1}

Row = tuple[int | None, str | None]  # label, patient


def label_rows(path: Path) -> dict[str, Row]:
    """(label, patient) by what stands under `image`, see `one_form`.

    The csv has the columns image, label (0, 1, normal, pneumonia, or empty for unknown) and, if
    you have it, patient, in any case and order, with commas, semicolons or tabs. Columns without a
    name and empty rows are passed over.

    Raises:
        ValueError: it is missing or not UTF-8, a column is unknown, doubled or missing, or a row
            has no image or one that had a row, more values than columns, or another label.
    """
    rows: dict[str, Row] = {}
    for number, row in _read_csv(path):
        if not row["image"]:
            raise ValueError(f"{path}: line {number}: names no image: name it or remove the row")
        image = one_form(Path(row["image"]))
        if image in rows:
            raise ValueError(f"{path}: line {number}: {row['image']} occurs twice: keep one row")
        rows[image] = (_label(path, number, row.get("label", "")), row.get("patient") or None)
    return rows


def _read_csv(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """Line number and stripped row; a header is split at commas, or else semicolons, or tabs."""
    text = _text(path)
    header = text.partition("\n")[0]
    delimiter = next((mark for mark in ",;\t" if mark in header), ",")
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    columns = [name.strip().lower() for name in next(reader, [])]
    _refuse_columns(path, columns)
    for row in reader:
        values = [value.strip() for value in row]
        if any(values[len(columns) :]):
            raise ValueError(
                f"{path}: line {reader.line_num}: has {len(values)} values but the header has "
                f"{len(columns)} columns: name each column, or put values with commas in quotes"
            )
        if any(values):
            values += [""] * (len(columns) - len(values))
            yield reader.line_num, dict(zip(columns, values, strict=False))


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(
            f'{path}: is not UTF-8 (byte {error.start}): save it as "CSV UTF-8"'
        ) from error
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror}): check the path") from error


def _refuse_columns(path: Path, columns: Sequence[str]) -> None:
    """Raise ValueError where a value might be lost: a column is unknown, doubled or missing."""
    named = [name for name in columns if name]
    known = f"the columns are {', '.join(COLUMNS)}"
    if "image" not in named:
        raise ValueError(f"{path}: column 'image' is missing, found {named}; {known}: rename one")
    for name in named:
        if name not in COLUMNS:
            raise ValueError(f"{path}: column {name!r} is unknown; {known}: rename or remove it")
        if named.count(name) > 1:
            raise ValueError(f"{path}: column {name!r} occurs twice; {known}: remove one")


def _label(path: Path, number: int, text: str) -> int | None:
    if text.lower() not in _LABELS:
        raise ValueError(
            f"{path}: line {number}: label is {text!r}; allowed are 0, 1, normal, pneumonia or "
            "nothing"
        )
    return _LABELS[text.lower()]
