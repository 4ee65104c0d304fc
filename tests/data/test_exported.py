from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest

from multimix_monai.data.calibration import Calibration
from multimix_monai.data.exported import Exported, read_exported, write_exported

DIGEST = "a" * 64


def exported(**changes: Any) -> Exported:
    full = Exported(
        created_by="multimix-monai 0.1.0",
        weights_sha256=DIGEST,
        image_size=160,
        lung_threshold_prob=0.6,
        keep_components=2,
        quality_rules={"area": (0.08, 0.45), "border": (None, 0.1)},
        class_names=("normal", "pneumonia"),
        network_data_format={"inputs": {"image": {"num_channels": 1}}},
        about={"licence": "Apache-2.0", "references": ["Müller, A.: of x̂ ≥ 1"]},
        calibration=Calibration(1.5, 0.2, "Youden's index", "a set", 9, 4, DIGEST, 160, 0.1, 0.05),
        frontal_check={"image_size": 160, "weights_sha256": DIGEST, "modes": [[0.5]]},
    )
    return replace(full, **changes)


def entries(**changes: Any) -> str:
    return json.dumps({**json.loads(write_exported(exported())), **changes})


@pytest.mark.parametrize("changes", [{}, {"calibration": None, "frontal_check": None}])
def test_settings_come_back_as_they_were_written(changes: dict[str, Any]) -> None:
    assert read_exported(write_exported(exported(**changes))) == exported(**changes)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("half a {", "no JSON"),
        ("[1]", "no settings of an exported network"),
        ('{"ir_version": 8}', "no settings of an exported network"),
        (entries(format=2), "format 1, which this version of multimix reads"),
        (entries(extra=1), "lack or add extra"),
        (entries(image_size=100), "image_size is 100; use a positive multiple of 32"),
        (entries(image_size="160"), "image_size is '160'; expected int"),
        (entries(lung_threshold_prob=60), "lung_threshold_prob is 60; it must lie in"),
        (entries(keep_components=-1), "keep_components is -1"),
        (entries(calibration={"temperature": 0}), "temperature is 0; it must be above 0"),
        (entries(calibration={"heat": 1}), "heat"),
        (entries(quality_rules=[1]), "settings: .*: export it again"),
        (entries(quality_rules={"area": [1]}), "settings: .*: export it again"),
        (entries(weights_sha256="b" * 64), "calibration is for weights_sha256 aaa.*the network's"),
    ],
)
def test_settings_that_cannot_be_trusted_are_refused(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        read_exported(text)


def test_a_check_of_another_image_size_is_refused() -> None:
    with pytest.raises(
        ValueError, match="frontal_check is for image_size 160, the network's is 96"
    ):
        exported(image_size=96, calibration=None)


def test_reading_them_needs_no_torch() -> None:
    code = (
        "import sys; import multimix_monai.data.exported; "
        "sys.exit(bool({'torch', 'monai'} & sys.modules.keys()))"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
