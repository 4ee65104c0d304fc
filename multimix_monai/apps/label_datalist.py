"""Apps: what is known of a datastore's images becomes the datalist that training reads.

Finished masks are S_l and known classes C_l; every other image is S_u and C_u. Of five annotated
patients one is held back, for ever, to tell whether new weights are better.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from multimix_monai.data.keys import Keys
from multimix_monai.data.readers.files import one_form
from multimix_monai.data.readers.labels import Row, label_rows

logger = logging.getLogger(__name__)

CLASS_KEY = "pneumonia"  # of a label's or an image's info
CLASSES = {"0": 0, "1": 1, "normal": 0, "pneumonia": 1, "false": 0, "true": 1}
ONE_IN = 5
SOURCE = "datastore"


@dataclass(frozen=True)
class Known:
    """An image of the datastore and what is known of it.

    Attributes:
        name: digest of its id, since an id may name a patient.
        image: file.
        patient: digest of the patient's key; the image's own where the patient is not known.
        mask: file of the finished label; None without one.
        label: 0 normal, 1 pneumonia, None unknown.
    """

    name: str
    image: Path
    patient: str
    mask: Path | None = None
    label: int | None = None

    @property
    def kind(self) -> str:
        """By which annotations held-back patients are chosen: "mask", "0", "1", "" for none."""
        if self.mask is not None:
            return "mask"
        return "" if self.label is None else str(self.label)


def class_of(info: Mapping[str, Any]) -> int | None:
    """The class that an info tells under "pneumonia": 0, 1, true, false, normal or pneumonia.

    Raises:
        ValueError: it is something else.
    """
    value = info.get(CLASS_KEY)
    if value is None or value == "":
        return None
    text = str(value).lower()
    if text not in CLASSES:
        raise ValueError(f"{CLASS_KEY} is {value!r}; it can be 0, 1, normal or pneumonia")
    return CLASSES[text]


def read_classes(path: Path, names: Mapping[str, str]) -> dict[str, Row]:
    """Label and patient by id, of a csv with the columns image, label and maybe patient.

    Rows of other images are passed over.

    Args:
        path: of the csv; `image` is a file's name or an id.
        names: id -> the file's name, of all images.

    Raises:
        ValueError: as of `multimix datalist` for labels.csv, one image has two rows, or no row is
            of an image.
    """
    ids = {one_form(Path(key)): id for id, name in names.items() for key in (id, name)}
    found: dict[str, Row] = {}
    rows = label_rows(path)
    for key in rows.keys() & ids.keys():
        if ids[key] in found:
            raise ValueError(f"{path}: one image has a row by its id and one by its file's name")
        found[ids[key]] = rows[key]
    if rows and not found:
        raise ValueError(f"{path}: none of {len(rows)} rows names an image: give ids or file names")
    if len(found) < len(rows):
        logger.info(f"rows of the csv of classes that are no image here: {len(rows) - len(found)}")
    return found


def hold_back(images: Iterable[Known], before: Mapping[str, bool]) -> dict[str, bool]:
    """Whether each annotated patient is held back for validation.

    Of each kind of annotation one patient in ONE_IN is, counted down, so that four masks are all
    learnt from. What was decided before stays: nobody is first learnt from and then validated on.

    Args:
        images: all of them.
        before: what was decided, by patient.
    """
    kinds: dict[str, str] = {}
    for known in sorted(images, key=lambda known: known.kind != "mask"):
        if known.kind:
            kinds.setdefault(known.patient, known.kind)
    fate = {patient: before[patient] for patient in kinds if patient in before}
    for kind in sorted(set(kinds.values())):
        members = sorted(patient for patient in kinds if kinds[patient] == kind)
        lacking = len(members) // ONE_IN - sum(fate.get(patient, False) for patient in members)
        for patient in (patient for patient in members if patient not in fate):
            fate[patient] = lacking > 0
            lacking -= fate[patient]
    return fate


def build(images: Sequence[Known], held: Mapping[str, bool]) -> dict[str, list[dict[str, Any]]]:
    """The parts of a datalist: what is learnt from and what is validated on.

    Of a patient who is held back, images without annotation are in neither.

    Raises:
        ValueError: nothing is annotated; says what is missing.
    """
    if not any(known.kind for known in images):
        raise ValueError(
            f"nothing to learn from: of {len(images)} images none has a finished label (tag "
            f'"final") or a class (label info "{CLASS_KEY}", or the csv of --labels): draw the '
            "lungs of a few and save them"
        )
    parts: dict[str, list[dict[str, Any]]] = {"training": [], "validation": [], "test": []}
    for known in sorted(images, key=lambda known: known.name):
        if not held.get(known.patient, False):
            parts["training"].append(item_of(known))
        elif known.kind:
            parts["validation"].append(item_of(known))
    return parts


def item_of(known: Known) -> dict[str, Any]:
    """An item of a datalist, with absolute paths."""
    item: dict[str, Any] = {
        Keys.CASE: known.name,
        Keys.IMAGE: str(known.image),
        Keys.SOURCE: SOURCE,
        Keys.PATIENT: known.patient,
    }
    if known.mask is not None:
        item[Keys.MASK] = [str(known.mask)]
    if known.label is not None:
        item[Keys.LABEL] = known.label
    return item


def counts(parts: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, int]:
    """How many masks, classes and bare images are learnt from, and how many are held back."""
    training, validation = parts["training"], parts["validation"]
    return {
        "masks": sum(Keys.MASK in item for item in training),
        "classes": sum(Keys.LABEL in item for item in training),
        "unannotated": sum(Keys.MASK not in i and Keys.LABEL not in i for i in training),
        "held_back_masks": sum(Keys.MASK in item for item in validation),
        "held_back_classes": sum(Keys.LABEL in item for item in validation),
    }
