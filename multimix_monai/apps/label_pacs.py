"""Apps: MONAI Label's datastore on a PACS: its radiographs, and finished labels stored beside them.

An image is a series of DX or CR, as for MONAI Label's viewers; of a series of several views it is
the first frontal one. A finished label is a DICOM segmentation that says that a person drew it, so
that what algorithms stored counts as none.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from fastapi import HTTPException
from monailabel.datastore.dicom import DICOMWebDatastore
from monailabel.datastore.local import LocalDatastore

from multimix_monai.apps.label_files import read_label, write_plane
from multimix_monai.apps.label_store import FINAL, PATTERNS, CheckedLabels
from multimix_monai.data.images import ImageError
from multimix_monai.data.patient import digest
from multimix_monai.data.readers.labels import label_rows
from multimix_monai.dicom.annotation import (
    annotation,
    drawn_on,
    is_annotation,
    read_annotation,
    saved_at,
)
from multimix_monai.dicom.attributes import integer
from multimix_monai.dicom.parse import quiet, read_header
from multimix_monai.dicom.suitability import objections
from multimix_monai.dicom.web import DicomWeb, Reference
from multimix_monai.dicom.web_faults import ServerError

logger = logging.getLogger(__name__)

FRESH_S = 15.0  # a list of the PACS is asked for again after so long
AGAIN_S = 60.0  # a segmentation that could not be read is looked at again after so long
LAG_S = 60.0  # so long a PACS may take to list what it was given
DRAWN_AT = "drawn_at"  # of a label's info: content date and time of its segmentation
MODALITIES = ("DX", "CR")


@dataclass(frozen=True)
class Drawn:
    """A segmentation of the PACS that a person drew: its series, study, image, and when."""

    series: str
    study: str
    image: str
    at: str


class PacsDatastore(CheckedLabels, DICOMWebDatastore):  # type: ignore[misc]
    """Radiographs of a DICOMweb server; what was retrieved is kept in a folder.

    Differs: from MONAI Label 0.8.5's, which lists one modality, converts to NIfTI without regard
    for polarity and look-up tables, writes segmentations by a tool that it downloads and that takes
    no radiographs, counts every segmentation as a label, and sees a saved one after two hours.

    Args:
        web: the server.
        cache: folder of what was retrieved.
        modalities: of the series that are listed.
        pool: images without a label that training and the choice of the next sample use.
        classes: csv of classes; its images are the first of the pool.
        auto_reload: as of MONAI Label's local datastore.
    """

    def __init__(
        self,
        web: DicomWeb,
        *,
        cache: Path,
        modalities: Sequence[str] = MODALITIES,
        pool: int = 500,
        classes: Path | None = None,
        auto_reload: bool = True,
    ) -> None:
        self.web = web
        self.modalities = tuple(modalities)
        self.pool = pool
        self.classes = classes
        self._client = web.client
        self._lock = threading.RLock()
        self._listed: dict[str, tuple[float, dict[str, str]]] = {}
        self._drawn: dict[str, Drawn | None] = {}  # by series, of what was looked at
        self._unread: dict[str, float] = {}  # when a series that cannot be read was looked at
        LocalDatastore.__init__(self, str(cache), extensions=PATTERNS, auto_reload=auto_reload)

    def name(self) -> str:
        """The server's address."""
        return self.web.url

    def _to_id(self, file: str) -> tuple[str, str]:
        found: tuple[str, str] = LocalDatastore._to_id(self, file)
        return found

    def _series(self, modalities: Sequence[str]) -> dict[str, str]:
        """Series of these modalities -> their study; not asked for again at once."""
        with self._lock:
            key = "/".join(modalities)
            asked, found = self._listed.get(key, (-FRESH_S, {}))
            if time.monotonic() - asked > FRESH_S:
                found = {}
                for modality in modalities:
                    found |= self.web.series(modality)
                self._listed[key] = (time.monotonic(), found)
            return found

    def list_images(self) -> list[str]:
        """Series of the modalities."""
        return sorted(self._series(self.modalities))

    def get_image_uri(self, image_id: str) -> str:
        """The file of an image, retrieved when it is first asked for; "" for an unknown one."""
        with self._lock:
            known = self._datastore.objects.get(image_id)
            if known is None:
                study = self._series(self.modalities).get(image_id)
                if study is None:
                    return ""
                self._retrieve(image_id, study)
            uri: str = LocalDatastore.get_image_uri(self, image_id)
            return uri

    def _retrieve(self, image_id: str, study: str) -> None:
        references = [
            reference
            for reference in self.web.images(study, modalities=self.modalities)
            if reference.series_uid == image_id
        ]
        with TemporaryDirectory(prefix="multimix-label-") as folder:
            paths = [Path(folder, f"{n}.dcm") for n in range(len(references))]
            for reference, path in zip(references, paths, strict=True):
                self.web.retrieve(reference, path)
            if not paths:
                return
            info = {"StudyInstanceUID": study, "instances": len(paths)}
            first = str(min(paths, key=_place))
            with self._turn():
                if image_id not in self._datastore.objects:  # or its labels would be lost
                    LocalDatastore.add_image(self, image_id, first, info)

    def add_image(self, image_id: str, image_filename: str, image_info: dict[str, Any]) -> str:
        """Not here.

        Raises:
            HTTPException: 422.
        """
        raise HTTPException(422, "images of a PACS are stored there")

    def get_labeled_images(self, label_tag: str | None = None, labels: Any = None) -> list[str]:
        """Images with a finished label in the PACS, or with one that it has just been given."""
        done = self._finished()
        return [image for image in self.list_images() if image in done]

    def _finished(self) -> set[str]:
        here = LocalDatastore.get_labeled_images(self)
        infos = {image: LocalDatastore.get_label_info(self, image, FINAL) for image in here}
        new = {image for image, info in infos.items() if time.time() - info.get("ts", 0) < LAG_S}
        return new | self._annotations().keys()

    def get_unlabeled_images(self, label_tag: str | None = None, labels: Any = None) -> list[str]:
        """The other images."""
        done = set(self.get_labeled_images())
        return [image for image in self.list_images() if image not in done]

    def _annotations(self) -> dict[str, Drawn]:
        """The newest annotation of each image."""
        with self._lock:
            studies = set(self._series(self.modalities).values())
            there = {s: study for s, study in self._series(("SEG",)).items() if study in studies}
            for series in there.keys() - self._drawn.keys():
                self._look_at(series, there[series])
            found = [drawn for series, drawn in self._drawn.items() if drawn and series in there]
            return {drawn.image: drawn for drawn in sorted(found, key=lambda drawn: drawn.at)}

    def _look_at(self, series: str, study: str) -> None:
        """What cannot be read is passed over, and looked at again later."""
        if time.monotonic() - self._unread.get(series, -AGAIN_S) < AGAIN_S:
            return
        try:
            header = self.web.header(study, series)
            image = drawn_on(header) if is_annotation(header) else None
        except Exception as error:  # attributes of anybody's raise many kinds on garbage
            self._unread[series] = time.monotonic()
            logger.warning(f"a segmentation cannot be read: {type(error).__name__}")
            return
        at = "".join(saved_at(header))
        self._drawn[series] = Drawn(series, study, image, at) if image else None

    def candidates(self) -> list[str]:
        """Labelled images, and of the others as many as `pool`, always the same."""
        first = self._in_csv()
        rest = sorted(self.get_unlabeled_images(), key=lambda id: (id not in first, digest(id)))
        return [*self.get_labeled_images(), *rest[: self.pool]]

    def names(self) -> dict[str, str]:
        """Of all images, by id; none is retrieved for it."""
        return {id: f"{id}.dcm" for id in self.list_images()}

    def _in_csv(self) -> set[str]:
        """Images that the csv of classes names; what is wrong with it is told by the training."""
        try:
            rows = label_rows(self.classes) if self.classes else {}
        except ValueError:
            return set()
        return {id for id, name in self.names().items() if {id, name} & rows.keys()}

    def within_reach(self) -> list[str]:
        """The candidates that can be retrieved, with labels that were saved elsewhere."""
        with self._lock:
            self._fetch_labels(self.get_labeled_images())
            return [image for image in self.candidates() if self._is_there(image)]

    def _is_there(self, image_id: str) -> bool:
        try:
            return bool(self.get_image_uri(image_id))
        except ServerError as error:
            logger.warning(f"an image is left out: {error}")
            return False

    def _fetch_labels(self, images: Sequence[str]) -> None:
        """Finished labels that were saved elsewhere, into the folder."""
        newest = self._annotations()
        for image in newest.keys() & set(images):
            if self._is_newer(newest[image]):
                try:
                    self._fetch_label(newest[image])
                except (ServerError, ImageError, ValueError) as error:
                    logger.warning(f"a label is left out: {error}")

    def _is_newer(self, drawn: Drawn) -> bool:
        """Than the label that is here, if there is one."""
        here = LocalDatastore.get_label_info(self, drawn.image, FINAL)
        return not here or drawn.at > str(here.get(DRAWN_AT, ""))

    def _fetch_label(self, drawn: Drawn) -> None:
        path = self.path_of(drawn.image)
        with TemporaryDirectory(prefix="multimix-label-") as folder, quiet():
            (reference, *_) = self._instances(drawn.study, drawn.series)
            self.web.retrieve(reference, seg := Path(folder, "seg.dcm"))
            with path.open("rb") as file:
                source_uid = str(read_header(file, "the image").SOPInstanceUID)
            label = Path(folder, "label.png")
            write_plane(label, read_annotation(seg, source_uid), image=path)
            with self._turn():
                if self._is_newer(drawn):
                    info = LocalDatastore.get_label_info(self, drawn.image, FINAL)
                    self._put_label(drawn.image, label, FINAL, {**info, DRAWN_AT: drawn.at})

    def _instances(self, study: str, series: str) -> list[Reference]:
        found = self.web.images(study, modalities=("SEG",))
        return [reference for reference in found if reference.series_uid == series]

    def deliver(self, image_id: str, label: Path) -> dict[str, Any]:
        """Store a finished label in the PACS as a segmentation that a person drew.

        Returns:
            When it was drawn.

        Raises:
            HTTPException: 422, the radiograph lacks what a segmentation needs; 502, the PACS does
                not take it. Nothing is saved then.
        """
        path = self.path_of(image_id)
        try:
            with TemporaryDirectory(prefix="multimix-label-") as folder:
                result = annotation(path, read_label(label, image=path))
                result.save_as(seg := Path(folder, "seg.dcm"))
                reasons = self.web.store(str(result.StudyInstanceUID), [seg])
        except ImageError as error:
            raise HTTPException(422, str(error)) from error
        except ServerError as error:
            raise HTTPException(502, str(error)) from error
        if reasons:
            raise HTTPException(502, f"the PACS did not take the label: {', '.join(reasons)}")
        self._listed.pop("SEG", None)
        return {DRAWN_AT: "".join(saved_at(result))}

    def remove_label(self, label_id: str, label_tag: str) -> None:
        """As of a folder.

        Raises:
            HTTPException: 422, it is a finished one.
        """
        if label_tag == FINAL:
            raise HTTPException(422, "labels of a PACS are removed there")
        LocalDatastore.remove_label(self, label_id, label_tag)

    def get_label_uri(self, label_id: str, label_tag: str, image_id: str = "") -> str:
        """As of a folder; a finished label that was removed from the PACS is none."""
        if label_tag == FINAL and label_id not in self._finished():
            return ""
        uri: str = LocalDatastore.get_label_uri(self, label_id, label_tag)
        return uri

    def datalist(self, full_path: bool = True) -> list[dict[str, Any]]:
        """As of a folder, with labels that were saved elsewhere."""
        self._fetch_labels(self.get_labeled_images())
        found: list[dict[str, Any]] = LocalDatastore.datalist(self, full_path)
        return found


def _place(path: Path) -> tuple[bool, int]:
    """Frontal views first, then by Instance Number (0020,0013)."""
    with path.open("rb") as file, quiet():
        header = read_header(file, "the image")
        return bool(objections(header, "it")), integer(header, "InstanceNumber") or 0
