"""Before the path of data begins: what an earlier run wrote beside radiographs is none."""

from __future__ import annotations

import re
from pathlib import Path

from .patient import digest

RESULTS = "results.jsonl"  # of a folder of results: its table
_CASE_FOLDER = re.compile("case-[0-9a-f]{16}")


def case_folder(name: str) -> str:
    """Name of the folder for a path's results; says nothing of the path, and stays the same."""
    return f"case-{digest(name)}"


def is_case_folder(path: Path) -> bool:
    """Whether a folder holds a case's mask, overlay and saliency, which look like radiographs."""
    return bool(_CASE_FOLDER.fullmatch(path.name)) and (path.parent / RESULTS).is_file()
