"""Apps: where the bundle lies, and what its configs call to begin."""

from __future__ import annotations

import os
import re
import sys
import traceback
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

import torch

from multimix_monai.apps.evaluation import evaluate
from multimix_monai.data.calibration import load_calibration, weights_digest
from multimix_monai.data.datalist import load_datalist, load_part
from multimix_monai.data.inputs import find_cases
from multimix_monai.handlers.checkpoints import load_weights


def default_bundle_root() -> str:
    """The bundle whose config runs, which MONAI puts on sys.path, or else the package's own.

    A copy of the bundle, trained further, must never be run with the weights of another.
    """
    folders = [entry for entry in sys.path if is_bundle(Path(entry))]
    return folders[0] or "." if folders else own_bundle()


def own_bundle() -> str:
    """The folder with configs/ and models/: beside the package, around it, or here.

    In a checkout it is `bundle/` beside the package; in a self-contained bundle the package lies
    in its root.
    """
    beside = Path(__file__).resolve().parents[2]
    for root in (beside / "bundle", beside, Path.cwd() / "bundle"):
        if is_bundle(root):
            return str(root)
    return "."


def is_bundle(folder: Path) -> bool:
    """Whether a folder is a bundle of this package."""
    metadata = folder / "configs" / "metadata.json"
    return metadata.is_file() and "MultiMix" in metadata.read_text(encoding="utf-8")


def config_files(*names: str) -> list[str]:
    """Paths of the bundle's configs.

    Raises:
        FileNotFoundError: the bundle's folder is not found.
    """
    folder = Path(own_bundle()) / "configs"
    if not folder.is_dir():
        raise FileNotFoundError("no folder bundle/configs: run from the project's root")
    return [str(folder / name) for name in names]


def parse_overrides(settings: Iterable[str]) -> dict[str, Any]:
    """KEY=VALUE -> {key: value}, values as YAML reads them, and 1e-4 as a number too.

    Raises:
        ValueError: one has no "=", or its value cannot be read.
    """
    parsed = {}
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not equals:
            raise ValueError(
                f"--set {setting!r} has no value: write KEY=VALUE, such as image_size=224"
            )
        parsed[key] = _read_value(setting, value)
    return parsed


def _read_value(setting: str, text: str) -> Any:
    import yaml

    if re.fullmatch(r"[+-]?\d+[eE][+-]?\d+", text):  # without a dot, YAML takes it for a word
        return float(text)
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(
            f"--set {setting!r} cannot be read: brackets or quotes do not match"
        ) from error


def one_line_errors() -> None:
    """From here on, an error that the user can mend ends the program as one line on stderr.

    The bundle's configs call it first: MONAI wraps each error once for every reference that led to
    it. The full trace is shown when MULTIMIX_DEBUG is set.
    """
    if not os.environ.get("MULTIMIX_DEBUG"):
        sys.excepthook = show_error


def show_error(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    """One line for an error that a user can mend, else the trace."""
    reason = unwrapped(error)
    if isinstance(reason, (ValueError, TypeError, OSError, FloatingPointError)):
        print(f"error: {' '.join(str(reason).split())}", file=sys.stderr)
    else:
        traceback.print_exception(kind, error, trace)


def unwrapped(error: BaseException) -> BaseException:
    """The error that MONAI wrapped in a RuntimeError for every reference that led to it."""
    while type(error) is RuntimeError and error.__cause__ is not None:
        error = error.__cause__
    return error


@contextmanager
def without_wrappers() -> Iterator[None]:
    """For the bundle's own configs: errors come unwrapped, without a warning of strange ones."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="parsing config_file")
        try:
            yield
        except RuntimeError as error:
            raise unwrapped(error) from None


def run_bundle(run_id: str, names: Sequence[str], settings: Mapping[str, Any]) -> None:
    """`monai.bundle run RUN_ID` with configs of the own bundle and overrides of their keys."""
    from monai.bundle import run

    with without_wrappers():
        run(run_id=run_id, config_file=config_files(*names), **settings)


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
        raise ValueError(
            "multi_gpu_train.json needs torchrun: torchrun --standalone --nproc_per_node=2 -m ..."
        )
    if device.type == "cuda":
        torch.cuda.set_device(device)
    torch.distributed.init_process_group(backend)


__all__ = [
    "config_files",
    "default_bundle_root",
    "evaluate",
    "find_cases",
    "load_calibration",
    "load_datalist",
    "load_part",
    "load_weights",
    "one_line_errors",
    "own_bundle",
    "parse_overrides",
    "process_device",
    "start_process",
    "weights_digest",
]
