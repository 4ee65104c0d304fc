"""Apps: what is found in a radiograph, as MONAI Label answers: a file on its grid, and `params`."""

from __future__ import annotations

import shutil
from functools import lru_cache
from pathlib import Path
from tempfile import NamedTemporaryFile, TemporaryDirectory
from typing import Any

import numpy as np

from multimix_monai.apps.label_files import SEG, suffix_for, write_plane
from multimix_monai.apps.label_judge import Judge
from multimix_monai.data.files import is_dicom
from multimix_monai.data.keys import CLASSES, Keys
from multimix_monai.handlers.case_folder import CaseFolder

OK = "ok"
_LISTS = ("flags", "quality_rules")


def answer(
    judge: Judge, path: Path, *, saliency: bool = False, wanted: str | None = None
) -> tuple[Path | None, dict[str, Any]]:
    """A temporary file with the mask or the saliency of a radiograph, and what else was found.

    Args:
        judge: by which weights.
        path: the radiograph.
        saliency: the saliency in place of the mask: its values in NIfTI and NRRD, 16 bit of its
            maximum, which is `saliency_max`, in PNG.
        wanted: suffix of the file; ".dcm" is a DICOM segmentation.

    Returns:
        The file, None where the radiograph was refused or cannot be judged; and `status`, of
        "ok", "refused" and "failed", `probabilities` by class, `threshold`, `quality`, `flags`
        and the other columns of results.csv, or `reason` and `message`.

    Raises:
        ValueError: the answer cannot be written so.
    """
    suffix = suffix_for(path, wanted)
    if suffix == SEG and (saliency or not path.is_file() or not is_dicom(path)):
        raise ValueError("a DICOM segmentation is made of the lungs on a DICOM radiograph only")
    case, row = judge.judge(path)
    found = params(case, row, weights=judge.digest)
    if row["status"] != OK:
        return None, found
    plane = np.asarray(case[Keys.SALIENCY if saliency else Keys.PRED][0])
    if saliency:
        found["saliency_max"] = float(plane.max())
    file = _temporary(suffix)
    try:
        if suffix == SEG:
            _write_seg(file, case, judge)
        else:
            write_plane(file, plane, image=path)
    except BaseException:
        file.unlink()
        raise
    return file, found


def params(case: dict[str, Any], row: dict[str, Any], *, weights: str) -> dict[str, Any]:
    """What a client is told of a case beside its label; nothing of its path."""
    found = {name: value for name, value in row.items() if name != "input" and value is not None}
    for name in _LISTS:
        if name in found:
            found[name] = [code for code in found[name].split(";") if code]
    if row["status"] == OK:
        probs = [round(float(p), 6) for p in case[Keys.PROBS]]
        found["probabilities"] = dict(zip(CLASSES, probs, strict=True))
    return found | {"weights": weights[:16]}


def _temporary(suffix: str) -> Path:
    with NamedTemporaryFile(dir=_folder().name, suffix=suffix, delete=False) as file:
        return Path(file.name)


@lru_cache(maxsize=1)
def _folder() -> TemporaryDirectory[str]:
    """Of this process, for nobody else to read, gone with it.

    A client on this machine keeps an answer under the name that it had here, in the folder of all
    temporary files, from which MONAI Label would delete it: ours must not lie there.
    """
    return TemporaryDirectory(prefix="multimix-label-")


def _write_seg(file: Path, case: dict[str, Any], judge: Judge) -> None:
    """The segmentation that `multimix predict` writes of this case.

    Raises:
        ValueError: the radiograph lacks what it needs, or no lung was found.
    """
    with TemporaryDirectory(prefix="multimix-label-") as folder:
        writer = CaseFolder(Path(folder), judge.threshold, judge.force, judge.algorithm)
        row = writer(case)
        if not row.get("seg"):
            raise ValueError(row.get("message") or "no lung was found: nothing to segment")
        shutil.copyfile(Path(folder, row["seg"]), file)
