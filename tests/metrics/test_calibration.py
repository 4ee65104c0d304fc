"""Calibration against hand-computed bins and MONAI's binning."""

import numpy as np
import pytest
import torch

from multimix_monai.metrics import expected_calibration_error, reliability_curve


def test_the_error_equals_the_table_by_hand():
    # Two bins: [0, 0.5) says 0.2, 0 of 2 come true; [0.5, 1] says 0.8, 2 of 3 come true.
    probs, labels = [0.1, 0.3, 0.7, 0.8, 0.9], [0, 0, 1, 0, 1]
    expected = (2 * abs(0 - 0.2) + 3 * abs(2 / 3 - 0.8)) / 5
    assert expected_calibration_error(probs, labels, bins=2) == pytest.approx(expected)


def test_the_curve_gives_each_bin_its_means_and_nan_where_it_is_empty():
    curve = reliability_curve([0.0, 0.24, 0.5, 1.0], [0, 1, 1, 1], bins=4)
    assert curve.n_cases.tolist() == [2, 0, 1, 1]
    assert curve.mean_prob == pytest.approx([0.12, np.nan, 0.5, 1.0], nan_ok=True)
    assert curve.positive_rate == pytest.approx([0.5, np.nan, 1.0, 1.0], nan_ok=True)


def test_sure_and_right_is_0_and_sure_and_wrong_is_1():
    assert expected_calibration_error([0.0, 1.0], [0, 1]) == 0.0
    assert expected_calibration_error([0.0, 1.0], [1, 0]) == 1.0


def test_labels_drawn_from_the_probabilities_have_almost_no_error():
    rng = np.random.default_rng(0)
    probs = rng.random(200_000)
    labels = rng.random(200_000) < probs
    assert expected_calibration_error(probs, labels) < 0.01
    assert expected_calibration_error(np.sqrt(probs), labels) > 0.1


def test_bins_equal_monais():
    binning = pytest.importorskip("monai.metrics.calibration", reason="MONAI below 1.6")
    rng = np.random.default_rng(1)
    probs, labels = rng.random(500), rng.integers(0, 2, 500)
    curve = reliability_curve(probs, labels, bins=15)
    tensors = (torch.tensor(probs)[None, None], torch.tensor(labels)[None, None].double())
    mean_prob, rate, count = binning.calibration_binning(*tensors, num_bins=15)
    assert curve.mean_prob == pytest.approx(mean_prob[0, 0].numpy(), abs=1e-5)
    assert curve.positive_rate == pytest.approx(rate[0, 0].numpy(), abs=1e-5)
    assert curve.n_cases == pytest.approx(count[0, 0].numpy())


@pytest.mark.parametrize(
    ("probs", "labels", "message"),
    [
        ([], [], "N at least 1"),
        ([0.1], [0, 1], r"\(1,\) and labels \(2,\)"),
        ([1.2], [1], "softmax"),
        ([float("nan")], [1], "softmax"),
        ([0.2], [2], r"labels are \[2\]"),
    ],
)
def test_what_is_no_probability_or_label_is_refused(probs, labels, message):
    with pytest.raises(ValueError, match=message):
        expected_calibration_error(probs, labels)


def test_no_bins_are_refused():
    with pytest.raises(ValueError, match="bins is 0"):
        expected_calibration_error([0.1], [0], bins=0)
