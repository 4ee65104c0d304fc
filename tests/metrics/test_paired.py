"""Differences of two systems: their figures, their intervals, what pairing takes away."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from multimix_monai.metrics import paired_difference, weighted_auc, weighted_mean

RNG = np.random.default_rng(0)


def test_the_weighted_auc_is_that_of_repeated_cases() -> None:
    labels = RNG.integers(2, size=60)
    probs = np.round(RNG.random(60) + 0.2 * labels, 1)  # with many ties
    weights = RNG.integers(4, size=60)
    repeated = np.repeat(np.arange(60), weights)
    expected = roc_auc_score(labels[repeated], probs[repeated])
    assert weighted_auc(probs, labels)(weights.astype(float)) == pytest.approx(expected)


def test_a_class_that_counts_nothing_has_no_auc() -> None:
    assert np.isnan(weighted_auc([0.1, 0.9], [0, 1])(np.array([1.0, 0.0])))


def test_a_mean_leaves_out_what_is_not_known() -> None:
    assert weighted_mean([1.0, np.nan, 4.0])(np.array([1.0, 5.0, 2.0])) == pytest.approx(3.0)
    assert np.isnan(weighted_mean([np.nan, 1.0])(np.array([1.0, 0.0])))


def test_what_is_hard_for_both_drops_out() -> None:
    hard = RNG.normal(0.9, 0.05, size=50)
    pair = weighted_mean(hard + 0.01 + RNG.normal(0, 0.002, size=50)), weighted_mean(hard)
    found = paired_difference([pair], range(50))
    assert found.value == pytest.approx(0.01, abs=0.001)
    assert found.is_clear and 0.008 < found.interval.low < found.interval.high < 0.012


def test_equal_systems_do_not_differ_clearly() -> None:
    dice = RNG.normal(0.9, 0.05, size=50)
    pairs = [(weighted_mean(dice), weighted_mean(RNG.permutation(dice))) for _ in range(3)]
    found = paired_difference(pairs, range(50))
    assert abs(found.value) < 1e-9 and not found.is_clear


def test_the_value_is_the_mean_over_seeds() -> None:
    pairs = [(weighted_mean([a, a]), weighted_mean([0.0, 0.0])) for a in (0.1, 0.3)]
    assert paired_difference(pairs, ["a", "b"]).value == pytest.approx(0.2)
    with pytest.raises(ValueError, match="no seed that both"):
        paired_difference([], ["a"])
