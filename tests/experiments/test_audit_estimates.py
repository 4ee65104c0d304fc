"""An audit's figures are those of others, and its intervals cover what they should."""

import math

import numpy as np
import pytest
from scipy.stats import spearmanr
from sklearn.metrics import roc_auc_score

from multimix_monai.experiments.audit_estimates import (
    Bootstrap,
    auc,
    aucs,
    differences,
    rank_correlations,
)

RNG = np.random.default_rng(0)
LABELS = RNG.integers(0, 2, 60)
SCORES = np.round(RNG.normal(size=(3, 60)) + 0.8 * LABELS, 1)  # with ties
PATIENTS = [str(n // 2) for n in range(60)]


def test_the_auc_of_several_scores_is_scikit_learns_of_each() -> None:
    expected = [roc_auc_score(LABELS, scores) for scores in SCORES]
    assert auc(SCORES, LABELS) == pytest.approx(expected, abs=1e-12)


def test_within_strata_only_pairs_of_one_stratum_are_compared() -> None:
    strata = np.array(["AP", "PA", "AP"] * 20)
    wins = [
        (a > b) + 0.5 * (a == b)
        for a, ill, s in zip(SCORES[0], LABELS, strata, strict=True)
        for b, sick, t in zip(SCORES[0], LABELS, strata, strict=True)
        if ill and not sick and s == t
    ]
    assert auc(SCORES[:1], LABELS, strata=strata)[0] == pytest.approx(np.mean(wins))
    by_stratum = (strata == "AP")[None].astype(float)
    assert auc(by_stratum, LABELS, strata=strata)[0] == 0.5


def test_what_has_one_class_has_no_auc() -> None:
    assert np.isnan(auc(SCORES, np.ones(60, dtype=int))).all()
    estimate = Bootstrap(20)(aucs({"a": SCORES}, np.ones(60, dtype=int)), PATIENTS)["a"]
    assert str(estimate) == "none" and estimate.as_dict()["value"] is None


def test_an_estimate_is_the_mean_over_networks_with_their_spread() -> None:
    found = Bootstrap(200)(aucs({"net": SCORES, "age": SCORES[:1]}, LABELS), PATIENTS)
    each = auc(SCORES, LABELS)
    assert found["net"].value == pytest.approx(each.mean())
    assert found["net"].spread == pytest.approx(each.std(ddof=1))
    assert found["net"].interval.low < each.mean() < found["net"].interval.high
    assert found["net"].as_dict()["by_weights"] == pytest.approx(each.tolist())
    assert math.isnan(found["age"].spread) and "±" not in str(found["age"])
    assert "±" in str(found["net"])


def test_images_of_one_patient_widen_the_interval() -> None:
    labels, scores = np.repeat(LABELS, 8), np.repeat(SCORES, 8, axis=1)
    alone, together = (
        Bootstrap(300)(aucs({"a": scores}, labels), patients)["a"].interval
        for patients in (list(map(str, range(480))), list(map(str, np.repeat(range(60), 8))))
    )
    assert together.high - together.low > 2 * (alone.high - alone.low)


def test_chance_is_where_random_scores_lie() -> None:
    few, many = (Bootstrap(500).chance(np.tile([0, 1], n)).interval for n in (10, 1000))
    assert few.low < many.low < 0.5 < many.high < few.high
    # Standard error of the AUC under no effect: sqrt((n0 + n1 + 1) / (12 n0 n1)).
    expected = 1.96 * math.sqrt(2001 / (12 * 1000 * 1000))
    assert many.high - 0.5 == pytest.approx(expected, rel=0.15)


def test_differences_are_of_the_same_resamples() -> None:
    scores = {"a": SCORES, "same": SCORES, "b": -SCORES}
    pairs = {"nothing": ("a", "same"), "much": ("a", "b")}
    found = Bootstrap(100)(differences(scores, LABELS, pairs), PATIENTS)
    assert found["nothing"].interval == (0, 0)
    assert found["much"].value == pytest.approx(2 * auc(SCORES, LABELS).mean() - 1)


def test_the_rank_correlation_is_spearmans_network_by_network() -> None:
    other = SCORES + RNG.normal(size=SCORES.shape)
    found = rank_correlations({"other": other, "flat": np.ones_like(SCORES)}, SCORES)
    values = found(np.arange(60))
    expected = [spearmanr(a, b).statistic for a, b in zip(other, SCORES, strict=True)]
    assert values["other"] == pytest.approx(expected)
    assert np.isnan(values["flat"]).all()
