"""Handlers: results of every case as pictures, as DICOM objects and as a row, written beside.

While the network works on the next batch, threads draw and write the one before.
"""

from __future__ import annotations

import errno
import hashlib
import logging
import shutil
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from multimix_monai.data.files import is_dicom, open_file
from multimix_monai.data.keys import Keys
from multimix_monai.engines.failure import failure_of
from multimix_monai.handlers.case_row import (
    Threshold,
    error_row,
    flags_of,
    input_of,
    refusal_of,
    result_row,
)
from multimix_monai.handlers.pictures import overlay, saliency_map
from multimix_monai.handlers.results_table import ResultsTable

if TYPE_CHECKING:
    from ignite.engine import Engine

    from multimix_monai.dicom.findings import Algorithm

logger = logging.getLogger(__name__)

WRITERS = 2
MAX_WAITING = 4  # cases that may wait to be written: each holds its picture in memory
NO_FURTHER = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)  # nothing else could be written either
CAPTURE_SIDE = 1024  # longest side of the pictures in DICOM objects, in pixels
PNG_LEVEL = 1  # three times as fast as 6, a tenth larger
NO_DICOM = "no_dicom_results"  # the file lacks what they need, such as a valid UID


class CaseWriter:
    """Writes mask.png, overlay.png and saliency.png of each case, DICOM objects and a row.

    A case's folder is named after a digest of its path, since a file's name may name a patient.

    Args:
        results: the table; it also knows the folder.
        threshold_prob: calibrated probability from which a case is called pneumonia, in [0, 1].
        threshold_source: where that was chosen.
        force: write also what by its picture is no frontal chest radiograph, and flag it.
        algorithm: what DICOM objects say of their origin; None writes none.
    """

    def __init__(
        self,
        results: ResultsTable,
        *,
        threshold_prob: float = 0.5,
        threshold_source: str = "given",
        force: bool = False,
        algorithm: Algorithm | None = None,
    ) -> None:
        if not 0 <= threshold_prob <= 1:
            raise ValueError(f"threshold_prob is {threshold_prob}; it must lie in [0, 1]")
        self.results = results
        self.threshold = Threshold(threshold_prob, threshold_source)
        self.force = force
        self.algorithm = algorithm
        self.pending: deque[Future] = deque()

    def attach(self, engine: Engine) -> None:
        """To an evaluator of `engines.MultiMixEvaluator`'s kind."""
        from ignite.engine import Events

        engine.add_event_handler(Events.STARTED, self.begin)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._write_batch)
        engine.add_event_handler(Events.COMPLETED, self.end)
        engine.add_event_handler(Events.EXCEPTION_RAISED, self.give_up)

    def begin(self) -> None:
        """Open the table and start the threads."""
        self.results.begin()
        self.threads = ThreadPoolExecutor(WRITERS, thread_name_prefix="write")

    def _write_batch(self, engine: Any) -> None:
        engine.state.output = engine.state.batch = None
        self.write(engine.cases)

    def write(self, cases: list[dict[str, Any]]) -> None:
        """Hand a batch over: the list ends empty, so that a case is freed as soon as written."""
        while cases:
            self.pending.append(self.threads.submit(self.outcome, cases.pop(0)))
            self._collect(MAX_WAITING)

    def _collect(self, waiting: int) -> None:
        """Add rows in the order of the inputs until so many cases wait."""
        while len(self.pending) > waiting:
            row = self.pending.popleft().result()
            self.results.add(row)
            number = sum(self.results.counts.values())
            logger.info(f"case {number}: {row['status']} {row.get('reason') or ''}".rstrip())

    def end(self) -> None:
        """Wait for what is being written, and bring the table into order."""
        self._collect(0)
        self.threads.shutdown()
        self.results.end()

    def give_up(self, error: BaseException) -> None:
        """Leave what is written as it is, for a later run to go on from.

        Raises:
            BaseException: the error.
        """
        self.threads.shutdown(cancel_futures=True)
        self.results.close()
        raise error

    def outcome(self, case: dict[str, Any]) -> dict[str, Any]:
        """The row of a case whose files are written.

        Raises:
            OSError: the disk is full or not writable: no other case could be written either.
        """
        if Keys.ERROR in case:
            return error_row(case)
        refusal = None if self.force else refusal_of(case)
        if refusal:
            return refusal
        try:
            return self._written(case)
        except Exception as error:
            if isinstance(error, OSError) and error.errno in NO_FURTHER:
                raise OSError(
                    f"cannot write into {self.results.output_dir}: {error.strerror}; what is "
                    "written stays: free space, and run the same command again to go on"
                ) from error
            return error_row(case, error)

    def _written(self, case: dict[str, Any]) -> dict[str, Any]:
        """Write a case's folder; the case's row with its files, relative to the output folder."""
        row = result_row(case, threshold=self.threshold)
        name = folder_name(row["input"])
        folder = self.results.output_dir / name
        shutil.rmtree(folder, ignore_errors=True)  # of a run that was cut short
        folder.mkdir(parents=True)
        pictures = draw(case)
        for kind, picture in pictures.items():
            Image.fromarray(picture).save(folder / f"{kind}.png", compress_level=PNG_LEVEL)
        files = {kind: f"{kind}.png" for kind in pictures}
        if self.algorithm is not None and is_dicom(row["input"]):
            try:
                files |= self._dicom(case, folder, pictures)
            except (ValueError, TypeError, AttributeError, KeyError) as error:
                row["flags"] = ";".join([*flags_of(case), NO_DICOM])
                row["message"] = f"no results as DICOM: {failure_of(error)}"
        return row | {kind: f"{name}/{file}" for kind, file in files.items()}

    def _dicom(
        self, case: dict[str, Any], folder: Path, pictures: dict[str, np.ndarray]
    ) -> dict[str, str]:
        from multimix_monai.dicom.results import Findings, write_results

        assert self.algorithm is not None
        flags = flags_of(case)
        fired = tuple(case.get(Keys.QUALITY, {}).get("fired", ()))
        findings = Findings(
            mask=pictures["mask"] // 255,
            prob=float(case[Keys.PROBS][-1]),
            raw_prob=float(case.get(Keys.RAW_PROBS, case[Keys.PROBS])[-1]),
            threshold_prob=self.threshold.prob,
            threshold_source=self.threshold.source,
            algorithm=self.algorithm,
            quality=("review" if fired else "pass") if Keys.QUALITY in case else None,
            quality_rules=fired,
            flags=tuple(flags),
            forced=any(flag.startswith("forced:") for flag in flags),
            overlay=reduced(pictures["overlay"]),
            saliency=reduced(pictures["saliency"]),
        )
        with open_file(input_of(case)) as file:
            return write_results(file, folder, findings)


def draw(case: dict[str, Any]) -> dict[str, np.ndarray]:
    """Mask (H, W), overlay and saliency (H, W, 3), uint8, on the image's rows and columns."""
    image = case[Keys.PICTURE]
    mask = np.asarray(case[Keys.PRED][0], dtype=np.uint8)
    prob = float(case[Keys.PROBS][-1])
    return {
        "mask": 255 * mask,
        "overlay": overlay(image, mask, text=f"pneumonia {prob:.2f}"),
        "saliency": saliency_map(image, np.asarray(case[Keys.SALIENCY][0])),
    }


def reduced(picture: np.ndarray) -> np.ndarray:
    """A picture of at most CAPTURE_SIDE on its longest side. picture: uint8 (H, W, 3)."""
    image = Image.fromarray(picture)
    image.thumbnail((CAPTURE_SIDE, CAPTURE_SIDE), Image.Resampling.LANCZOS, reducing_gap=2)
    return np.asarray(image)


def folder_name(name: str) -> str:
    """Of a case: no other path has it, and it says nothing of whom the path may name."""
    digest = hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()
    return f"case-{digest[:16]}"
