"""How much memory a step of training and a prediction take, each in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.benchmarks.conftest import Effort
from tests.benchmarks.peak_memory import CASES
from tests.benchmarks.report import keep_figures

REPOSITORY = Path(__file__).resolve().parents[2]


def grown(case: str, *, size: int, batch: int) -> float:
    """MiB of one case."""
    command = [sys.executable, "-m", "tests.benchmarks.peak_memory", case, str(size), str(batch)]
    environment = {**os.environ, "OMP_NUM_THREADS": "2"}
    done = subprocess.run(
        command, cwd=REPOSITORY, env=environment, check=True, capture_output=True, text=True
    )
    return float(done.stdout.splitlines()[-1])


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="Linux says how much")
@pytest.mark.parametrize(("work", "batch"), [("step", None), ("inference", 1), ("inference", 8)])
def test_peak_memory_against_the_published(effort: Effort, work: str, batch: int | None) -> None:
    count, size = batch or effort.batch, effort.size
    cases = tuple(case for case in CASES if case.startswith(work))
    found = {
        case.removeprefix(f"{work} "): grown(case, size=size, batch=count)
        for case in effort.pick(cases, cases[:2])
    }
    unit = "images a stream" if work == "step" else "images"
    keep_figures(f"peak memory of {work} in MiB, {count} {unit}, {size} px", **found)
    ours = "paper fp32" if work == "step" else "with saliency fp32"
    assert effort.quick or found[ours] < found["published fp32"]
