"""What is broken on purpose is broken, and the rates of review come out as tables."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from multimix_monai.arrays.quality import RULES
from multimix_monai.experiments.broken import BREAKS, DEGRADED
from multimix_monai.experiments.quality import caught, main, report


@pytest.fixture
def probs() -> np.ndarray:
    """Two sure lungs, 60 x 25 each, in 100 x 100."""
    probs = np.full((100, 100), 0.01)
    probs[20:80, 15:40] = probs[20:80, 60:85] = 0.99
    return probs


def test_the_rules_catch_every_break_of_a_mask_that_passes(probs: np.ndarray) -> None:
    names = {breaks.__name__ for breaks in BREAKS}
    assert caught(probs, threshold_prob=0.6) == names - {"upper_half", "shrunken"}


@pytest.mark.parametrize("breaks", BREAKS)
def test_what_breaks_a_mask_leaves_the_given_one_and_its_shape(
    breaks: Callable, probs: np.ndarray
) -> None:
    before = probs.copy()
    broken = breaks(probs, threshold_prob=0.6)
    assert broken.shape == probs.shape and ((broken >= 0.6) != (probs >= 0.6)).any()
    assert (probs == before).all()


@pytest.mark.parametrize("degrade", DEGRADED)
def test_a_degraded_picture_is_another_in_the_same_range(degrade: Callable) -> None:
    images = torch.linspace(0, 1, 64 * 64).reshape(1, 1, 64, 64).repeat(2, 1, 1, 1)
    degraded = degrade(images)
    assert degraded.shape == images.shape and not torch.equal(degraded, images)
    assert degraded.min() >= 0 and degraded.max() <= 1


def test_the_first_table_counts_review_and_parts_the_dice() -> None:
    row = {"source": "made", "kind": "", "measures": {}, "caught": set()}
    rows = [row | {"fired": [], "dice": 0.9}, row | {"fired": ["area_low"], "dice": 0.5}]
    rows = [r | {"measures": dict.fromkeys(RULES, 1.0)} for r in rows]
    dices = "0.900, lowest 0.900 (n = 1) | 0.500, lowest 0.500 (n = 1)"
    assert f"| made | 2 | 0.500 | {dices} | area_low 1 |" in report(rows)


@pytest.mark.slow
def test_the_command_prints_its_tables(tiny_dataset: Path, fresh_weights: Path) -> None:
    words = [fresh_weights, "--datalist", tiny_dataset / "datalist.json", "--cases", 3]
    words += ["--dataset-dir", tiny_dataset, "--image-size", 64, "--lung-threshold-prob", 0.6]
    text = main([*map(str, words), "--source", "folder=."])
    for word in ("folder covered", "left_right", "one_lung"):
        assert word in text
