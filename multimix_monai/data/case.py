"""Path of data, before the first file is opened: one radiograph and what is known about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Case:
    """One radiograph and, each independently, its lung mask, its label and its patient.

    Attributes:
        image: the radiograph's file.
        case: identifier, unique within the source, derived from the file's name.
        mask: files whose union is the lungs; empty where the lungs are not annotated.
        label: 0 normal, 1 pneumonia, None where unknown.
        patient: key within the source; None says that the image is its own patient.
        source: name of the dataset.
        part: the dataset's official part, "train" or "test"; None where it has none.
        info: what else the dataset tells, as text: "sex", "age", "view", "finding", "follow_up"
            (number of the image in the patient's series), "original_rows", "original_columns".
    """

    image: Path
    case: str
    mask: tuple[Path, ...] = ()
    label: int | None = None
    patient: str | None = None
    source: str = "folder"
    part: str | None = None
    info: Mapping[str, str] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        if self.label not in (None, 0, 1):
            raise ValueError(
                f"{self.image}: label is {self.label!r}; allowed: 0 (normal), 1 (pneumonia), None"
            )
        if self.part not in (None, "train", "test"):
            raise ValueError(f"{self.image}: part is {self.part!r}; allowed: 'train', 'test', None")
