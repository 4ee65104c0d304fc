"""Apps: what an exported network says of itself, from inference.json and the bundle's metadata."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from multimix_monai import __version__
from multimix_monai.arrays.frontal_model import load_frontal_model
from multimix_monai.arrays.grey import LOWER, UPPER
from multimix_monai.arrays.quality import RULES, with_bounds
from multimix_monai.data.calibration import Calibration, weights_digest
from multimix_monai.data.exported import Exported

if TYPE_CHECKING:
    from monai.bundle import ConfigParser

ABOUT = (
    "name",
    "description",
    "authors",
    "copyright",
    "data_source",
    "intended_use",
    "references",
)
LICENCE = "Apache-2.0"


def metadata_of(parser: ConfigParser) -> dict[str, Any]:
    """The bundle's metadata.json."""
    path = Path(parser.get_parsed_content("bundle_root")) / "configs" / "metadata.json"
    metadata: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return metadata


def exported_settings(parser: ConfigParser) -> Exported:
    """Settings of inference.json, with what only belongs to these weights at this image size.

    Args:
        parser: as of `predict.parser_of`.

    Raises:
        ValueError: a file is missing, of other weights, or a setting is out of its range.
    """
    content = parser.get_parsed_content
    metadata = metadata_of(parser)
    if tuple(content("percentiles")) != (LOWER, UPPER):
        raise ValueError(
            f"percentiles are {content('percentiles')}; an exported network is used with "
            f"[{LOWER}, {UPPER}] only: export weights that were trained with these"
        )
    digest, image_size = weights_digest(content("ckpt_path")), content("image_size")
    calibration: Calibration = content("calibration")
    rules = with_bounds(RULES, content("quality_rules"))
    return Exported(
        created_by=f"multimix-monai {__version__}",
        weights_sha256=digest,
        image_size=image_size,
        lung_threshold_prob=content("lung_threshold_prob"),
        keep_components=content("keep_components"),
        quality_rules={name: (rule.low, rule.high) for name, rule in rules.items()},
        class_names=class_names(metadata),
        network_data_format=metadata["network_data_format"],
        about={name: metadata[name] for name in ABOUT} | {"licence": LICENCE},
        calibration=calibration if calibration.weights_sha256 else None,
        frontal_check=frontal_check(
            content("frontal_check"), weights_sha256=digest, image_size=image_size
        ),
    )


def class_names(metadata: dict[str, Any]) -> tuple[str, ...]:
    """Of the output's channels after mask and saliency, such as "pneumonia logit"."""
    channels = metadata["network_data_format"]["outputs"]["pred"]["channel_def"].values()
    return tuple(channel.removesuffix(" logit") for channel in list(channels)[2:])


def frontal_check(
    path: str | Path, *, weights_sha256: str, image_size: int
) -> dict[str, Any] | None:
    """The parameters, or None where they are of other weights or of another image size."""
    model = load_frontal_model(path)
    fits = (model.weights_sha256, model.image_size) == (weights_sha256, image_size)
    return asdict(model) if fits else None
