"""Engines: what an iteration gave, for the handlers."""

from __future__ import annotations

from typing import Any

from ignite.engine import Engine


def outputs(engine: Engine) -> Any:
    """The iteration's output: of the trainer figures by name, of the evaluator a list of cases.

    Ignite declares it as a number.
    """
    return engine.state.output
