"""Path of data, from NIH ChestX-ray14 (the paper's NIHX) to cases."""

from __future__ import annotations

import csv
from pathlib import Path

from ..case import Case
from .files import by_name, image_files, refuse_empty

_INFO = {
    "sex": "Patient Gender",
    "age": "Patient Age",
    "view": "View Position",
    "follow_up": "Follow-up #",
    "original_rows": "Height]",  # the official header is split at the comma of its [Width,Height]
    "original_columns": "OriginalImage[Width",
}


def read_nih(root: Path) -> list[Case]:
    """Read Data_Entry_2017*.csv and the images below any images*/ folder, as far as they exist.

    'Pneumonia' among the findings is label 1, 'No Finding' 0, anything else unknown. Rows whose
    image is not there are skipped, images match by name without suffix. The official lists
    train_val_list.txt and test_list.txt give the part where they exist.

    Raises:
        ValueError: if the csv is missing, lacks a column, or none of its images is there.
    Source: Wang et al., CVPR 2017.
    """
    images = by_name(
        path for folder in sorted(root.glob("images*")) for path in image_files(folder)
    )
    parts = _official_parts(root)
    cases = []
    for row in _rows(root):
        name = Path(row["Image Index"]).stem
        if name in images:
            cases.append(_case(images[name], row, part=parts.get(name)))
    refuse_empty(root, cases)
    return cases


def _case(path: Path, row: dict[str, str], *, part: str | None) -> Case:
    findings = row["Finding Labels"].split("|")
    label = 1 if "Pneumonia" in findings else 0 if findings == ["No Finding"] else None
    return Case(
        image=path,
        case=path.stem,
        label=label,
        patient=row["Patient ID"],
        source="nih",
        part=part,
        info={key: row[column] for key, column in _INFO.items() if row.get(column)},
    )


def _rows(root: Path) -> list[dict[str, str]]:
    path = next(iter(sorted(root.glob("Data_Entry_2017*.csv"))), None)
    if path is None:
        raise ValueError(f"{root}: Data_Entry_2017.csv is missing: download it beside images/")
    with path.open(newline="", encoding="utf-8-sig") as file:
        rows = list(csv.DictReader(file))
    needed = {"Image Index", "Finding Labels", "Patient ID"}
    lacking = needed - set(rows[0] if rows else ())
    if lacking:
        raise ValueError(f"{path}: column {sorted(lacking)[0]!r} is missing: use the official file")
    return rows


def _official_parts(root: Path) -> dict[str, str]:
    lists = {"train": root / "train_val_list.txt", "test": root / "test_list.txt"}
    return {
        Path(line).stem: part
        for part, path in lists.items()
        if path.is_file()
        for line in path.read_text(encoding="utf-8").split()
    }
