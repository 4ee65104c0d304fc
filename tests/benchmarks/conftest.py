"""Two ways to do one thing, timed in turn in one process: medians, and the ratio pair by pair."""

from __future__ import annotations

import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import pytest
import torch

RESULTS = Path("benchmarks.json")


@dataclass
class Comparison:
    """Seconds of each, and ours / other."""

    name: str
    ours: str
    other: str
    ours_s: float
    other_s: float
    ratio: float
    ratio_low: float
    ratio_high: float
    pairs: int
    machine: str


def compare(
    name: str,
    ours: tuple[str, Callable[[], object]],
    other: tuple[str, Callable[[], object]],
    *,
    pairs: int = 7,
) -> Comparison:
    """Time both after a warm-up and add the result to benchmarks.json in the current folder."""
    times: list[tuple[float, float]] = []
    for pair in range(pairs + 1):
        seconds = (clock(ours[1]), clock(other[1]))
        if pair:
            times.append(seconds)
    ratios = [a / b for a, b in times]
    result = Comparison(
        name,
        ours[0],
        other[0],
        statistics.median(a for a, _ in times),
        statistics.median(b for _, b in times),
        statistics.median(ratios),
        min(ratios),
        max(ratios),
        pairs,
        machine(),
    )
    keep(result)
    return result


def clock(work: Callable[[], object]) -> float:
    """Seconds of one call."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def machine() -> str:
    """Processor, threads and versions, without names of hosts."""
    return (
        f"{platform.machine()}, {os.cpu_count()} cores, {torch.get_num_threads()} threads, "
        f"torch {torch.__version__}"
    )


def keep(result: Comparison) -> None:
    """One entry a name in benchmarks.json, and a line on the console."""
    entries = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    entries[result.name] = asdict(result)
    RESULTS.write_text(json.dumps(entries, indent=2) + "\n")
    sys.stdout.write(
        f"\n| {result.name} | {result.ours} {result.ours_s:.3f} s | {result.other} "
        f"{result.other_s:.3f} s | {result.ratio:.2f} ({result.ratio_low:.2f} to "
        f"{result.ratio_high:.2f}) |\n"
    )


@pytest.fixture(name="compare")
def compare_fixture() -> Callable[..., Comparison]:
    """`compare`, for tests."""
    return compare
