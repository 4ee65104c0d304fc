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
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from fastapi import HTTPException
from monailabel.datastore.dicom import DICOMWebDatastore
from monailabel.datastore.local import LocalDatastore
from pydicom.dataset import Dataset

from multimix_monai.apps.label_datalist import digest
from multimix_monai.apps.label_files import read_label, write_plane
from multimix_monai.apps.label_store import FINAL, PATTERNS, CheckedLabels
from multimix_monai.data.images import ImageError
from multimix_monai.dicom.annotation import annotation, drawn_on, is_annotation, read_annotation
from multimix_monai.dicom.attributes import integer
from multimix_monai.dicom.parse import quiet, read_header
from multimix_monai.dicom.suitability import objections
from multimix_monai.dicom.web import DicomWeb, Reference
from multimix_monai.dicom.web_faults import ServerError

logger = logging.getLogger(__name__)

FRESH_S = 15.0  # a list of the PACS is asked for again after so long
MODALITIES = ("DX", "CR")


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
        auto_reload: as of MONAI Label's local datastore.
    """

    def __init__(
        self,
        web: DicomWeb,
        *,
        cache: Path,
        modalities: Sequence[str] = MODALITIES,
        pool: int = 500,
        auto_reload: bool = True,
    ) -> None:
        self.web = web
        self.modalities = tuple(modalities)
        self.pool = pool
        self._client = web.client
        self._lock = threading.RLock()
        self._listed: dict[str, tuple[float, dict[str, str]]] = {}
        self._drawn: dict[str, tuple[str | None, str]] = {}  # segmentation -> image and study
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
                    found |= self._query(modality)
                self._listed[key] = (time.monotonic(), found)
            return found

    def _query(self, modality: str) -> dict[str, str]:
        search = partial(self._client.search_for_series, search_filters={"Modality": modality})
        found: dict[str, str] = {}
        while True:
            page = self.web._ask("querying series", partial(search, limit=500, offset=len(found)))
            series = [Dataset.from_json(item) for item in page]
            new = {str(s.SeriesInstanceUID): str(s.StudyInstanceUID) for s in series}
            if not new.keys() - found.keys():
                return found
            found |= new

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
            LocalDatastore.add_image(self, image_id, str(min(paths, key=_place)), info)

    def get_labeled_images(self, label_tag: str | None = None, labels: Any = None) -> list[str]:
        """Images with a finished label, here or in the PACS."""
        here: list[str] = LocalDatastore.get_labeled_images(self)
        listed = self.list_images()
        done = {*here, *(image for image, _ in self._annotations().values() if image)}
        return [image for image in listed if image in done]

    def get_unlabeled_images(self, label_tag: str | None = None, labels: Any = None) -> list[str]:
        """The other images."""
        done = set(self.get_labeled_images())
        return [image for image in self.list_images() if image not in done]

    def _annotations(self) -> dict[str, tuple[str | None, str]]:
        """Segmentations of the PACS -> image that a person drew them on, None for others; study."""
        with self._lock:
            there = self._series(("SEG",))
            for series in there.keys() - self._drawn.keys():
                self._drawn[series] = (self._image_of(series, there[series]), there[series])
            return {series: known for series, known in self._drawn.items() if series in there}

    def _image_of(self, series: str, study: str) -> str | None:
        ask = partial(self._client.retrieve_series_metadata, study, series)
        found = self.web._ask("retrieving metadata", ask)
        header = Dataset.from_json(found[0]) if found else Dataset()
        return drawn_on(header) if is_annotation(header) else None

    def candidates(self) -> list[str]:
        """Labelled images, and of the others as many as `pool`, always the same."""
        rest = sorted(self.get_unlabeled_images(), key=digest)[: self.pool]
        return [*self.get_labeled_images(), *rest]

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
        for series, (image, study) in self._annotations().items():
            if image in images and not LocalDatastore.get_label_uri(self, image, FINAL):
                try:
                    self._fetch_label(series, study, str(image))
                except (ServerError, ImageError, ValueError) as error:
                    logger.warning(f"a label is left out: {error}")

    def _fetch_label(self, series: str, study: str, image_id: str) -> None:
        path = self.path_of(image_id)
        with TemporaryDirectory(prefix="multimix-label-") as folder, quiet():
            (reference, *_) = self._instances(study, series)
            self.web.retrieve(reference, seg := Path(folder, "seg.dcm"))
            with path.open("rb") as file:
                source_uid = str(read_header(file, "the image").SOPInstanceUID)
            label = Path(folder, "label.png")
            write_plane(label, read_annotation(seg, source_uid), image=path)
            LocalDatastore.save_label(self, image_id, str(label), FINAL, {})

    def _instances(self, study: str, series: str) -> list[Reference]:
        found = self.web.images(study, modalities=("SEG",))
        return [reference for reference in found if reference.series_uid == series]

    def deliver(self, image_id: str, label: Path) -> None:
        """Store a finished label in the PACS as a segmentation that a person drew.

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

    def get_label_uri(self, label_id: str, label_tag: str, image_id: str = "") -> str:
        """As of a folder."""
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
