"""Apps: Ctrl-C in a run that goes on from where it was interrupted."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import typer

INTERRUPTED = 130  # exit code, as of a program that SIGINT ended
GO_ON = "interrupted: run the same command again to go on"


@contextmanager
def resumable() -> Iterator[None]:
    """One line on stderr and exit code 130 for an interrupt."""
    try:
        yield
    except KeyboardInterrupt:
        typer.echo(GO_ON, err=True)
        raise typer.Exit(INTERRUPTED) from None
