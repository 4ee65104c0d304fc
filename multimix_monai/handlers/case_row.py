"""Handlers: a case with all that was found becomes its row, in words and numbers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from multimix_monai.data.archives import archive_of
from multimix_monai.data.images import ImageError
from multimix_monai.data.keys import Keys
from multimix_monai.engines.failure import CaseFailure, failure_of

PROB_DIGITS = 6
NOT_CHECKED = "frontal_not_checked"  # the check was fitted to other weights


class Threshold(NamedTuple):
    """From which calibrated probability a case is called pneumonia, and where that comes from."""

    prob: float
    source: str


def input_of(case: dict[str, Any]) -> str:
    """The path that the user gave for a case, or below the folder that he gave."""
    image = case[Keys.IMAGE]
    return str(getattr(image, "meta", {}).get("filename_or_obj", image))


def result_row(case: dict[str, Any], *, threshold: Threshold) -> dict[str, Any]:
    """What was found in a case, by the results table's columns."""
    mask = np.asarray(case[Keys.PRED][0])
    prob = float(case[Keys.PROBS][-1])
    row = {
        "input": input_of(case),
        "status": "ok",
        "pneumonia_probability": round(prob, PROB_DIGITS),
        "pneumonia_probability_raw": round(
            float(case.get(Keys.RAW_PROBS, case[Keys.PROBS])[-1]), PROB_DIGITS
        ),
        "pneumonia_label": int(prob >= threshold.prob),
        "threshold": threshold.prob,
        "threshold_source": threshold.source,
        "rows": mask.shape[0],
        "columns": mask.shape[1],
        "frontal_score": _frontal_score(case),
        "flags": ";".join(flags_of(case)),
    }
    forced = [flag for flag in flags_of(case) if flag.startswith("forced:")]
    if forced:
        row["message"] = f"scored only because of --force, {', '.join(forced)}"
    return row | _area(case, int(np.count_nonzero(mask))) | _quality(case)


def caption(row: Mapping[str, Any]) -> str:
    """What a case's picture says: "pneumonia 0.43 >= 0.40  review  forced"."""
    sign = ">=" if row["pneumonia_label"] else "<"
    words = [f"pneumonia {row['pneumonia_probability']:.2f} {sign} {row['threshold']:.2f}"]
    words += ["review"] if row.get("quality") == "review" else []
    words += ["forced"] if "forced:" in row["flags"] else []
    return "  ".join(words)


def _area(case: dict[str, Any], area_px: int) -> dict[str, Any]:
    """In mm2 only where the file tells the spacing; its source says of which plane."""
    area: dict[str, Any] = {"lung_area_px": area_px}
    if case.get(Keys.SPACING) is not None:
        row_mm, column_mm = case[Keys.SPACING]
        area["lung_area_mm2"] = round(area_px * row_mm * column_mm, 1)
    return area | {"spacing_source": case[Keys.IMAGE].meta.get("spacing_source", "unknown")}


def _quality(case: dict[str, Any]) -> dict[str, Any]:
    if Keys.QUALITY not in case or "fired" not in case[Keys.QUALITY]:
        return {}
    fired = case[Keys.QUALITY]["fired"]
    return {"quality": "review" if fired else "pass", "quality_rules": ";".join(fired)}


def flags_of(case: dict[str, Any]) -> list[str]:
    """Codes of what a reader should know, with why a case was refused that was forced."""
    flags = list(case.get(Keys.FLAGS, []))
    frontal = case.get(Keys.FRONTAL)
    if frontal and frontal["reason"]:
        flags.append(f"forced:{frontal['reason']}")
    if frontal and frontal["score"] is None:
        flags.append(NOT_CHECKED)
    return flags


def refusal_of(case: dict[str, Any]) -> dict[str, Any] | None:
    """The row of a case that by its picture is no frontal chest radiograph; None if it is one."""
    found = case.get(Keys.FRONTAL) or {}
    if not found.get("reason"):
        return None
    row = error_row(case, ImageError(found["message"], found["reason"]))
    return row | {"frontal_score": _frontal_score(case)}


def _frontal_score(case: dict[str, Any]) -> float | None:
    score = (case.get(Keys.FRONTAL) or {}).get("score")
    return None if score is None else round(float(score), PROB_DIGITS)


def error_row(case: dict[str, Any], error: Exception | None = None) -> dict[str, Any]:
    """The row of an input that has no result. Its path, that may name a patient, is `input`'s."""
    error = failure_of(case[Keys.ERROR] if error is None else error)
    name = input_of(case)
    message = str(error).replace(name, "the file")
    archive = archive_of(Path(name))
    return {
        "input": name,
        "status": "refused" if isinstance(error, ImageError) else "failed",
        "reason": error.reason
        if isinstance(error, (ImageError, CaseFailure))
        else type(error).__name__,
        "message": message.replace(str(archive), "its archive") if archive else message,
    }
