"""Beside the path of data: the small file that says how weights were trained, `model.json`.

Weights that are used in another way than they learnt lose, and nobody sees why. So the file carries
their digest, and beside any other weights it says nothing.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from multimix_monai.data.calibration import weights_digest
from multimix_monai.data.json_file import write_json

NAMES = ("image_size", "percentiles", "bridge")  # what the network's input and its mask hang on
DIGEST = "weights_sha256"


def file_beside(weights: str | Path) -> Path:
    """`model.json` of `model.pt`."""
    return Path(weights).with_suffix(".json")


def write_trained_as(weights: str | Path, settings: Mapping[str, Any]) -> None:
    """Write the file of weights; settings without the names are taken to be of something else."""
    known = {name: settings[name] for name in NAMES if name in settings}
    if known:
        write_json({DIGEST: weights_digest(weights), **known}, file_beside(weights))


def read_trained_as(weights: str | Path) -> dict[str, Any]:
    """Name -> value, as JSON has it; {} where that is not known of these weights."""
    try:
        stored = json.loads(file_beside(weights).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    if not isinstance(stored, dict) or stored.get(DIGEST) != weights_digest(weights):
        return {}
    return {name: stored[name] for name in NAMES if name in stored}


def refuse_other_use(weights: str | Path, used: Mapping[str, Any]) -> None:
    """Raise ValueError where weights are used in another way than they were trained.

    used: name -> value, of those names that matter here.
    """
    now = json.loads(json.dumps(dict(used)))
    trained = read_trained_as(weights)
    others = {n: value for n, value in trained.items() if n in now and now[n] != value}
    if others:
        differences = " and ".join(f"{n} {v}, not {now[n]}" for n, v in others.items())
        remedy = " ".join(f"--set {shlex.quote(f'{n}={v}')}" for n, v in others.items())
        raise ValueError(
            f"{weights} was trained with {differences}: add {remedy}, or set that in the config"
        )
