"""Path of data, from datasets in their original layouts to cases: one reader a dataset."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ..case import Case
from .folder import read_folder
from .jsrt import read_jsrt
from .kermany import read_kermany
from .montgomery import read_montgomery
from .nih import read_nih
from .shenzhen import read_shenzhen

READERS: dict[str, Callable[[Path], list[Case]]] = {
    "jsrt": read_jsrt,
    "montgomery": read_montgomery,
    "shenzhen": read_shenzhen,
    "kermany": read_kermany,
    "nih": read_nih,
    "folder": read_folder,
}

__all__ = [
    "READERS",
    "read_folder",
    "read_jsrt",
    "read_kermany",
    "read_montgomery",
    "read_nih",
    "read_shenzhen",
]
