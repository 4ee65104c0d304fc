"""Handlers: results of every case as files, and one row for each input whatever became of it."""

from __future__ import annotations

import csv
import hashlib
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
from ignite.engine import Engine, Events
from PIL import Image

from multimix_monai.data.images import ImageError, name_without_suffix
from multimix_monai.data.keys import Keys
from multimix_monai.engines.evaluator import ERROR
from multimix_monai.engines.outputs import outputs
from multimix_monai.handlers.pictures import overlay, saliency_map
from multimix_monai.transforms.load import is_dicom, read_radiograph

COLUMNS = (
    "input",
    "status",  # ok, refused (not an image that can be judged) or failed
    "reason",
    "message",
    "pneumonia_probability",
    "pneumonia_label",
    "threshold",
    "lung_area_px",
    "rows",
    "columns",
    "mask",
    "overlay",
    "saliency",
)


class CaseWriter:
    """Writes mask.png, overlay.png and saliency.png of each case, results.csv and results.jsonl.

    Rows are written as cases are finished, so that an interrupted run keeps them. A case's folder
    is named after its file, a DICOM's after a digest of its path, since its file name may name a
    patient.

    Args:
        output_dir: made if it is missing; results of an earlier run are replaced.
        threshold_prob: probability from which a case is called pneumonia, in [0, 1].
    """

    def __init__(self, output_dir: str | Path, *, threshold_prob: float = 0.5) -> None:
        if not 0 <= threshold_prob <= 1:
            raise ValueError(f"threshold_prob is {threshold_prob}; it must lie in [0, 1]")
        self.output_dir = Path(output_dir)
        self.threshold_prob = threshold_prob
        self.rows: list[dict[str, Any]] = []
        self.folders: set[str] = set()
        self.batch: list[dict[str, Any]] = []

    def attach(self, engine: Engine) -> None:
        """To an evaluator of `engines.MultiMixEvaluator`'s kind."""
        engine.add_event_handler(Events.STARTED, self._begin)
        engine.add_event_handler(Events.ITERATION_STARTED, self._remember)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._write)

    def _begin(self) -> None:
        self.output_dir.mkdir(parents=True, exist_ok=True)
        self.rows, self.folders = [], {"results.csv", "results.jsonl"}
        (self.output_dir / "results.jsonl").write_text("")
        with (self.output_dir / "results.csv").open("w", newline="") as file:
            csv.DictWriter(file, COLUMNS).writeheader()

    def _remember(self, engine: Engine) -> None:
        """The whole batch in its order; the engine keeps only those that could be read."""
        batch: Any = engine.state.batch
        self.batch = list(batch)

    def _write(self, engine: Engine) -> None:
        results = iter(outputs(engine))
        for case in self.batch:
            self._add(error_row(case) if ERROR in case else self._write_case(next(results)))

    def _add(self, row: dict[str, Any]) -> None:
        row = {column: row.get(column) for column in COLUMNS}
        self.rows.append(row)
        with (self.output_dir / "results.jsonl").open("a") as file:
            file.write(json.dumps(row) + "\n")
        with (self.output_dir / "results.csv").open("a", newline="") as file:
            csv.DictWriter(file, COLUMNS).writerow(row)

    def _write_case(self, case: dict[str, Any]) -> dict[str, Any]:
        path = Path(str(case[Keys.IMAGE].meta["filename_or_obj"]))
        try:
            return self._pictures(case, path) | {"input": str(path), "status": "ok"}
        except (OSError, ValueError) as error:
            return {
                "input": str(path),
                "status": "failed",
                "reason": "write",
                "message": str(error),
            }

    def _pictures(self, case: dict[str, Any], path: Path) -> dict[str, Any]:
        folder = self._folder(path)
        image = read_radiograph(path).pixels
        mask = np.asarray(case[Keys.PRED][0], dtype=np.uint8)
        prob = float(case[Keys.PROBS][-1])
        (self.output_dir / folder).mkdir(parents=True, exist_ok=True)
        pictures = {
            "mask": 255 * mask,
            "overlay": overlay(image, mask, text=f"pneumonia {prob:.2f}"),
            "saliency": saliency_map(image, np.asarray(case[Keys.SALIENCY][0])),
        }
        files = {name: f"{folder}/{name}.png" for name in pictures}
        for name, picture in pictures.items():
            Image.fromarray(picture).save(self.output_dir / files[name])
        return files | {
            "pneumonia_probability": round(prob, 6),
            "pneumonia_label": int(prob >= self.threshold_prob),
            "threshold": self.threshold_prob,
            "lung_area_px": int(mask.sum()),
            "rows": mask.shape[0],
            "columns": mask.shape[1],
        }

    def _folder(self, path: Path) -> str:
        """A folder name that no other case of this run has."""
        digest = hashlib.sha256(str(path).encode()).hexdigest()[:10]
        stem = re.sub(r"[^A-Za-z0-9._-]+", "_", name_without_suffix(path)).strip("._")
        name = f"dicom-{digest}" if is_dicom(path) or not stem else stem
        name = name if name.lower() not in self.folders else f"{name}-{digest}"
        self.folders.add(name.lower())  # some file systems take A and a for one
        return name


def error_row(case: dict[str, Any]) -> dict[str, Any]:
    """The row of an input that has no result."""
    error = case[ERROR]
    refused = isinstance(error, ImageError)
    return {
        "input": str(case[Keys.IMAGE]),
        "status": "refused" if refused else "failed",
        "reason": error.reason if refused else type(error).__name__,
        "message": str(error),
    }
