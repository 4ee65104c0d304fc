"""Experiments: what a run was begun as, so that nothing else goes on in its folder.

`begun.json` holds what was asked for and each attempt at it; `.lock` is held while one is made.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from typing import Any

from multimix_monai.data.json_file import write_json

BEGUN = "begun.json"
LOCK = ".lock"
QUIET: dict[str, Any] = {"capture_output": True, "text": True, "check": False}


class RunFailed(RuntimeError):
    """A command of a run failed; the message names the run, the command and the log."""


def refuse_other(asked: Mapping[str, Any], path: Path) -> None:
    """What was begun may only go on as it was begun.

    Args:
        asked: what is wanted now, as JSON would give it back.
        path: JSON whose `asked` is what was wanted before; nothing is refused where it is absent.

    Raises:
        ValueError: they differ.
    """
    if not path.is_file():
        return
    before = json.loads(path.read_text(encoding="utf-8"))["asked"]
    for key, value in asked.items():
        if before.get(key) != value:
            raise ValueError(
                f"{path.parent} was begun with {key} {before.get(key)}, and now it is {value}: "
                "take another --output, or delete that folder to begin anew"
            )


@contextmanager
def attempt(
    asked: Mapping[str, Any], *, folder: Path
) -> Iterator[tuple[list[dict[str, Any]], int]]:
    """Hold a run's folder, and keep by which code and for how long it was worked on.

    Yields: all attempts so far, and the lock's descriptor. A command that inherits it holds the
        folder even where the one that started it was killed.

    Raises:
        RunFailed: another process works on it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / BEGUN
    with held(folder) as lock:
        attempts = json.loads(path.read_text("utf-8"))["attempts"] if path.is_file() else []
        attempts.append({"commit": commit(), "seconds": 0.0})
        write_json({"asked": asked, "attempts": attempts}, path)
        start = monotonic()
        try:
            yield attempts, lock
        finally:
            attempts[-1]["seconds"] = round(monotonic() - start, 1)
            write_json({"asked": asked, "attempts": attempts}, path)


@contextmanager
def held(folder: Path) -> Iterator[int]:
    """The descriptor of a folder's lock. Raises: RunFailed: another process has it."""
    import fcntl

    with (folder / LOCK).open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise RunFailed(
                f"{folder}: another process works on it: wait for it, or end it"
            ) from error
        yield file.fileno()


def digests(files: list[str]) -> dict[str, str]:
    """Name of a file -> SHA-256 of its content."""
    return {Path(f).name: hashlib.sha256(Path(f).read_bytes()).hexdigest() for f in files}


def commit() -> str | None:
    """Of the checkout that tracks this package; None where it is installed."""
    here = Path(__file__)
    git = ["git", "-C", str(here.parent)]
    try:
        tracked = subprocess.run([*git, "ls-files", "--error-unmatch", here.name], **QUIET)
        found = subprocess.run([*git, "describe", "--always", "--dirty"], **QUIET)
    except FileNotFoundError:
        return None
    return (found.stdout.strip() or None) if tracked.returncode == 0 else None
