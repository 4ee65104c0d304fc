"""Alignment brings the pseudo-labels' class frequencies to the known ones."""

import numpy as np
import pytest
import torch

from multimix_monai.losses import DistributionAlignment, align

HALVES = torch.tensor([0.5, 0.5])


@pytest.mark.parametrize(
    ("probs", "target", "running", "expected"),
    [
        ([0.5, 0.5], [0.25, 0.75], [0.5, 0.5], [0.25, 0.75]),
        ([0.8, 0.2], [0.5, 0.5], [0.8, 0.2], [0.5, 0.5]),
        ([0.6, 0.4], [0.5, 0.5], [0.5, 0.5], [0.6, 0.4]),
        ([1.0, 0.0], [0.1, 0.9], [0.9, 0.1], [1.0, 0.0]),
        ([0.5, 0.5], [0.5, 0.5], [1.0, 0.0], [0.0, 1.0]),  # a class that was never predicted
    ],
)
def test_a_table_by_hand(probs: list, target: list, running: list, expected: list) -> None:
    given = align(torch.tensor([probs]), target=torch.tensor(target), running=torch.tensor(running))
    assert given[0].tolist() == pytest.approx(expected, abs=1e-5)


def test_it_is_bayes_rule_with_another_prior() -> None:
    rng = np.random.default_rng(0)
    probs, target, running = (rng.dirichlet([1] * 3, size=n) for n in (20, 1, 1))
    odds = probs * target / running
    expected = odds / odds.sum(axis=1, keepdims=True)
    given = align(
        *(torch.from_numpy(probs),),
        target=torch.from_numpy(target[0]),
        running=torch.from_numpy(running[0]),
    )
    assert np.allclose(given.numpy(), expected)
    assert torch.allclose(given.sum(dim=1), torch.ones(20).double())


def test_both_means_take_in_a_batch_by_hand() -> None:
    alignment = DistributionAlignment(momentum=0.9)
    probs = torch.tensor([[0.8, 0.2], [0.6, 0.4]])
    given = alignment(probs, labels=torch.tensor([1, 1, 1, 0]))
    target = [0.9 * 0.5 + 0.1 * 0.25, 0.9 * 0.5 + 0.1 * 0.75]
    running = [0.9 * 0.5 + 0.1 * 0.7, 0.9 * 0.5 + 0.1 * 0.3]
    assert alignment.target.tolist() == pytest.approx(target)
    assert alignment.running.tolist() == pytest.approx(running)
    assert torch.allclose(given, align(probs, target=alignment.target, running=alignment.running))


def test_in_the_long_run_the_frequencies_are_the_labelled_ones() -> None:
    torch.manual_seed(0)
    alignment = DistributionAlignment(momentum=0.9)
    labels = torch.tensor([0, 1, 1, 1])
    for _ in range(100):
        probs = torch.tensor([[0.7, 0.3]]) + 0.02 * torch.randn(8, 1) * torch.tensor([[1.0, -1.0]])
        given = alignment(probs, labels=labels)
    assert given.mean(dim=0).tolist() == pytest.approx([0.25, 0.75], abs=0.02)


def test_where_frequencies_agree_nothing_changes() -> None:
    probs = torch.tensor([[0.9, 0.1], [0.1, 0.9]])
    assert torch.allclose(DistributionAlignment()(probs, labels=torch.tensor([0, 1])), probs)


def test_no_gradient_flows_through_it() -> None:
    probs = torch.tensor([[0.9, 0.1]], requires_grad=True)
    assert not DistributionAlignment()(probs, labels=torch.tensor([0])).requires_grad


def test_the_state_is_two_vectors_that_a_checkpoint_holds() -> None:
    alignment = DistributionAlignment(momentum=0.5)
    alignment(torch.tensor([[0.9, 0.1]]), labels=torch.tensor([1]))
    other = DistributionAlignment()
    other.load_state_dict(alignment.state_dict())
    assert set(alignment.state_dict()) == {"target", "running"}
    assert torch.equal(other.target, alignment.target)
    assert torch.equal(other.running, alignment.running)


@pytest.mark.parametrize("momentum", [-0.1, 1.0])
def test_a_momentum_outside_its_range_is_refused(momentum: float) -> None:
    with pytest.raises(ValueError, match=rf"momentum is {momentum}; it must lie in \[0, 1\)"):
        DistributionAlignment(momentum=momentum)
    assert DistributionAlignment(momentum=0.0).target.tolist() == HALVES.tolist()


def test_probabilities_of_another_number_of_classes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"probs are \(2, 3\).*2 classes"):
        DistributionAlignment()(torch.full((2, 3), 1 / 3), labels=torch.tensor([0]))
