"""Engines: the trainer, MONAI's SupervisedTrainer for batches that hold several streams."""

from __future__ import annotations

import math
from typing import Any

import torch
from ignite.engine import Engine, State
from monai.engines import SupervisedTrainer
from monai.engines.utils import IterationEvents
from monai.utils.enums import CommonKeys
from torch import Tensor, nn

from multimix_monai.engines.precision import autocast_dtype
from multimix_monai.engines.recipe import Recipe, Terms
from multimix_monai.engines.teacher import Teacher


def prepare_streams(
    batch: dict[str, dict[str, Tensor]],
    device: torch.device | str | None = None,
    non_blocking: bool = False,
    **kwargs: Any,
) -> dict[str, dict[str, Tensor]]:
    """Every tensor of every stream on the device."""
    return {
        name: {
            k: v.to(device=device, non_blocking=non_blocking, **kwargs) for k, v in cases.items()
        }
        for name, cases in batch.items()
    }


class MultiMixTrainer(SupervisedTrainer):
    """SupervisedTrainer whose loss function is a recipe over labelled and unlabelled streams.

    Args:
        loss_function: the recipe.
        teacher: makes the pseudo-labels and follows the network after every optimiser step.
        total_steps: of the schedule; the recipe is told which part of them is done.
        accumulate_steps: steps whose gradients are summed before the optimiser moves.
        clip_norm: largest norm of the gradient; 0 clips nothing.
        amp: autocast, in bfloat16 where the device has it.
        seed: of dropout, set anew for every epoch, so that a resumed run repeats it.
        **workflow: as of SupervisedTrainer.

    `engine.state.output` holds the loss, every term and monitor as floats. MONAI's IterationEvents
    fire.

    Raises:
        ValueError: accumulate_steps below 1 or no divisor of the epoch's steps, clip_norm below 0,
            or max_epochs below 1.
        FloatingPointError: a term or the gradient is not finite; the message names epoch, step
            and term.
    """

    def __init__(
        self,
        *,
        loss_function: Recipe,
        teacher: Teacher,
        total_steps: int,
        accumulate_steps: int = 1,
        clip_norm: float = 0.0,
        amp: bool = False,
        seed: int = 0,
        **workflow: Any,
    ) -> None:
        if accumulate_steps < 1 or clip_norm < 0:
            raise ValueError(
                f"accumulate_steps is {accumulate_steps} and clip_norm {clip_norm}; "
                "the first must be at least 1, the second at least 0 (0: no clipping)"
            )
        workflow = {"prepare_batch": prepare_streams, "decollate": False, **workflow}
        super().__init__(loss_function=loss_function, **workflow)
        if (self.state.max_epochs or 0) < 1:
            raise ValueError(
                f"--epochs (max_epochs) is {self.state.max_epochs}; it must be at least 1"
            )
        if self.state.epoch_length and self.state.epoch_length % accumulate_steps:
            raise ValueError(
                f"an epoch has {self.state.epoch_length} steps and accumulate_steps is "
                f"{accumulate_steps}: "
                "choose steps_per_epoch divisible by it, so that no gradient is left over"
            )
        device = torch.device(self.state.device)
        loss_function.to(device)
        self.teacher = teacher
        self.total_steps = total_steps
        self.accumulate_steps = accumulate_steps
        self.clip_norm = clip_norm
        self.autocast_dtype = autocast_dtype(device) if amp else None
        self.grad_scaler = torch.amp.GradScaler(
            device.type, enabled=self.autocast_dtype is torch.float16
        )
        self.dropout_seed = seed

    def _iteration(  # type: ignore[override]
        self, engine: Engine, batchdata: dict[str, dict[str, Tensor]]
    ) -> dict[str, float]:
        device = torch.device(self.state.device)
        step = self.state.iteration
        torch.manual_seed(self.dropout_seed * 1_000_003 + step * 4099 + process_rank())
        batch = self.prepare_batch(batchdata, device, self.non_blocking, **self.to_kwargs)
        self.network.train()
        terms = self._terms(device, batch, progress=min(1.0, (step - 1) / self.total_steps))
        self.fire_event(IterationEvents.LOSS_COMPLETED)
        for name, value in terms.losses.items():
            refuse_infinite(f"loss term {name!r}", value, self.state)
        loss = terms.total()
        if loss.requires_grad:
            self.grad_scaler.scale(loss / self.accumulate_steps).backward()
        self.fire_event(IterationEvents.BACKWARD_COMPLETED)
        if step % self.accumulate_steps == 0:
            self._update(step // self.accumulate_steps)
        self.fire_event(IterationEvents.MODEL_COMPLETED)
        return report(terms)

    def _terms(self, device: torch.device, batch: dict, *, progress: float) -> Terms:
        enabled = self.autocast_dtype is not None
        with torch.autocast(
            device.type, dtype=self.autocast_dtype or torch.bfloat16, enabled=enabled
        ):
            terms: Terms = self.loss_function(self.network, self.teacher, batch, progress)
        self.fire_event(IterationEvents.FORWARD_COMPLETED)
        return terms

    def _update(self, update: int) -> None:
        self.grad_scaler.unscale_(self.optimizer)
        norm = nn.utils.clip_grad_norm_(self.network.parameters(), self.clip_norm or math.inf)
        if not self.grad_scaler.is_enabled():  # it passes over such a step, and goes on
            refuse_infinite("the gradient's norm", norm, self.state)
        self.grad_scaler.step(self.optimizer)
        self.grad_scaler.update()
        self.optimizer.zero_grad(set_to_none=True)
        self.teacher.update(update)


def process_rank() -> int:
    """Of this process among those that train together, 0 alone."""
    ready = torch.distributed.is_available() and torch.distributed.is_initialized()
    return torch.distributed.get_rank() if ready else 0


def refuse_infinite(name: str, value: Tensor, state: State) -> None:
    """Stop at what is not finite, before it reaches the weights."""
    if not torch.isfinite(value):
        raise FloatingPointError(
            f"{name} is {value.item()} at epoch {state.epoch}, step {state.iteration}: training "
            "stops here, the last checkpoint is intact: go on with amp=false, or begin anew in "
            "another --output (output_dir) with a lower learning_rate"
        )


def report(terms: Terms) -> dict[str, float]:
    """The step's output: the loss, its terms and the monitors."""
    figures = {CommonKeys.LOSS: terms.total(), **terms.losses, **terms.monitors}
    return {name: float(value.detach()) for name, value in figures.items()}
