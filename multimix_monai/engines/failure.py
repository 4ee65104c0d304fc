"""Engines: what went wrong with one case, in a form that can be kept, sent and shown."""

from __future__ import annotations

import logging
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from multimix_monai.data.images import ImageError


class CaseFailure(RuntimeError):
    """What nobody expected of one case, without a word of what the case holds.

    Args:
        reason: the error's class.
        message: where it was raised.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(reason, message)
        self.reason, self.message = reason, message

    def __str__(self) -> str:
        return self.message


def failure_of(error: Exception) -> Exception:
    """An error that can be kept and shown: the words of other libraries may quote a patient's data.

    Errors of our own, for people, stay as they are.
    """
    while type(error) is RuntimeError and isinstance(error.__cause__, Exception):
        error = error.__cause__  # MONAI wraps what a transform raises
    trace = traceback.extract_tb(error.__traceback__)
    place = f"{Path(trace[-1].filename).name}:{trace[-1].lineno}" if trace else "a library"
    if isinstance(error, (ImageError, ImportError, CaseFailure)):
        error.__traceback__ = error.__cause__ = error.__context__ = None  # they hold on to arrays
        return error
    reason = type(error).__name__
    return CaseFailure(reason, f"unexpected {reason} in {place}: run it again, or report it")


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """While it lasts libraries do not tell of a file: pydicom quotes values, highdicom logs UIDs.

    For one thread to enter on behalf of all: filters of warnings belong to the process.
    """
    loggers = [logging.getLogger(library) for library in ("pydicom", "highdicom")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            for logger in loggers:
                logger.setLevel(logging.CRITICAL)
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
