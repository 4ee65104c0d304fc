"""Handlers: a bar over the epoch with the running loss, and a line an epoch."""

from __future__ import annotations

import logging
import math

from ignite.engine import Engine, Events
from ignite.handlers import ProgressBar
from monai.utils.enums import CommonKeys

from multimix_monai.engines.outputs import outputs
from multimix_monai.engines.trainer import process_rank

logger = logging.getLogger(__name__)


class Progress:
    """Shows a bar while an epoch runs, and logs every epoch's mean loss, term by term.

    Args:
        show_bar: also draw the bar, on the first process.
    """

    def __init__(self, *, show_bar: bool = True) -> None:
        self.show_bar = show_bar
        self.sums: dict[str, list[float]] = {}

    def attach(self, engine: Engine) -> None:
        """To the trainer."""
        if process_rank() != 0:
            return
        if self.show_bar:
            bar = ProgressBar(desc="epoch", mininterval=0.5)
            bar.attach(engine, output_transform=lambda out: {"loss": out[CommonKeys.LOSS]})
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._add)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._log)

    def _add(self, engine: Engine) -> None:
        for name, value in outputs(engine).items():
            self.sums.setdefault(name, []).append(value)

    def _log(self, engine: Engine) -> None:
        means = {n: math.fsum(v) / len(v) for n, v in self.sums.items()}
        self.sums = {}
        figures = ", ".join(f"{name} {value:.4f}" for name, value in means.items())
        logger.info(f"epoch {engine.state.epoch}/{engine.state.max_epochs}: {figures}")


class ScoreLog:
    """Logs every metric after a validation."""

    def attach(self, engine: Engine) -> None:
        """To the evaluator."""
        if process_rank() == 0:
            engine.add_event_handler(Events.EPOCH_COMPLETED, self._log)

    def _log(self, engine: Engine) -> None:
        figures = ", ".join(f"{n} {v:.4f}" for n, v in engine.state.metrics.items())
        logger.info(f"validation: {figures}")
