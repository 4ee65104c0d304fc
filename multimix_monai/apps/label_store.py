"""Apps: MONAI Label's datastore on a folder of radiographs, which takes no label that is bad."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from fastapi import HTTPException
from monailabel.datastore.local import LocalDatastore
from monailabel.interfaces.datastore import DefaultLabelTag

from multimix_monai.apps.label_datalist import Known, class_of, read_classes
from multimix_monai.apps.label_files import read_label, write_plane
from multimix_monai.apps.label_request import plain_name
from multimix_monai.apps.label_turns import TurnTaking
from multimix_monai.data.patient import digest, patient_id

logger = logging.getLogger(__name__)

FINAL = DefaultLabelTag.FINAL.value
SUFFIXES = (".png", ".jpg", ".jpeg", ".dcm", ".dicom", ".nii", ".nii.gz")
PATTERNS = tuple(f"*{form}" for s in SUFFIXES for form in (s, s.upper()))
KEPT_SUFFIXES = (".png", ".nii", ".nii.gz")  # of labels; others are kept as NIfTI


class CheckedLabels(TurnTaking):
    """What both datastores do before a finished label is saved. Mixed in before a LocalDatastore.

    Differs: from MONAI Label's, which take any file, and answer 500 for an image they do not know.

    Attributes:
        classes: csv of classes, used where neither label nor image has one in its info.
    """

    classes: Path | None = None

    def add_image(self, image_id: str, image_filename: str, image_info: dict[str, Any]) -> str:
        """As of MONAI Label.

        Raises:
            HTTPException: 422, the id is a path, or the file is none that is listed.
        """
        name, suffix = self._to_id(Path(image_filename).name)  # type: ignore[attr-defined]
        image_id = _name(image_id or name, what="image")
        if suffix.lower() not in SUFFIXES:
            raise HTTPException(422, f"an image is a file of {', '.join(SUFFIXES)}, not {suffix!r}")
        with self._turn():
            added: str = super().add_image(image_id, image_filename, image_info)  # type: ignore[misc]
        return added

    def save_label(
        self,
        image_id: str,
        label_filename: str,
        label_tag: str,
        label_info: dict[str, Any],
        label_id: str = "",
    ) -> str:
        """As of MONAI Label.

        Raises:
            HTTPException: 404, no such image; 422, the label, its tag or its class cannot be used.
        """
        tag = _name(getattr(label_tag, "value", label_tag), what="tag")
        image, label = self.path_of(image_id), Path(label_filename)
        info = dict(label_info or {})
        with TemporaryDirectory(prefix="multimix-label-") as folder:
            if tag == FINAL:
                label = self._checked(image, label, info, Path(folder))
                info |= self.deliver(image_id, label)
            with self._turn():
                return self._put_label(image_id, label, tag, info)

    def _put_label(self, image_id: str, label: Path, tag: str, info: dict[str, Any]) -> str:
        """Into the folder, in place of one with another suffix, which would come back later."""
        # Of the folder, whatever store this is mixed into: MONAI Label's for a PACS writes a
        # segmentation by a tool of its own.
        saved: str = LocalDatastore.save_label(self, image_id, str(label), tag, info)
        kept = Path(LocalDatastore.get_label_uri(self, image_id, tag))
        for pattern in PATTERNS:
            other = kept.with_name(pattern.replace("*", image_id))
            if other.name.lower() != kept.name.lower():
                other.unlink(missing_ok=True)
        return saved

    def _checked(self, image: Path, label: Path, info: Mapping[str, Any], folder: Path) -> Path:
        """The label's file, or the same in a format that all can read."""
        try:
            class_of(info)
            mask = read_label(label, image=image)
        except ValueError as error:
            raise HTTPException(422, str(error).replace(str(image), "the image")) from error
        if label.name.lower().endswith(KEPT_SUFFIXES):
            return label
        kept = folder / "label.nii.gz"
        write_plane(kept, mask, image=image)
        return kept

    def path_of(self, image_id: str) -> Path:
        """An image's file.

        Raises:
            HTTPException: 404, there is none.
        """
        uri = self.get_image_uri(image_id)  # type: ignore[attr-defined]
        if not uri:
            raise HTTPException(404, "no such image in the datastore: GET /datastore/?output=all")
        return Path(uri)

    def deliver(self, image_id: str, label: Path) -> dict[str, Any]:
        """Store a finished label elsewhere too, here nowhere; what its info says of that."""
        return {}

    def candidates(self) -> list[str]:
        """Ids of the images that training and the choice of the next sample use: all."""
        return self.list_images()  # type: ignore[attr-defined,no-any-return]

    def within_reach(self) -> list[str]:
        """Those of them that are here."""
        return self.candidates()

    def names(self) -> dict[str, str]:
        """Of all images, by id: the names of their files."""
        return {id: self.path_of(id).name for id in self.list_images()}  # type: ignore[attr-defined]

    def known(self) -> tuple[list[Known], list[str]]:
        """What is known of the images within reach, and ids of those whose label or class is bad.

        Raises:
            ValueError: the csv of classes is wrong.
        """
        ids = self.within_reach()
        rows = read_classes(self.classes, self.names()) if self.classes else {}
        left_out: list[str] = []
        found = [self._known(id, rows.get(id, (None, None)), left_out) for id in ids]
        if left_out:
            logger.warning(f"labels left out of training: {len(left_out)}, see GET /info/")
        return found, left_out

    def _known(
        self, image_id: str, row: tuple[int | None, str | None], left_out: list[str]
    ) -> Known:
        image = self.path_of(image_id)
        infos = (self.get_label_info(image_id, FINAL), self.get_image_info(image_id))  # type: ignore[attr-defined]
        try:
            told = [label for label in map(class_of, infos) if label is not None]
        except ValueError:  # an image's info is not checked when it is set
            left_out.append(image_id)
            told = []
        uri = self.get_label_uri(image_id, FINAL)  # type: ignore[attr-defined]
        mask = Path(uri) if uri else None
        if mask and not _is_good(mask, image):
            left_out.append(image_id)
            mask = None
        return Known(
            name=digest(image_id),
            image=image,
            patient=digest(row[1] or patient_id(image) or image_id),
            mask=mask,
            label=told[0] if told else row[0],
        )


class FolderDatastore(CheckedLabels, LocalDatastore):  # type: ignore[misc]
    """MONAI Label's own for a folder, with radiographs' suffixes."""

    def __init__(
        self,
        folder: str,
        *,
        classes: Path | None = None,
        auto_reload: bool = True,
        read_only: bool = False,
    ) -> None:
        self.classes = classes
        super().__init__(folder, extensions=PATTERNS, auto_reload=auto_reload, read_only=read_only)


def _name(name: Any, *, what: str) -> str:
    try:
        return plain_name(name, what=what)
    except ValueError as error:
        raise HTTPException(422, str(error)) from error


def _is_good(mask: Path, image: Path) -> bool:
    try:
        read_label(mask, image=image)
    except ValueError:
        return False
    return True
