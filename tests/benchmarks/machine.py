"""Benchmarks, where they run: the machine without its name, and the ceilings it sets."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable
from pathlib import Path

import monai
import torch

FLAGS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_int8")
TRIES = 20


def machine() -> str:
    """Processor, what it can multiply, memory, accelerator and versions, without names of hosts."""
    info = cpu_info()
    flags = [flag for flag in FLAGS if flag in info.get("flags", "").split()]
    parts = [
        info.get("model name", platform.machine()),
        f"{len(cores())} cores",
        f"{memory_gib():.0f} GiB",
        " ".join(flags) or "no vector flags known",
        f"{torch.get_num_threads()} threads",
        *([torch.cuda.get_device_name()] if torch.cuda.is_available() else []),
        f"Python {platform.python_version()}",
        f"torch {torch.__version__}",
        f"monai {monai.__version__}",
    ]
    return ", ".join(parts)


def cores() -> set[int]:
    """Those that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return os.sched_getaffinity(0)
    return set(range(os.cpu_count() or 1))


def cpu_info() -> dict[str, str]:
    """The first processor's entries in /proc/cpuinfo; nothing on other systems."""
    path = Path("/proc/cpuinfo")
    if not path.exists():
        return {}
    lines = path.read_text().split("\n\n")[0].splitlines()
    pairs = [line.partition(":") for line in lines]
    return {name.strip(): value.strip() for name, _, value in pairs}


def memory_gib() -> float:
    """Of the whole machine; nan where the system does not say."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    except (AttributeError, ValueError):
        return float("nan")


def synchronise() -> None:
    """Wait for the accelerator, which works on when a call has returned."""
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        torch.cuda.synchronize()


def clock(work: Callable[[], object]) -> float:
    """Seconds of one call, to the end of what it started on an accelerator."""
    synchronise()
    start = time.perf_counter()
    work()
    synchronise()
    return time.perf_counter() - start


def multiply_adds_a_second(dtype: torch.dtype, *, side: int, device: str = "cpu") -> float:
    """Of the best of several products of two square matrices: the ceiling for convolutions."""
    a, b = (torch.rand(side, side, device=device).to(dtype) for _ in range(2))
    torch.mm(a, b)
    return side**3 / min(clock(lambda: torch.mm(a, b)) for _ in range(TRIES))


def copied_bytes_a_second(*, mebibytes: int, device: str = "cpu") -> float:
    """Read and written, of the best of several copies that no cache holds."""
    source = torch.zeros(mebibytes * 2**20, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    target.copy_(source)
    return 2 * source.nbytes / min(clock(lambda: target.copy_(source)) for _ in range(TRIES))
