"""Handlers: a bar over the cases of a prediction."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from multimix_monai.handlers.results_table import ResultsTable

if TYPE_CHECKING:
    from ignite.engine import Engine


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
        from ignite.engine import Events

        engine.add_event_handler(Events.STARTED, self.begin)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._count)
        engine.add_event_handler(Events.COMPLETED, self.end)

    def begin(self) -> None:
        """Draw the bar."""
        total, todo = len(self.results.inputs), len(self.results.todo)
        disable = None if self.show_bar is None else not self.show_bar
        options = {"initial": total - todo, "disable": disable, "unit": "image", "smoothing": 0.1}
        self.bar = tqdm(desc="predict", total=total, mininterval=0.5, **options)

    def _count(self, engine: Any) -> None:
        self.add(len(engine.cases))

    def add(self, cases: int) -> None:
        """So many cases more are done."""
        self.bar.update(cases)

    def end(self) -> None:
        """Leave the bar as it is."""
        self.bar.close()
