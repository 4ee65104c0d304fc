"""Path of data, from the children's pneumonia set (the paper's CheX) to cases."""

from __future__ import annotations

import re
from pathlib import Path

from ..case import Case
from ..images import name_without_suffix
from .files import image_files, refuse_empty, required_folder, subfolder

_LABELS = {"NORMAL": 0, "PNEUMONIA": 1}
# The 16 images of the official val are too few to validate on: they join the training pool.
_PARTS = {"train": "train", "val": "train", "test": "test"}
_PATIENT = re.compile(
    # Kaggle's release. Persons are numbered anew for each type; NORMAL2 is a series of its own.
    r"(?P<kaggle>person\d+_(?:bacteria|virus)|(?:NORMAL2-)?IM-\d+)"
    # Mendeley's. <disease>-<patient>-<image>: a patient with two diseases has one number.
    r"|(?:BACTERIA|NORMAL|VIRUS)-(?P<mendeley>\d+)-\d+"
)


def read_kermany(root: Path) -> list[Case]:
    """Read chest_xray/{train,val,test}/{NORMAL,PNEUMONIA}; root may also be its parent.

    The patient is (person, type) for pneumonia and the IM number for normal images, or in names
    like BACTERIA-1008087-0001, of the release at Mendeley, the first number.

    Raises:
        ValueError: if there is no train folder or no image.
    Source: Kermany et al., Cell 172, 2018.
    """
    base = required_folder(root, "train", "chest_xray/train").parent
    cases = [
        _case(path, part=part, label=label)
        for folder, part in _PARTS.items()
        for name, label in _LABELS.items()
        if (classes := subfolder(base / folder, name)) is not None
        for path in image_files(classes)
    ]
    refuse_empty(root, cases)
    return cases


def _case(path: Path, *, part: str, label: int) -> Case:
    name = name_without_suffix(path)
    found = _PATIENT.match(name)
    return Case(
        image=path,
        case=name,
        label=label,
        patient=found["kaggle"] or found["mendeley"] if found else None,
        source="kermany",
        part=part,
    )
