"""The divergence between masks is one, and not the published zero."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch.distributions import Bernoulli, kl_divergence

from multimix_monai.losses import MaskDivergenceLoss, bernoulli_divergence


@pytest.mark.parametrize(
    ("p", "q", "expected"),
    [
        (0.5, 0.5, 0.0),
        (0.8, 0.8, 0.0),
        (0.5, 0.25, 0.5 * math.log(2) + 0.5 * math.log(2 / 3)),
        (0.25, 0.5, 0.25 * math.log(0.5) + 0.75 * math.log(1.5)),
        (0.9, 0.1, 0.8 * math.log(9)),
    ],
)
def test_a_table_by_hand(p: float, q: float, expected: float) -> None:
    given = bernoulli_divergence(
        *(torch.logit(torch.tensor(x, dtype=torch.float64)) for x in (p, q))
    )
    assert float(given) == pytest.approx(expected, abs=1e-9)


def test_it_is_the_divergence_of_an_independent_implementation() -> None:
    p, q = 4 * torch.randn(2, 5, 1, 8, 8, generator=torch.Generator().manual_seed(0)).double()
    reference = kl_divergence(Bernoulli(logits=p), Bernoulli(logits=q))
    assert torch.allclose(bernoulli_divergence(p, q), reference)
    loss = MaskDivergenceLoss()(p, q)
    assert float(loss) == pytest.approx(float(reference.mean()), rel=1e-5)


def test_it_is_not_zero_where_a_softmax_over_the_one_channel_is() -> None:
    p = torch.full((2, 1, 4, 4), 3.0, requires_grad=True)
    q = torch.full((2, 1, 4, 4), -3.0, requires_grad=True)
    published = F.kl_div(q.log_softmax(dim=1), p.softmax(dim=1), reduction="batchmean")
    assert float(published.detach()) == 0
    assert torch.autograd.grad(published, q)[0].abs().max() == 0
    loss = MaskDivergenceLoss()(p, q)
    assert float(loss.detach()) == pytest.approx(3 * math.tanh(1.5), rel=1e-5)
    for grad in torch.autograd.grad(loss, (p, q)):
        assert (grad != 0).all()


def test_the_gradient_is_that_of_the_formula() -> None:
    """d KL / d q's logit is sigmoid(q) - sigmoid(p)."""
    p, q = torch.randn(2, 6, generator=torch.Generator().manual_seed(0)).double()
    q.requires_grad_(True)
    bernoulli_divergence(p, q).sum().backward()
    assert torch.allclose(q.grad, torch.sigmoid(q.detach()) - torch.sigmoid(p))


def test_equal_masks_cost_nothing_and_sure_ones_stay_finite() -> None:
    logits = torch.tensor([-1e4, -50.0, 0.0, 50.0, 1e4])
    assert bernoulli_divergence(logits, logits).abs().max() == 0
    assert torch.isfinite(bernoulli_divergence(logits, -logits)).all()
    assert (bernoulli_divergence(logits, logits.flip(0)) >= 0).all()


def test_of_the_longer_batch_the_rest_is_left_out() -> None:
    p, q = torch.randn(2, 3, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    assert torch.equal(MaskDivergenceLoss()(p[:2], q), MaskDivergenceLoss()(p[:2], q[:2]))
    assert torch.equal(MaskDivergenceLoss()(p, q[:1]), MaskDivergenceLoss()(p[:1], q[:1]))


def test_half_precision_is_computed_in_full() -> None:
    p = torch.randn(1, 1, 4, 4).bfloat16()
    assert MaskDivergenceLoss()(p, -p).dtype == torch.float32


def test_masks_of_other_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\(1, 8, 8\) and \(1, 8, 9\); they must be of one size"):
        MaskDivergenceLoss()(torch.zeros(2, 1, 8, 8), torch.zeros(2, 1, 8, 9))
