"""Apps: where the bundle lies, and what its configs call to begin."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Any

import torch

from multimix_monai.apps.evaluation import evaluate
from multimix_monai.data.datalist import load_datalist
from multimix_monai.data.images import IMAGE_SUFFIXES
from multimix_monai.data.keys import Keys
from multimix_monai.handlers.checkpoints import load_weights
from multimix_monai.transforms.load import is_dicom


def default_bundle_root() -> str:
    """The folder with configs/ and models/: beside the package, around it, or where the user stands.

    In a checkout it is `bundle/` beside the package; in a self-contained bundle the package lies in its root.
    """
    beside = Path(__file__).resolve().parents[2]
    for root in (beside / "bundle", beside, Path.cwd() / "bundle"):
        if (root / "configs" / "metadata.json").is_file():
            return str(root)
    return "."


def config_files(*names: str) -> list[str]:
    """Paths of the bundle's configs.

    Raises:
        FileNotFoundError: the bundle's folder is not found.
    """
    folder = Path(default_bundle_root()) / "configs"
    if not folder.is_dir():
        raise FileNotFoundError("no folder bundle/configs: run from the project's root")
    return [str(folder / name) for name in names]


def parse_overrides(settings: Iterable[str]) -> dict[str, Any]:
    """KEY=VALUE -> {key: value}, values as YAML reads them.

    Raises:
        ValueError: one has no "=".
    """
    import yaml

    parsed = {}
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not equals:
            raise ValueError(f"--set {setting!r} has no value: write KEY=VALUE, such as image_size=224")
        parsed[key] = yaml.safe_load(value)
    return parsed


def one_line_errors() -> None:
    """From here on, an uncaught error that the user can mend ends the program as one line on stderr.

    The bundle's configs call it first: MONAI wraps each error once for every reference that led to it. The full
    trace is shown when MULTIMIX_DEBUG is set.
    """
    if not os.environ.get("MULTIMIX_DEBUG"):
        sys.excepthook = show_error


def show_error(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """One line for a ValueError, TypeError, OSError or FloatingPointError at the root, else the trace."""
    root = error
    while root.__cause__ is not None:
        root = root.__cause__
    if isinstance(root, (ValueError, TypeError, OSError, FloatingPointError)):
        print(f"error: {root}", file=sys.stderr)
    else:
        traceback.print_exception(kind, error, trace)


def find_cases(inputs: str | Path | Iterable[str | Path]) -> list[dict[str, Any]]:
    """Radiographs among files and, recursively, in folders, as cases in a stable order.

    A file named as such is taken whatever it is called, so that its refusal is reported; of a folder's files only
    images and DICOM are.

    Raises:
        FileNotFoundError: nothing is found.
    """
    given = [inputs] if isinstance(inputs, (str, Path)) else list(inputs)
    paths: dict[Path, None] = {}
    for entry in map(Path, given):
        found = sorted(p for p in entry.rglob("*") if is_radiograph(p)) if entry.is_dir() else [entry]
        paths |= dict.fromkeys(found)
    if not paths:
        names = ", ".join(map(str, given))
        raise FileNotFoundError(f"no radiograph in {names}: set --dataset_dir to a folder with images")
    return [{Keys.IMAGE: str(path), Keys.CASE: path.stem} for path in paths]


def is_radiograph(path: Path) -> bool:
    """Whether a file of a folder may be one: by its name, or DICOM by its content."""
    return path.is_file() and (path.name.lower().endswith(tuple(IMAGE_SUFFIXES)) or is_dicom(path))


def process_device() -> torch.device:
    """The GPU of this process among those that torchrun started, or the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
    return torch.device("cpu")


def start_process(backend: str, device: torch.device) -> None:
    """Join the processes that torchrun started.

    Raises:
        ValueError: the program was not started by torchrun.
    """
    if "RANK" not in os.environ:
        raise ValueError("multi_gpu_train.json needs torchrun: torchrun --standalone --nproc_per_node=2 -m ...")
    if device.type == "cuda":
        torch.cuda.set_device(device)
    torch.distributed.init_process_group(backend)


__all__ = [
    "config_files",
    "default_bundle_root",
    "evaluate",
    "find_cases",
    "load_datalist",
    "load_weights",
    "one_line_errors",
    "parse_overrides",
    "process_device",
    "start_process",
]
