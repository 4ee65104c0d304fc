"""The learning rate at every step, by hand."""

import math

import pytest
import torch
from torch.optim.lr_scheduler import LRScheduler

from multimix_monai.engines import step_decay, warmup_cosine


def optimizer(rate: float = 2.0) -> torch.optim.Optimizer:
    return torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=rate)


def rates(scheduler: LRScheduler, steps: int) -> list[float]:
    """The rate that each of the steps is taken with."""
    taken = []
    for _ in range(steps):
        taken.append(scheduler.optimizer.param_groups[0]["lr"])
        scheduler.optimizer.step()
        scheduler.step()
    return taken


def test_the_cosine_rises_evenly_and_falls_to_zero() -> None:
    given = rates(warmup_cosine(optimizer(), total_steps=10, warmup=0.2), 13)
    cosine = [1 + math.cos(math.pi * n / 8) for n in range(9)]
    assert given == pytest.approx([1.0, 2.0, *cosine, 0.0, 0.0])


def test_the_rate_is_never_zero_while_training_and_greatest_after_the_warm_up() -> None:
    for total_steps in (1, 2, 7, 100, 1000):
        given = rates(warmup_cosine(optimizer(), total_steps=total_steps), total_steps)
        assert min(given) > 0
        assert max(given) == pytest.approx(2.0)
        assert given.index(max(given)) == max(1, round(0.05 * total_steps)) - 1


def test_the_published_schedule_falls_by_steps() -> None:
    given = rates(step_decay(optimizer(), every_steps=2), 6)
    assert given == pytest.approx([2.0, 2.0, 0.2, 0.2, 0.02, 0.02])


def test_a_schedule_goes_on_from_its_state_with_more_steps() -> None:
    first = warmup_cosine(optimizer(), total_steps=10)
    rates(first, 4)
    other = warmup_cosine(optimizer(), total_steps=20)
    other.load_state_dict(first.state_dict())
    whole = rates(warmup_cosine(optimizer(), total_steps=20), 20)
    assert rates(other, 6)[1:] == pytest.approx(whole[5:10])
