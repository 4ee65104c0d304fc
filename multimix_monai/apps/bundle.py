"""Apps: what the bundle's configs call to begin, and how the commands run them."""

from __future__ import annotations

import os
import re
import sys
import traceback
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from inspect import signature
from pathlib import Path
from types import TracebackType
from typing import Any

import torch

from multimix_monai.apps.bundle_files import (
    beside_weights,
    config_files,
    default_bundle_root,
    own_bundle,
    trained_or_own,
)
from multimix_monai.apps.evaluation import evaluate
from multimix_monai.apps.interrupt import GO_ON
from multimix_monai.data.calibration import load_calibration, weights_digest
from multimix_monai.data.datalist import load_datalist, load_part
from multimix_monai.data.inputs import find_cases
from multimix_monai.data.overrides import parse_overrides, refuse_unknown
from multimix_monai.handlers.begun_as import data_hash, settings_of
from multimix_monai.handlers.checkpoints import begin_with, load_weights

# Of torch, where a device's name is none, or there is no such device here.
NO_DEVICE = re.compile(
    "not compiled with|not linked with|NVIDIA driver|No CUDA GPUs|invalid device ordinal"
    "|device type at start of device string|Invalid device string"
)


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
    if isinstance(reason, KeyboardInterrupt):
        print(GO_ON, file=sys.stderr)
    elif isinstance(reason, (ValueError, TypeError, OSError, FloatingPointError)):
        print(f"error: {' '.join(str(reason).split())}", file=sys.stderr)
    else:
        traceback.print_exception(kind, error, trace)


def unwrapped(error: BaseException) -> BaseException:
    """The error that MONAI wrapped in a RuntimeError for every reference that led to it.

    What torch says of a device comes as a ValueError with the remedy, and what a worker raised
    without its trace.
    """
    while type(error) is RuntimeError and error.__cause__ is not None:
        error = error.__cause__
    words = str(error)
    if isinstance(error, (AssertionError, RuntimeError)) and NO_DEVICE.search(words):
        return ValueError(f"device cannot be used ({words.splitlines()[0]}): set device=cpu")
    if isinstance(error, (ValueError, OSError)) and "in DataLoader worker process" in words:
        return type(error)(words.rpartition(f"{type(error).__name__}: ")[2])
    return error


@contextmanager
def without_wrappers() -> Iterator[None]:
    """For the bundle's own configs: errors come unwrapped, without a warning of strange ones."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="parsing config_file")
        try:
            yield
        except Exception as error:
            reason = unwrapped(error)
            if reason is error:
                raise
            raise reason from None


def run_bundle(run_id: str, names: Sequence[str], settings: Mapping[str, Any]) -> None:
    """`monai.bundle run RUN_ID` with configs of the own bundle and overrides of their keys.

    Raises:
        ValueError: they have no such key.
    """
    from monai.bundle import ConfigParser, run

    files = config_files(*names)
    where = " and ".join(Path(file).name for file in files)
    given = settings.keys() - signature(run).parameters.keys()  # which takes some of its own
    refuse_unknown(sorted(given), ConfigParser.load_config_files(files), where=where)
    with without_wrappers():
        run(run_id=run_id, config_file=files, **settings)


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
    "begin_with",
    "beside_weights",
    "config_files",
    "data_hash",
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
    "settings_of",
    "start_process",
    "trained_or_own",
    "weights_digest",
]
