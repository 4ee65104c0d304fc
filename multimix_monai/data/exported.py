"""Beside the path of data: what travels in an exported network, so that the file stands alone.

One JSON text, embedded in the file: whoever has only that knows how a radiograph must be prepared
for it, what its output means, and whose weights they are.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from multimix_monai.data.calibration import Calibration

FORMAT = 1  # goes up when a reader of the one before would misread it
ONNX_KEY = "multimix"  # of the text in ONNX metadata_props
FILE_NAME = "multimix.json"  # of the text among the extra files of TorchScript and torch.export
STRIDE = 32  # the sides of the network's input are multiples of it
REMEDY = "export it again with `multimix export`"

Range = tuple[float | None, float | None]


@dataclass(frozen=True)
class Exported:
    """Where an exported network comes from, and with which settings it was meant to be used.

    Attributes:
        created_by: package and version.
        weights_sha256: of the file of the weights.
        image_size: side of the input that the settings are for, in pixels; the network takes any
            multiple of 32.
        lung_threshold_prob: a pixel whose lung probability is at or above it is lung, in [0, 1].
        keep_components: of the mask only the so many largest parts; 0 keeps all.
        quality_rules: measure of a mask -> plausible range, None is no bound.
        class_names: of the last channels of the output, in their order.
        network_data_format: inputs and outputs, as in the bundle's metadata.json.
        about: name, authors, copyright, intended use and references, as in the bundle's
            metadata.json, and `licence`.
        calibration: temperature and threshold of the probability; None if these weights have none.
        frontal_check: parameters of `engines.FrontalCheck`; None if there are none for these
            weights at this image_size.

    Raises:
        TypeError: an attribute is of another type.
        ValueError: a number leaves its range, or the calibration is of other weights or size.
    """

    created_by: str
    weights_sha256: str
    image_size: int
    lung_threshold_prob: float
    keep_components: int
    quality_rules: Mapping[str, Range]
    class_names: tuple[str, ...]
    network_data_format: Mapping[str, Any]
    about: Mapping[str, Any]
    calibration: Calibration | None = None
    frontal_check: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        for name, kinds in KINDS.items():
            value = getattr(self, name)
            if not isinstance(value, kinds) or isinstance(value, bool):
                wanted = " or ".join(kind.__name__ for kind in kinds)
                raise TypeError(f"{name} is {str(value)[:40]!r}; expected {wanted}")
        if self.image_size <= 0 or self.image_size % STRIDE:
            raise ValueError(
                f"image_size is {self.image_size}; use a positive multiple of {STRIDE}"
            )
        if not 0 <= self.lung_threshold_prob <= 1:
            raise ValueError(
                f"lung_threshold_prob is {self.lung_threshold_prob}; it must lie in [0, 1]"
            )
        if self.keep_components < 0:
            raise ValueError(f"keep_components is {self.keep_components}; it must be at least 0")
        for part in ("calibration", "frontal_check"):
            self._refuse_others(part)

    def _refuse_others(self, part: str) -> None:
        """A calibration or check of other weights is wrong without a sign of it."""
        value = getattr(self, part)
        stated = asdict(value) if isinstance(value, Calibration) else value or {}
        for name in ("weights_sha256", "image_size"):
            if name in stated and stated[name] != getattr(self, name):
                raise ValueError(
                    f"{part} is for {name} {stated[name]}, the network's is {getattr(self, name)}"
                )


KINDS: dict[str, tuple[type, ...]] = {
    "created_by": (str,),
    "weights_sha256": (str,),
    "image_size": (int,),
    "lung_threshold_prob": (float, int),
    "keep_components": (int,),
    "quality_rules": (Mapping,),
    "class_names": (tuple,),
    "network_data_format": (Mapping,),
    "about": (Mapping,),
    "calibration": (Calibration, type(None)),
    "frontal_check": (Mapping, type(None)),
}


def write_exported(exported: Exported) -> str:
    """The JSON text."""
    return json.dumps({"format": FORMAT, **asdict(exported)})


def read_exported(text: str) -> Exported:
    """Read and check the JSON text.

    Raises:
        ValueError: it is no JSON object, of a format that this version does not know, or an entry
            is missing, unknown or wrong.
    """
    try:
        stored = json.loads(text)
    except ValueError as error:
        raise ValueError(
            f"the exported network's settings are no JSON ({error}): {REMEDY}"
        ) from error
    if not isinstance(stored, dict) or "format" not in stored:
        raise ValueError(f"these are no settings of an exported network of multimix: {REMEDY}")
    if stored.pop("format") != FORMAT:
        raise ValueError(
            f"the exported network's settings are not of format {FORMAT}, which this version of "
            f"multimix reads: {REMEDY} of this version, or update multimix-monai"
        )
    names = {field.name for field in fields(Exported)}
    if stored.keys() != names:
        differing = ", ".join(sorted(names ^ stored.keys()))
        raise ValueError(f"the exported network's settings lack or add {differing}: {REMEDY}")
    try:
        return _from_json(stored)
    except (TypeError, ValueError) as error:
        raise ValueError(f"the exported network's settings: {error}: {REMEDY}") from error


def _from_json(stored: dict[str, Any]) -> Exported:
    """JSON has lists for tuples and objects for what has a class."""
    calibration = stored["calibration"]
    ranges = {name: (low, high) for name, (low, high) in dict(stored["quality_rules"]).items()}
    return Exported(
        **{
            **stored,
            "quality_rules": ranges,
            "class_names": tuple(stored["class_names"]),
            "calibration": None if calibration is None else Calibration(**calibration),
        }
    )
