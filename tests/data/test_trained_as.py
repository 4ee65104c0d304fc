"""Weights say how they were trained, and are not used in another way by mistake."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from multimix_monai.data.trained_as import read_trained_as, refuse_other_use, write_trained_as

TRAINED: dict[str, Any] = {"image_size": 64, "percentiles": [0.5, 99.5], "bridge": "saliency"}


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "model.pt"
    path.write_bytes(b"weights")
    write_trained_as(path, {**TRAINED, "seed": 0})
    return path


def test_what_is_written_comes_back_without_what_does_not_matter(weights: Path) -> None:
    assert read_trained_as(weights) == TRAINED
    assert [path.name for path in weights.parent.glob("*.json")] == ["model.json"]


def test_the_same_use_is_no_reason_to_refuse(weights: Path) -> None:
    refuse_other_use(weights, {**TRAINED, "percentiles": (0.5, 99.5), "seed": 1})
    refuse_other_use(weights, {"image_size": 64})
    refuse_other_use(weights, {})


def test_another_use_is_refused_with_what_to_set(weights: Path) -> None:
    used = {**TRAINED, "image_size": 160, "percentiles": [0, 100]}
    with pytest.raises(
        ValueError,
        match=r"model\.pt was trained with image_size 64, not 160 and percentiles \[0\.5, 99\.5\], "
        r"not \[0, 100\]: add --set image_size=64 --set 'percentiles=\[0\.5, 99\.5\]', or",
    ):
        refuse_other_use(weights, used)


@pytest.mark.parametrize("spoilt", ["other weights", "no file", "no JSON", "no object"])
def test_without_its_file_nothing_is_known_of_weights(weights: Path, spoilt: str) -> None:
    beside = weights.with_name("model.json")
    if spoilt == "other weights":
        weights.write_bytes(b"others")
    elif spoilt == "no file":
        beside.unlink()
    else:
        beside.write_text("{" if spoilt == "no JSON" else json.dumps([1]))
    assert read_trained_as(weights) == {}
    refuse_other_use(weights, {"image_size": 160})


def test_of_settings_without_the_names_no_file_is_written(tmp_path: Path) -> None:
    write_trained_as(tmp_path / "model.pt", {"seed": 0})
    assert list(tmp_path.iterdir()) == []
