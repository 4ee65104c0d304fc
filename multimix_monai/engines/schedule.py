"""Engines: the learning rate as a function of the step."""

from __future__ import annotations

import functools
import math

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR


def cosine_factor(step: int, *, warmup_steps: int, total_steps: int) -> float:
    """Part of the full rate at a step, 0 the first: a linear rise, then half a cosine down to 0."""
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    progress = (step - warmup_steps) / max(1, total_steps - warmup_steps)
    return 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))


def step_factor(step: int, *, every_steps: int, gamma: float) -> float:
    """Part of the full rate at a step: times gamma after every so many steps, as published."""
    return gamma ** (step // every_steps)


def warmup_cosine(optimizer: Optimizer, *, total_steps: int, warmup: float = 0.05) -> LambdaLR:
    """Cosine with warm-up over a part of training.

    step() is called once a training step, however many of them the optimiser accumulates.
    """
    warmup_steps = max(1, round(warmup * total_steps))
    factor = functools.partial(cosine_factor, warmup_steps=warmup_steps, total_steps=total_steps)
    return LambdaLR(optimizer, factor)


def step_decay(optimizer: Optimizer, *, every_steps: int, gamma: float = 0.1) -> LambdaLR:
    """The published schedule: times gamma after every so many steps."""
    return LambdaLR(optimizer, functools.partial(step_factor, every_steps=every_steps, gamma=gamma))
