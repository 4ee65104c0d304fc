"""Benchmarks, `multimix predict` as a program: its time, its processes' work and memory."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from multimix_monai.apps.synth import synth_command

SAMPLED_S = 0.5  # between two looks at the memory
FEW = 4  # radiographs that differ, of however many


def radiographs(folder: Path, *, size: int, count: int, kinds: Sequence[str]) -> Path:
    """A folder of so many files, of all kinds in turn; hard links, of which few differ.

    Args:
        folder: made.
        size: rows of each, in pixels.
        count: files.
        kinds: of "png" and "dcm" (DX).
    """
    n_png, n_dicom = (FEW if kind in kinds else 0 for kind in ("png", "dcm"))
    synth_command(folder, cases=max(1, n_png), seed=0, size=size, dicom=n_dicom)
    drawn = {
        "png": sorted((folder / "images").glob("*.png")),
        "dcm": sorted((folder / "dicom").glob("*.dcm")),
    }
    many = folder / "many"
    many.mkdir()
    for number in range(count):
        kind, which = kinds[number % len(kinds)], number // len(kinds) % FEW
        os.link(drawn[kind][which], many / f"{number:05d}.{kind}")
    return many


@dataclass(frozen=True)
class Run:
    """What a run took."""

    seconds: float
    cpu_s: float  # of all its processes
    peak_mib: float  # likewise, what they share counted once; 0 if it was not looked at

    def __sub__(self, other: Run) -> Run:
        """What this one took longer."""
        return Run(self.seconds - other.seconds, self.cpu_s - other.cpu_s, self.peak_mib)

    def busy(self, cores: int) -> float:
        """Share of the cores' time that was worked, 1 if none was ever idle."""
        return self.cpu_s / self.seconds / cores


def predict(inputs: Path, output: Path, *options: str, watch: bool = False) -> Run:
    """Run `multimix predict` on files.

    Args:
        inputs: a file or folder.
        output: folder of the results, not there yet.
        *options: more of the command line.
        watch: look at the memory, which costs some time itself.
    """
    command = [sys.executable, "-m", "multimix_monai.apps.cli", "predict", str(inputs)]
    before, start = cpu_of_children(), time.perf_counter()
    process = subprocess.Popen(
        [*command, "--output", str(output), *options],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    peaks = [0.0]
    watcher = threading.Thread(target=_watch, args=(process, peaks), daemon=True)
    if watch:
        watcher.start()
    code = process.wait()
    run = Run(time.perf_counter() - start, cpu_of_children() - before, max(peaks))
    if code:
        raise RuntimeError(f"multimix predict ended with {code}")
    return run


def cpu_of_children() -> float:
    """Seconds of processes that have ended and their own."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _watch(process: subprocess.Popen, peaks: list[float]) -> None:
    while process.poll() is None:
        peaks.append(sum(memory_mib(pid) for pid in family(process.pid)))
        time.sleep(SAMPLED_S)


def family(pid: int) -> Iterator[int]:
    """A process and all below it, whichever of its threads started them."""
    yield pid
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            children = path.read_text().split()
        except OSError:  # it has ended
            continue
        for child in children:
            yield from family(int(child))


def memory_mib(pid: int) -> float:
    """Resident memory of a process, its share of what it shares (PSS)."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("Pss:")), 0)
