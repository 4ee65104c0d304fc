"""Fixtures of the bundle's tests: its configs, run within this process or as a user runs them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

BUNDLE = Path(__file__).resolve().parents[2] / "bundle"
# What makes a run take seconds.
SMALL: dict[str, Any] = {
    "image_size": 64,
    "max_epochs": 1,
    "steps_per_epoch": 2,
    "val_interval": 1,
    "show_bar": False,
    "fused": False,
    "batch_sizes": {
        "mask_labelled": 2,
        "mask_unlabelled": 1,
        "label_labelled": 2,
        "label_unlabelled": 1,
    },
}


def unwrapped(error: BaseException) -> BaseException:
    """What MONAI wrapped."""
    while type(error) is RuntimeError and error.__cause__ is not None:
        error = error.__cause__
    return error


@pytest.fixture
def bundle_copy(tmp_path: Path, fresh_weights: Path) -> Path:
    """A copy of the bundle with fresh weights, anywhere."""
    copy = tmp_path / "copy"
    shutil.copytree(BUNDLE, copy, ignore=shutil.ignore_patterns("*.pt", "*.ts"))
    (copy / "models").mkdir(exist_ok=True)
    shutil.copyfile(fresh_weights, copy / "models" / "model.pt")
    return copy


@pytest.fixture
def run_bundle(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """`monai.bundle run` within this process on small images; raises what MONAI wraps."""
    from monai.bundle import run

    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    monkeypatch.setattr(sys, "path", list(sys.path))

    def call(run_id: str, *names: str, **settings: Any) -> None:
        files = [str(BUNDLE / "configs" / name) for name in names]
        small = SMALL if names[0] == "train.json" else {"image_size": 64}
        try:
            run(run_id, config_file=files, logging_file=False, **{**small, **settings})
        except Exception as error:
            raise unwrapped(error) from None

    return call


@pytest.fixture
def command(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """`python -m MODULE ...` in a process of its own, from a folder that is not the project."""

    def call(*words: object, **settings: object) -> subprocess.CompletedProcess[str]:
        options = [part for key, value in settings.items() for part in (f"--{key}", str(value))]
        return subprocess.run(
            [sys.executable, "-W", "ignore", "-m", *map(str, words), *options],
            cwd=tmp_path,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            timeout=300,
        )

    return call
