"""What is said of a choice without a training: by hand, and as a command."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from multimix_monai.experiments.annotator_choice import (
    correlations,
    coverage_rows,
    dice_of_pairs,
    farthest_first,
    main,
)
from multimix_monai.networks import MultiMix


def test_dice_of_pairs_by_hand() -> None:
    masks = np.array([[[1, 1, 0, 0]], [[0, 1, 1, 0]], [[0, 0, 0, 0]]], dtype=bool)
    assert np.allclose(dice_of_pairs(masks, masks[:2]), [[1, 0.5], [0.5, 1], [0, 0]])


def test_the_farthest_comes_first_after_the_most_central() -> None:
    assert farthest_first(np.array([[0.0], [1.0], [2.0], [10.0]]), 3) == [1, 3, 0]


def test_three_kinds_are_covered_by_three_cases_and_random_choices_miss_some() -> None:
    masks = np.zeros((12, 64, 64), dtype=bool)
    for n in range(12):
        masks[n, :, 20 * (n % 3) : 20 * (n % 3) + 16] = True
    row = coverage_rows(torch.from_numpy(masks[:, None].astype(np.float32)), masks, counts=[3])[0]
    assert row["ours"] == row["farthest"] == 1 and row["random"] < 0.9
    assert 0.5 < row["better than"] < 1  # a third of random choices covers them too


def test_correlations_are_of_each_measure_and_of_their_sum() -> None:
    torch.manual_seed(0)
    network, images = MultiMix(widths=(2, 4, 4, 8, 8)), torch.rand(6, 1, 32, 32)
    found = correlations(network, images, images[:, 0].numpy() > 0.5, threshold_prob=0.5)
    assert list(found) == ["mask_doubt", "mask_disagreement", "together"]
    assert all(-1 <= value <= 1 for value in found.values())


@pytest.mark.slow
def test_the_command_prints_both_tables_over_cases_whose_mask_is_hidden(
    tiny_dataset: Path, fresh_weights: Path
) -> None:
    datalist = tiny_dataset / "datalist.json"
    words = [datalist, "--dataset-dir", tiny_dataset, "--weights", fresh_weights]
    text = main([str(word) for word in (*words, "--image-size", 64, "--counts", 2)])
    training = json.loads(datalist.read_text())["training"]
    hidden = sum("hidden_mask" in item for item in training)
    assert f"(n = {hidden})" in text and "| 2 | 0." in text and "| together |" in text
