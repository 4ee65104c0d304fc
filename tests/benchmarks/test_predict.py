"""What a prediction costs: each stage of an image, a batch of images, memory, and the start."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

SIZE = 2400  # rows of a radiograph of 5 megapixels
SMALL = 256
CASES, MANY = 500, 5000
MEMORY_TOLERANCE = 0.10
HELP_S = 0.5
RESULTS = Path("benchmarks.json")


def keep(name: str, **figures: float) -> None:
    """One entry a name in benchmarks.json, and a line on the console."""
    entries = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    entries[name] = {key: round(value, 4) for key, value in figures.items()}
    RESULTS.write_text(json.dumps(entries, indent=2) + "\n")
    figures_shown = ", ".join(f"{key} {value:.3f}" for key, value in figures.items())
    sys.stdout.write(f"\n| {name} | {figures_shown} |\n")


def radiographs(folder: Path, *, size: int, count: int) -> Path:
    """So many DX files, of which only four differ."""
    from multimix_monai.apps.synth import synth_command

    synth_command(folder, cases=2, seed=0, size=size, dicom=4)
    drawn = sorted((folder / "dicom").glob("*.dcm"))
    (folder / "many").mkdir()
    for number in range(count):
        os.link(drawn[number % 4], folder / "many" / f"{number:05d}.dcm")
    return folder / "many"


def clock(work: Callable[[], Any], *, images: int) -> tuple[float, Any]:
    """Seconds an image, and the result."""
    start = time.perf_counter()
    result = work()
    return (time.perf_counter() - start) / images, result


def test_seconds_an_image_by_stage(tmp_path: Path) -> None:
    from multimix_monai.apps.predict import parser_of
    from multimix_monai.data.inputs import find_cases
    from multimix_monai.transforms.load import read_radiograph

    cases = find_cases(radiographs(tmp_path / "in", size=SIZE, count=8))
    settings = {"dataset#data": cases, "output_dir": str(tmp_path / "out"), "num_workers": 0}
    parser = parser_of(settings)
    evaluator, dataset = (parser.get_parsed_content(key) for key in ("evaluator", "dataset"))
    writer = parser.get_parsed_content("handlers")[-1]

    def all_stages() -> dict[str, float]:
        n = len(cases)
        read, _ = clock(lambda: [read_radiograph(case["image"]) for case in cases], images=n)
        both, items = clock(lambda: [dataset[index] for index in range(n)], images=n)
        infer, found = clock(lambda: evaluator.ask(items), images=n)
        post, done = clock(lambda: [evaluator.postprocessing(case) for case in found], images=n)
        write, rows = clock(lambda: [writer.outcome(case) for case in done], images=n)
        assert [row["status"] for row in rows] == ["ok"] * n
        stages = {"read and decode": read, "preprocess": both - read, "infer and check": infer}
        return stages | {"postprocess": post, "write": write}

    all_stages()  # warm up
    keep(f"seconds an image of {SIZE} rows by stage", **all_stages())


def run(folder: Path, output: Path) -> tuple[float, float]:
    """Seconds and peak memory in MiB, of all processes, of `multimix predict` on a folder."""
    command = [sys.executable, "-m", "multimix_monai.apps.cli", "predict", str(folder)]
    start, peak = time.perf_counter(), 0.0
    process = subprocess.Popen([*command, "--output", str(output)], stdout=subprocess.DEVNULL)
    while process.poll() is None:
        peak = max(peak, sum(memory_mib(pid) for pid in family(process.pid)))
        time.sleep(0.2)
    assert process.returncode == 0
    return time.perf_counter() - start, peak


def family(pid: int) -> Iterator[int]:
    """A process and all below it."""
    yield pid
    try:
        for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            yield from family(int(child))
    except OSError:  # it has ended
        pass


def memory_mib(pid: int) -> float:
    """Resident memory of a process; what two processes share counts for both."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS:")), 0)


def test_images_a_second(tmp_path: Path) -> None:
    folder = radiographs(tmp_path / "in", size=SIZE, count=CASES)
    seconds, peak = run(folder, tmp_path / "out")
    keep(f"{CASES} images of {SIZE} rows", images_a_second=CASES / seconds, peak_mib=peak)


def test_memory_does_not_grow_with_the_number_of_images(tmp_path: Path) -> None:
    peaks = {}
    for count in (CASES, MANY):
        folder = radiographs(tmp_path / f"in{count}", size=SMALL, count=count)
        peaks[count] = run(folder, tmp_path / f"out{count}")[1]
    keep("peak memory in MiB", **{f"{count} images": peak for count, peak in peaks.items()})
    assert peaks[MANY] == pytest.approx(peaks[CASES], rel=MEMORY_TOLERANCE)


def test_help_starts_at_once() -> None:
    command = [sys.executable, "-m", "multimix_monai.apps.cli", "--help"]

    def start() -> None:
        subprocess.run(command, check=True, capture_output=True)

    seconds = min(clock(start, images=1)[0] for _ in range(5))
    keep("multimix --help", seconds=seconds)
    assert seconds < HELP_S
