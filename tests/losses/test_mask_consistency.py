"""Masks of two views: sure pixels of the weak one teach the strong one, and nothing else does."""

import math

import numpy as np
import pytest
import torch
from sklearn.metrics import log_loss

from multimix_monai.losses import MaskConsistencyLoss


@pytest.mark.parametrize(
    ("strong", "weak", "threshold_prob", "expected"),
    [
        (0.0, 1.0, 0.95, math.log(2)),
        (0.0, 0.0, 0.95, math.log(2)),
        (0.0, 0.9, 0.95, 0.0),
        (0.0, 0.1, 0.95, 0.0),
        (math.log(3), 0.96, 0.95, -math.log(3 / 4)),
        (math.log(3), 0.04, 0.95, -math.log(1 / 4)),
        (-math.log(3), 0.04, 0.95, -math.log(3 / 4)),
        (0.0, 0.51, 0.5, math.log(2)),
    ],
)
def test_a_table_by_hand(
    strong: float, weak: float, threshold_prob: float, expected: float
) -> None:
    loss = MaskConsistencyLoss(threshold_prob)(
        torch.full((2, 1, 3, 3), strong), torch.full((2, 1, 3, 3), weak)
    )
    assert loss.shape == ()
    assert float(loss) == pytest.approx(expected, abs=1e-6)


def test_the_mean_is_over_all_pixels_sure_or_not() -> None:
    weak = torch.tensor([[[[1.0, 0.5], [0.5, 0.5]]]])
    loss = MaskConsistencyLoss()(torch.zeros(1, 1, 2, 2), weak)
    assert float(loss) == pytest.approx(math.log(2) / 4)


def test_it_is_the_log_loss_of_an_independent_implementation() -> None:
    rng = np.random.default_rng(0)
    strong = rng.normal(size=(3, 1, 8, 8)) * 2
    weak = rng.beta(0.2, 0.2, size=strong.shape)
    sure = (weak >= 0.9) | (weak <= 0.1)
    assert 0.2 < sure.mean() < 0.9
    probs = 1 / (1 + np.exp(-strong))
    expected = log_loss((weak > 0.5)[sure], probs[sure]) * sure.mean()
    loss = MaskConsistencyLoss(0.9)(torch.from_numpy(strong), torch.from_numpy(weak))
    assert float(loss) == pytest.approx(expected)


def test_sure_and_right_costs_nothing() -> None:
    truth = (torch.rand(1, 1, 8, 8) > 0.5).float()
    assert MaskConsistencyLoss()(200 * (truth - 0.5), truth) < 1e-30


def test_no_gradient_reaches_the_weak_view_or_an_unsure_pixel() -> None:
    strong = torch.zeros(1, 1, 1, 3, requires_grad=True)
    weak = torch.tensor([[[[0.99, 0.01, 0.6]]]], requires_grad=True)
    MaskConsistencyLoss()(strong, weak).backward()
    assert weak.grad is None
    assert torch.allclose(strong.grad, torch.tensor([[[[-0.5, 0.5, 0.0]]]]) / 3)


@pytest.mark.parametrize("threshold_prob", [0.49, 1.01])
def test_a_threshold_below_one_half_is_refused(threshold_prob: float) -> None:
    with pytest.raises(ValueError, match=r"must lie in \[0.5, 1\]"):
        MaskConsistencyLoss(threshold_prob)


def test_views_of_other_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="both views must hold the same pixels"):
        MaskConsistencyLoss()(torch.zeros(1, 1, 8, 8), torch.zeros(1, 1, 8, 9))
