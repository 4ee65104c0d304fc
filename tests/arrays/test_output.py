"""The packed output taken apart, and masks reduced to their largest parts."""

import numpy as np
import pytest
import torch
from monai.transforms import KeepLargestConnectedComponent

from multimix_monai.arrays.output import unpack
from multimix_monai.arrays.parts import largest_parts


def packed() -> np.ndarray:
    return np.random.default_rng(0).normal(0, 20, (4, 8, 8)).astype(np.float32)


def test_probabilities_are_torchs_sigmoid_and_softmax() -> None:
    given = packed()
    output, theirs = unpack(given, temperature=3.0), torch.from_numpy(given)
    assert np.allclose(output.mask_probs, theirs[:1].sigmoid(), rtol=1e-6, atol=0)
    assert np.array_equal(output.saliency, given[1:2])
    logits = theirs[2:, 0, 0]
    assert np.allclose(output.raw_probs, logits.softmax(0), rtol=1e-6, atol=0)
    assert np.allclose(output.probs, (logits / 3.0).softmax(0), rtol=1e-6, atol=0)
    assert {part.dtype for part in output} == {np.dtype(np.float32)}


def test_huge_logits_are_sure_without_a_warning() -> None:
    given = np.full((4, 1, 1), 1e4, np.float32) * np.array([-1, 0, -1, 1])[:, None, None]
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        output = unpack(given.astype(np.float32))
    assert output.mask_probs.item() == 0 and output.probs.tolist() == [0, 1]


def test_another_number_of_channels_or_temperature_is_refused() -> None:
    with pytest.raises(ValueError, match=r"\(5, 8, 8\); expected \(4, H, W\)"):
        unpack(np.zeros((5, 8, 8), np.float32))
    with pytest.raises(ValueError, match="temperature is 0"):
        unpack(packed(), temperature=0)


@pytest.mark.parametrize("n_parts", [1, 2, 5])
def test_the_largest_parts_are_those_of_monai(n_parts: int) -> None:
    mask = np.zeros((40, 50), dtype=bool)
    for n, (row, column) in enumerate([(0, 0), (0, 20), (0, 40), (15, 0), (15, 20), (30, 5)]):
        mask[row : row + 4 + n, column : column + 5] = True
    keep = KeepLargestConnectedComponent(num_components=n_parts)
    theirs = keep(torch.from_numpy(mask.astype(np.uint8))[None])[0]
    kept = largest_parts(mask, n_parts)
    assert np.array_equal(kept, np.asarray(theirs, dtype=bool)) and kept.sum() < mask.sum()


def test_all_parts_stay_where_there_are_no_more_than_wanted_or_none_is_wanted() -> None:
    mask = np.eye(5, dtype=bool)
    assert np.array_equal(largest_parts(mask, 1), mask), "8 neighbours touch at corners"
    mask[0, 4] = mask[4, 0] = True
    assert np.array_equal(largest_parts(mask, 0), mask)
    assert largest_parts(np.zeros((3, 3), dtype=bool), 2).sum() == 0
