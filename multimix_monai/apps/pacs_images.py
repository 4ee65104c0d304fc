"""Apps: images of a PACS are retrieved, judged by `predict`, and their results stored."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from multimix_monai.apps.pacs_ledger import Ledger, Outcome
from multimix_monai.apps.predict import predict
from multimix_monai.data.keys import Keys
from multimix_monai.data.patient import digest
from multimix_monai.dicom.findings import Algorithm
from multimix_monai.dicom.web import DicomWeb, Reference
from multimix_monai.dicom.web_faults import ServerError
from multimix_monai.handlers.case_folder import NO_DICOM
from multimix_monai.handlers.results_table import MENDED_OUTSIDE

CAPTURES = ("sc_overlay", "sc_saliency")
KINDS = ("seg", *CAPTURES, "sr")
PASSING = (*MENDED_OUTSIDE, "truncated", "undecodable")  # the next retrieval may be whole


@dataclass(frozen=True)
class Work:
    """What is done with images.

    Attributes:
        server: whence images come, and where their results go.
        settings: of `apps.predict`.
        algorithm: what judges: its UIDs tell whether a result is in the PACS already.
        ledger: where outcomes are taken down.
        captures: whether pictures are stored too.
        keep: folder in which results are kept instead of being stored; None stores them.
    """

    server: DicomWeb
    settings: Mapping[str, Any]
    algorithm: Algorithm
    ledger: Ledger
    captures: bool = False
    keep: Path | None = None

    def known(self, image: Reference) -> Outcome | None:
        """What became of an image that needs no work: its results are there, or it was refused."""
        last = self.ledger.last(digest(image.uid))
        if last and last.status == "refused":
            return last
        if self.keep:
            is_kept = last and last.status == "kept" and _folder(self.keep, image).is_dir()
            return last if is_kept else None
        return _outcome(image, "there") if self.is_complete(image) else None

    def is_complete(self, image: Reference) -> bool:
        """Whether the PACS has all results: the report is stored last, and so tells of the rest."""
        kinds = ("sr", *(CAPTURES if self.captures else ()))
        uids = (self.algorithm.uid(kind, image.uid) for kind in kinds)
        return all(self.server.has(image.study_uid, uid) for uid in uids)

    def outcomes(self, images: Sequence[Reference]) -> Iterator[Outcome]:
        """What becomes of each image, as soon as it is known; files go with the batch.

        Raises:
            ServerError: the server is gone, or refuses the login: the rest is not judged.
        """
        with TemporaryDirectory(prefix="multimix-pacs-") as folder:
            waiting: dict[str, Reference] = {}
            for number, image in enumerate(images):
                path = Path(folder, f"{number:05d}.dcm")
                outcome = self._guarded(image, partial(self._fetch, image, path))
                if outcome:
                    yield outcome
                else:
                    waiting[str(path)] = image
            results = Path(folder, "results")
            for row in self._predict(list(waiting), results) if waiting else ():
                image = waiting[row["input"]]
                outcome = self._guarded(image, partial(self._deliver, image, row, results))
                assert outcome is not None
                yield outcome

    def _predict(self, paths: Sequence[str], output_dir: Path) -> list[dict[str, Any]]:
        cases = [{Keys.IMAGE: path, Keys.CASE: Path(path).stem} for path in paths]
        given = {"dataset#data": cases, "output_dir": str(output_dir)}
        return predict({**self.settings, **given})

    def find(self, study_uid: str, *, modalities: Sequence[str]) -> list[Reference] | None:
        """Images of a study; None, taken down, where the server fails for this study."""
        try:
            images, reason = self.server.images(study_uid, modalities=modalities), ""
        except ServerError as error:
            images, reason = None, self._reason(error)
        self.ledger.studies[digest(study_uid)] = reason
        return images

    def _guarded(self, image: Reference, step: Callable[[], Outcome | None]) -> Outcome | None:
        """A step whose failure is taken down, and concerns one image."""
        try:
            outcome = step()
        except ServerError as error:
            outcome = _outcome(image, "failed", reason=self._reason(error))
        if outcome:
            self.ledger.add(outcome)
        return outcome

    def _reason(self, error: ServerError) -> str:
        """The fault in words; raises it where it concerns all: login refused, or server gone."""
        if self.server.refuses_all(error) or (error.is_unreachable and not self.server.is_there()):
            raise error
        return str(error)

    def _fetch(self, image: Reference, path: Path) -> Outcome | None:
        """Retrieves an image that needs work."""
        known = self.known(image)
        if known:
            return known
        self.server.retrieve(image, path)
        return None

    def _deliver(self, image: Reference, row: dict[str, Any], results: Path) -> Outcome:
        """Stores or keeps what was found in an image."""
        if row["status"] != "ok":
            status = "failed" if row["reason"] in PASSING else row["status"]
            return _outcome(image, status, reason=row["reason"])
        files = {kind: results / row[kind] for kind in KINDS if row[kind]}
        if "sr" not in files:
            return _outcome(image, "refused", reason=NO_DICOM)
        if self.keep:
            shutil.copytree(files["sr"].parent, _folder(self.keep, image), dirs_exist_ok=True)
            return _outcome(image, "kept")
        return self._store(image, files)

    def _store(self, image: Reference, files: dict[str, Path]) -> Outcome:
        """Stores what is not there yet, the report last."""
        missing = [kind for kind in files if self._is_missing(image, kind)]
        stored = 0
        for kinds in (
            [kind for kind in missing if kind != "sr"],
            [k for k in missing if k == "sr"],
        ):
            reasons = self.server.store(image.study_uid, [files[kind] for kind in kinds])
            if reasons:
                reason = f"not stored: {', '.join(reasons)}"
                return _outcome(image, "failed", reason=reason, objects=stored)
            stored += len(kinds)
        return _outcome(image, "stored" if stored else "there", objects=stored)

    def _is_missing(self, image: Reference, kind: str) -> bool:
        if kind in CAPTURES and not self.captures:
            return False
        return not self.server.has(image.study_uid, self.algorithm.uid(kind, image.uid))


def _folder(keep: Path, image: Reference) -> Path:
    """Where results of an image are kept."""
    return keep / digest(image.uid)


def _outcome(image: Reference, status: str, *, reason: str = "", objects: int = 0) -> Outcome:
    return Outcome(digest(image.study_uid), digest(image.uid), status, reason, objects)
