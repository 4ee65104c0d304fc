"""Handlers: when to validate."""

from __future__ import annotations

from ignite.engine import Engine, Events
from monai.handlers import ValidationHandler


class Validation(ValidationHandler):
    """MONAI's ValidationHandler by epochs, and after the last one too: its weights may be the best.

    Args:
        interval: of epochs between two validations.
        validator: the evaluator.
    """

    def attach(self, engine: Engine) -> None:
        """To the trainer."""
        engine.add_event_handler(Events.EPOCH_COMPLETED(event_filter=self.is_due), self)

    def is_due(self, engine: Engine, epoch: int) -> bool:
        """Whether to validate after this epoch."""
        return epoch % self.interval == 0 or epoch == engine.state.max_epochs
