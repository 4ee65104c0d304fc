"""Pseudo-labels: confident weak predictions teach the strong view, and nothing else does."""

import math

import numpy as np
import pytest
import torch
from scipy.special import log_softmax

from multimix_monai.losses import PseudoLabelLoss, confident

WEAK = torch.tensor([[0.9, 0.1], [0.4, 0.6], [0.3, 0.7], [0.69, 0.31]])


@pytest.mark.parametrize(
    ("strong", "weak", "threshold_prob", "expected"),
    [
        ([[0.0, 0.0]], [[1.0, 0.0]], 0.7, math.log(2)),
        ([[0.0, 0.0]], [[0.6, 0.4]], 0.7, 0.0),
        ([[0.0, 0.0]], [[0.7, 0.3]], 0.7, math.log(2)),  # the threshold itself is enough
        ([[0.0, math.log(3)]], [[0.2, 0.8]], 0.7, -math.log(3 / 4)),
        ([[0.0, math.log(3)]], [[0.8, 0.2]], 0.7, -math.log(1 / 4)),
        # One of two is confident: the mean is over both.
        ([[0.0, 0.0], [5.0, 0.0]], [[0.1, 0.9], [0.5, 0.5]], 0.7, math.log(2) / 2),
        ([[0.0, 0.0, 0.0]], [[0.0, 0.0, 1.0]], 0.95, math.log(3)),
    ],
)
def test_a_table_by_hand(strong: list, weak: list, threshold_prob: float, expected: float) -> None:
    loss = PseudoLabelLoss(threshold_prob)(torch.tensor(strong), torch.tensor(weak))
    assert loss.shape == ()
    assert float(loss) == pytest.approx(expected, abs=1e-6)


def test_it_is_the_cross_entropy_of_an_independent_implementation() -> None:
    rng = np.random.default_rng(0)
    strong = rng.normal(size=(50, 4)) * 3
    weak = rng.dirichlet([0.3] * 4, size=50)
    log_probs = log_softmax(strong, axis=1)
    chosen = log_probs[np.arange(50), weak.argmax(axis=1)]
    expected = -(chosen * (weak.max(axis=1) >= 0.8)).sum() / 50
    loss = PseudoLabelLoss(0.8)(torch.from_numpy(strong), torch.from_numpy(weak))
    assert float(loss) == pytest.approx(expected)


def test_confident_and_right_costs_nothing() -> None:
    strong = torch.tensor([[60.0, -60.0], [-60.0, 60.0]])
    assert PseudoLabelLoss()(strong, torch.tensor([[0.99, 0.01], [0.01, 0.99]])) == 0


def test_confident_predictions_are_those_at_the_threshold_or_above() -> None:
    assert confident(WEAK, threshold_prob=0.7).tolist() == [True, False, True, False]
    assert confident(WEAK, threshold_prob=0.0).all()


def test_no_gradient_reaches_the_pseudo_label_or_an_unsure_image() -> None:
    strong = torch.zeros(4, 2, requires_grad=True)
    weak = WEAK.clone().requires_grad_(True)
    PseudoLabelLoss(0.7)(strong, weak).backward()
    assert weak.grad is None
    expected = torch.tensor([[-0.5, 0.5], [0, 0], [0.5, -0.5], [0, 0]]) / 4
    assert torch.allclose(strong.grad, expected)


@pytest.mark.parametrize("threshold_prob", [-0.1, 1.01, float("nan")])
def test_a_threshold_that_is_no_probability_is_refused(threshold_prob: float) -> None:
    with pytest.raises(ValueError, match=f"threshold_prob is {threshold_prob}"):
        PseudoLabelLoss(threshold_prob)


def test_views_of_other_cases_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\(4, 2\) and weak_probs \(3, 2\).*the same cases"):
        PseudoLabelLoss()(torch.zeros(4, 2), torch.zeros(3, 2))
