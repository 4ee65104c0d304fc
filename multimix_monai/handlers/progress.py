"""Handlers: a bar over the epoch with the running loss, and a line an epoch."""

from __future__ import annotations

import logging
import math
from typing import Any

from ignite.engine import Engine, Events
from ignite.handlers import ProgressBar
from monai.utils.enums import CommonKeys
from tqdm import tqdm

from multimix_monai.engines.outputs import outputs
from multimix_monai.engines.trainer import process_rank
from multimix_monai.handlers.results_table import ResultsTable

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


class CaseProgress:
    """A bar on stderr over the cases of a run, with their rate and the time left.

    Args:
        results: knows how many cases there are, and how many earlier runs did.
        show_bar: None shows it only on a terminal.
    """

    def __init__(self, results: ResultsTable, *, show_bar: bool | None = None) -> None:
        self.results = results
        self.show_bar = show_bar

    def attach(self, engine: Engine) -> None:
        """To the evaluator, before what takes its cases away."""
        engine.add_event_handler(Events.STARTED, self._open)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._update)
        engine.add_event_handler(Events.COMPLETED, self._close)

    def _open(self) -> None:
        total, todo = len(self.results.inputs), len(self.results.todo)
        disable = None if self.show_bar is None else not self.show_bar
        options = {"initial": total - todo, "disable": disable, "unit": "image", "smoothing": 0.1}
        self.bar = tqdm(desc="predict", total=total, mininterval=0.5, **options)

    def _update(self, engine: Any) -> None:
        self.bar.update(len(engine.cases))

    def _close(self) -> None:
        self.bar.close()


class ScoreLog:
    """Logs every metric after a validation."""

    def attach(self, engine: Engine) -> None:
        """To the evaluator."""
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._log)

    def _log(self, engine: Engine) -> None:
        figures = ", ".join(f"{n} {v:.4f}" for n, v in engine.state.metrics.items())
        logger.info(f"validation: {figures}")
