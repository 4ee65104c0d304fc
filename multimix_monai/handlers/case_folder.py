"""Handlers: all that is written of one case: pictures, DICOM objects, and its row."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from multimix_monai.data.files import is_dicom, open_file
from multimix_monai.data.keys import Keys
from multimix_monai.data.results import case_folder
from multimix_monai.engines.failure import failure_of
from multimix_monai.handlers.case_row import (
    Threshold,
    caption,
    error_row,
    flags_of,
    input_of,
    refusal_of,
    result_row,
)
from multimix_monai.handlers.pictures import overlay, saliency_map
from multimix_monai.handlers.png import write_png

if TYPE_CHECKING:
    from multimix_monai.dicom.findings import Algorithm

NO_FURTHER = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)  # nothing else could be written either
CAPTURE_SIDE = 1024  # longest side of the pictures in DICOM objects, in pixels
NO_DICOM = "no_dicom_results"  # the file lacks what they need, such as a valid UID


@dataclass(frozen=True)
class CaseFolder:
    """Writes the folder of a case and gives its row; it can be handed to another process.

    Attributes:
        output_dir: of all cases.
        threshold: from which probability a case is called pneumonia.
        force: write also what by its picture is no frontal chest radiograph, and flag it.
        algorithm: what DICOM objects say of their origin; None writes none.
        postprocessing: from a case with its packed prediction to its results; None where that was
            done before.
    """

    output_dir: Path
    threshold: Threshold
    force: bool = False
    algorithm: Algorithm | None = None
    postprocessing: Callable[[dict], dict] | None = None

    def __call__(self, case: dict[str, Any]) -> dict[str, Any]:
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
            return self._written(self.postprocessing(case) if self.postprocessing else case)
        except Exception as error:
            if isinstance(error, OSError) and error.errno in NO_FURTHER:
                raise OSError(
                    f"cannot write into {self.output_dir}: {error.strerror}; what is "
                    "written stays: free space, and run the same command again to go on"
                ) from error
            return error_row(case, error)

    def _written(self, case: dict[str, Any]) -> dict[str, Any]:
        """Write a case's folder; the case's row with its files, relative to the output folder."""
        row = result_row(case, threshold=self.threshold)
        name = case_folder(row["input"])
        folder = self.output_dir / name
        shutil.rmtree(folder, ignore_errors=True)  # of a run that was cut short
        folder.mkdir(parents=True)
        pictures = draw(case, text=caption(row))
        for kind, picture in pictures.items():
            write_png(folder / f"{kind}.png", picture, repeats=kind != "saliency")
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
            mask=np.asarray(case[Keys.PRED][0]),
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


def draw(case: dict[str, Any], *, text: str) -> dict[str, np.ndarray]:
    """Mask, uint8 (H, W), on the image's grid; overlay and saliency (h, w, 3), on the picture's.

    text: on the overlay.
    """
    image = case[Keys.PICTURE]
    mask, saliency = (np.asarray(case[key][0]) for key in (Keys.PRED, Keys.SALIENCY))
    return {
        "mask": 255 * mask.astype(np.uint8),
        "overlay": overlay(image, sampled(mask, like=image), text=text),
        "saliency": saliency_map(image, sampled(saliency, like=image)),
    }


def sampled(plane: np.ndarray, *, like: np.ndarray) -> np.ndarray:
    """The pixels of a plane (H, W) that are nearest to those of a smaller picture (h, w)."""
    if plane.shape == like.shape:
        return plane
    rows, columns = (
        ((np.arange(n) + 0.5) * whole / n).astype(np.intp)
        for n, whole in zip(like.shape, plane.shape, strict=True)
    )
    return plane.take(rows, axis=0).take(columns, axis=1)


def reduced(picture: np.ndarray) -> np.ndarray:
    """A picture of at most CAPTURE_SIDE on its longest side. picture: uint8 (H, W, 3)."""
    image = Image.fromarray(picture)
    image.thumbnail((CAPTURE_SIDE, CAPTURE_SIDE), Image.Resampling.LANCZOS, reducing_gap=2)
    return np.asarray(image)
