"""The temperature: a table by hand, known ones recovered, and what cannot be fitted."""

import math

import numpy as np
import pytest
from sklearn.metrics import log_loss, roc_auc_score

from multimix_monai.metrics import expected_calibration_error
from multimix_monai.metrics.temperature import (
    calibrated,
    fit_temperature,
    log_odds,
    negative_log_likelihood,
)


def simulated(temperature: float, n: int = 20_000) -> tuple[np.ndarray, np.ndarray]:
    """Logits that are too sure by a factor, and labels drawn from the true ones."""
    rng = np.random.default_rng(0)
    true = rng.normal(0.5, 2, n)
    return true * temperature, (rng.random(n) < 1 / (1 + np.exp(-true))).astype(int)


def test_probabilities_and_likelihood_equal_the_table_by_hand() -> None:
    # log odds ln 3 is 3 : 1, so 0.75; twice the temperature takes the root of the odds.
    logits, labels = [math.log(3), -math.log(3), math.log(3)], [1, 0, 0]
    assert calibrated(logits, temperature=1) == pytest.approx([0.75, 0.25, 0.75])
    assert calibrated([math.log(9)], temperature=2) == pytest.approx([0.75])
    by_hand = -(2 * math.log(0.75) + math.log(0.25)) / 3
    assert negative_log_likelihood(logits, labels) == pytest.approx(by_hand)


def test_two_right_of_two_in_each_class_are_called_three_quarters_sure() -> None:
    temperature = fit_temperature([5.0, 5, -5, -5], [1, 1, 0, 0])
    # (2 + 1) / (2 + 2), odds of 3 : 1, so 5 / ln 3.
    assert temperature == pytest.approx(5 / math.log(3), rel=1e-4)


def test_likelihood_equals_scikit_learns() -> None:
    logits, labels = simulated(1.5, n=500)
    reference = log_loss(labels, calibrated(logits, temperature=1))
    assert negative_log_likelihood(logits, labels) == pytest.approx(reference)


@pytest.mark.parametrize("temperature", [0.4, 1.0, 3.0])
def test_a_known_temperature_is_recovered(temperature: float) -> None:
    logits, labels = simulated(temperature)
    assert fit_temperature(logits, labels) == pytest.approx(temperature, rel=0.03)


def test_calibration_lowers_the_error_and_keeps_the_ranking() -> None:
    logits, labels = simulated(4.0, n=3000)
    before = calibrated(logits, temperature=1)
    after = calibrated(logits, temperature=fit_temperature(logits, labels))
    assert expected_calibration_error(after, labels) < 0.03
    assert expected_calibration_error(before, labels) > 0.08
    assert (np.argsort(before, kind="stable") == np.argsort(after, kind="stable")).all()
    assert roc_auc_score(labels, before) == roc_auc_score(labels, after)


def test_no_other_temperature_makes_the_labels_likelier() -> None:
    logits, labels = simulated(2.0, n=300)
    fitted = fit_temperature(logits, labels)
    best = negative_log_likelihood(logits / fitted, labels)
    for other in (0.5, 0.9, 0.99, 1.01, 1.1, 2):
        assert negative_log_likelihood(logits / (fitted * other), labels) > best


def test_separated_labels_give_a_finite_temperature() -> None:
    logits = np.array([-3.0] * 30 + [4.0] * 30)
    temperature = fit_temperature(logits, [0] * 30 + [1] * 30)
    assert 0.5 < temperature < 2
    assert calibrated([4.0], temperature=temperature)[0] < 0.999


def test_log_odds_of_sure_float32_probabilities_are_those_of_the_logits() -> None:
    logits = np.array([-60.0, -20, 0, 3, 20, 60])
    weights = np.exp(np.stack([0 * logits, logits], axis=1))
    probs = (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
    assert log_odds(probs) == pytest.approx(logits, rel=1e-5)
    assert np.isfinite(log_odds([[0.0, 1.0], [1.0, 0.0]])).all()


@pytest.mark.parametrize(
    ("logits", "labels", "message"),
    [
        ([1.0, 2.0], [1, 1], "0 normal and 2 pneumonia"),
        ([1.0, -1.0] * 20, [0, 1] * 20, "label 1 is pneumonia"),
        ([1.0], [0, 1], r"\(1,\) and labels \(2,\)"),
        ([float("nan"), 1.0], [0, 1], "probabilities"),
    ],
)
def test_what_no_temperature_helps_is_refused(logits, labels, message) -> None:
    with pytest.raises(ValueError, match=message):
        fit_temperature(logits, labels)


def test_another_number_of_classes_is_refused() -> None:
    with pytest.raises(ValueError, match=r"\(1, 3\); expected \(N, 2\)"):
        log_odds([[0.1, 0.2, 0.7]])
