"""Beside the path of data: the small file that says what a probability means, of which weights.

A calibration belongs to weights: the same temperature and threshold on others are wrong without
a sign of it. So the file carries their digest, and is refused beside any other.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from multimix_monai.data.json_file import write_json

FILE_NAME = "calibration.json"  # beside the weights that it belongs to
NOT_CHOSEN = "default 0.5, not chosen on data"
REMEDY = "fit one with `multimix calibrate`"

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Calibration:
    """Temperature and threshold, how they were chosen, and for which weights.

    Without arguments: no calibration, probabilities as the network gives them.

    Attributes:
        temperature: by which class logits are divided before softmax, above 0.
        threshold_prob: calibrated probability from which a case is called pneumonia, in [0, 1].
        criterion: what the threshold serves, such as "Youden's index".
        chosen_on: the cases that both were chosen on, in words.
        cases: how many they were.
        positives: how many of them have pneumonia.
        weights_sha256: of the weights' file.
        image_size: side of the network's input in pixels.
        calibration_error_before: expected calibration error on these cases without temperature.
        calibration_error_after: the same with it.
        created_by: package and version.

    Raises:
        TypeError: an attribute is of another type.
        ValueError: a number leaves its range.
    """

    temperature: float = 1.0
    threshold_prob: float = 0.5
    criterion: str = ""
    chosen_on: str = ""
    cases: int = 0
    positives: int = 0
    weights_sha256: str = ""
    image_size: int = 0
    calibration_error_before: float = 0.0
    calibration_error_after: float = 0.0
    created_by: str = ""

    def __post_init__(self) -> None:
        for field in fields(self):
            _check_type(field.name, getattr(self, field.name), like=field.default)
        if not 0 < self.temperature < math.inf:
            raise ValueError(f"temperature is {self.temperature}; it must be above 0 and finite")
        for name in ("threshold_prob", "calibration_error_before", "calibration_error_after"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must lie in [0, 1]")
        if not 0 <= self.positives <= self.cases:
            raise ValueError(f"positives is {self.positives}; it must lie in [0, {self.cases}]")

    def source_of(self, threshold_prob: float) -> str:
        """Where a threshold in use comes from, for a results table."""
        if threshold_prob != self.threshold_prob:
            return "given"
        return f"{self.criterion} on {self.chosen_on}" if self.cases else NOT_CHOSEN


def _check_type(name: str, value: Any, *, like: Any) -> None:
    kinds = (int, float) if isinstance(like, float) else type(like)
    if not isinstance(value, kinds) or isinstance(value, bool):
        raise TypeError(f"{name} is {value!r}; expected {type(like).__name__}")


def load_calibration(
    path: str | Path | None, *, ckpt_path: str | Path, image_size: int
) -> Calibration:
    """The calibration to use with these weights at this input size.

    Args:
        path: the file; None takes `calibration.json` beside the weights if it is there and is
            theirs, and else none.
        ckpt_path: the weights' file.
        image_size: side of the network's input in pixels.

    Raises:
        ValueError: the given file cannot be read, or is for other weights or another input size.
    """
    if path is not None:
        calibration = read_calibration(path)
        _refuse_others(calibration, path, ckpt_path=ckpt_path, image_size=image_size)
        return calibration
    beside = Path(ckpt_path).with_name(FILE_NAME)
    if not beside.is_file() or not Path(ckpt_path).is_file():
        return Calibration()
    try:
        return load_calibration(beside, ckpt_path=ckpt_path, image_size=image_size)
    except ValueError as error:  # the weights were trained on, say: no reason not to predict
        _log.warning("probabilities stay as they are and the threshold is 0.5: %s", error)
        return Calibration()


def read_calibration(path: str | Path) -> Calibration:
    """Read and check the file.

    Raises:
        ValueError: it does not exist, is no JSON object, or an entry is missing, unknown or
            outside its range.
    """
    if not Path(path).is_file():
        raise ValueError(f"calibration {path} does not exist: {REMEDY}")
    try:
        stored = json.loads(Path(path).read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"calibration {path} is no JSON ({error}): {REMEDY}") from error
    names = {field.name for field in fields(Calibration)}
    if not isinstance(stored, dict) or stored.keys() != names:
        differing = sorted(names ^ stored.keys()) if isinstance(stored, dict) else sorted(names)
        raise ValueError(
            f"calibration {path} has other entries than a calibration ({', '.join(differing)} "
            f"missing or unknown): {REMEDY}"
        )
    try:
        return Calibration(**stored)
    except (TypeError, ValueError) as error:
        raise ValueError(f"calibration {path}: {error}: {REMEDY}") from error


def write_calibration(calibration: Calibration, path: str | Path) -> None:
    """Write the JSON, whole or not at all."""
    write_json(asdict(calibration), path, indent=2)


def weights_digest(path: str | Path) -> str:
    """sha256 of a weights' file, as `sha256sum` prints it.

    Raises:
        ValueError: there is no such file.
    """
    if not Path(path).is_file():
        raise ValueError(f"weights {path} do not exist: train first, or name others")
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def _refuse_others(
    calibration: Calibration, path: str | Path, *, ckpt_path: str | Path, image_size: int
) -> None:
    digest = weights_digest(ckpt_path)
    if calibration.weights_sha256 != digest:
        raise ValueError(
            f"calibration {path} is for weights {calibration.weights_sha256[:12] or 'unnamed'}, "
            f"but {ckpt_path} is {digest[:12]}: its temperature and threshold mean nothing there; "
            f"{REMEDY} on these weights"
        )
    if calibration.image_size != image_size:
        raise ValueError(
            f"calibration {path} is for image_size {calibration.image_size}, not {image_size}: "
            f"{REMEDY} at this size"
        )
