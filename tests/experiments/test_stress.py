"""Changed pictures still show their lungs where the changed mask says, and the table compares."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from multimix_monai.data.trained_as import write_trained_as
from multimix_monai.experiments.changed import CHANGES
from multimix_monai.experiments.stress import main, report


@pytest.fixture
def pair() -> tuple[np.ndarray, np.ndarray]:
    """A dark lung on a grey ramp, and where it is."""
    mask = np.zeros((192, 160), np.float32)
    mask[48:140, 40:90] = 1
    ramp = np.linspace(0.4, 0.8, 192, dtype=np.float32)[:, None]
    return ramp * (1 - 0.6 * mask), mask


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_keeps_the_lung_dark_and_the_range(name: str, pair: tuple) -> None:
    before = [plane.copy() for plane in pair]
    image, mask = CHANGES[name](*pair)
    assert image.shape == mask.shape and set(np.unique(mask)) == {0, 1}
    assert image.min() >= 0 and image.max() <= 1
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    middle = slice(rows[0] + 8, rows[-1] - 8)  # a lung's width beside it there is tissue
    beside = image[middle, columns[-1] + 8 : columns[-1] + 24]
    assert image[mask == 1].mean() < beside.mean()
    assert all((now == then).all() for now, then in zip(pair, before, strict=True))
    assert name == "as it is" or image.shape != pair[0].shape or not np.allclose(image, pair[0])


def test_the_table_tells_a_clear_difference_by_bold_type() -> None:
    first, patients = np.linspace(0.8, 0.9, 30), [str(n) for n in range(30)]
    noise = np.where(np.arange(30) % 2, 0.05, -0.05)
    rows = {"gamma": [first, first + 0.02], "border": [first, first + noise]}
    text = report(["a", "b"], rows, patients)
    assert "| gamma | 0.850 | 0.870 | **0.020 (0.020 to 0.020)** |" in text
    assert "| border | 0.850 | 0.850 | 0.000 (-0." in text
    assert "| Dice, 30 cases | a | b | b, less a |" in text


@pytest.mark.slow
def test_the_command_compares_weights(
    tiny_dataset: Path, fresh_weights: Path, tmp_path: Path
) -> None:
    weights = Path(shutil.copy(fresh_weights, tmp_path / "model.pt"))
    words = [weights, weights, "--datalist", tiny_dataset / "datalist.json"]
    words += ["--dataset-dir", tiny_dataset, "--part", "training"]
    with pytest.raises(ValueError, match=r"no model\.json beside it that tells its image_size"):
        main([*map(str, words)])
    settings = {"image_size": 64, "percentiles": [0.5, 99.5], "bridge": "saliency"}
    write_trained_as(weights, settings)
    text = main([*map(str, words), "--name", "ours", "--name", "theirs"])
    for name in CHANGES:
        row = next(line for line in text.splitlines() if line.startswith(f"| {name} |"))
        ours, theirs, less = row.split(" | ")[1:]
        assert ours == theirs and less == "0.000 (0.000 to 0.000) |"
