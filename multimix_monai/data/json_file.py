"""Path of data, beside it: a JSON file that is whole, or the one before."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any


def write_json(content: Any, path: str | Path, *, indent: int = 1) -> None:
    """Write under a temporary name, then rename: a reader never sees half a file.

    Raises:
        OSError: the disk is full or not writable; names the file, the one before stays.
        TypeError: JSON has no form for the content; the file before stays.
    """
    target = Path(path)
    text = json.dumps(content, indent=indent) + "\n"
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _write(text, target)
    except OSError as error:
        raise OSError(
            f"{target} cannot be written ({error.strerror or error}): choose another place, or "
            "free space"
        ) from error


def _write(text: str, target: Path) -> None:
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)
