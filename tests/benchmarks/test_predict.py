"""What a prediction costs: each stage of an image, a batch of images, memory, and the start."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from tests.benchmarks.conftest import Effort
from tests.benchmarks.machine import clock, cores
from tests.benchmarks.predicting import Run, predict, radiographs
from tests.benchmarks.report import keep_comparison, keep_figures
from tests.benchmarks.timing import comparison

LARGE, MIDDLE, SMALL = 2400, 512, 256  # rows; the first of a radiograph of 5 megapixels
MEMORY_TOLERANCE = 0.10
HELP_S = 0.5
AIM = 1.3  # predict less its start-up, against decoding and forward alone
DECODE = "decode and forward alone"
NO_CHECKS = ("--set", "checks=[]", "--set", "quality_rules=null")


@pytest.mark.parametrize(("kind", "size"), [("dcm", LARGE), ("png", MIDDLE)])
def test_seconds_of_a_core_an_image_by_stage(tmp_path: Path, kind: str, size: int) -> None:
    from multimix_monai.apps.predict import parser_of
    from multimix_monai.data.inputs import find_cases
    from multimix_monai.transforms.load import read_radiograph

    torch.set_num_threads(1)
    cases = find_cases([radiographs(tmp_path / "in", size=size, count=8, kinds=(kind,))])
    settings = {"dataset#data": cases, "output_dir": str(tmp_path / "out"), "num_workers": 0}
    parser = parser_of(settings)
    evaluator, dataset = (parser.get_parsed_content(key) for key in ("evaluator", "dataset"))
    write = parser.get_parsed_content("handlers")[-1].folders
    n = len(cases)

    def timed(work: Callable[[Any], Any], given: Any) -> tuple[float, list[Any]]:
        start = time.process_time()
        done = [work(one) for one in given]
        return (time.process_time() - start) / n, done

    def all_stages() -> dict[str, float]:
        read, _ = timed(lambda case: read_radiograph(case["image"]), cases)
        both, items = timed(dataset.__getitem__, range(n))
        images = torch.stack([item["image"].as_tensor() for item in items])
        forward, _ = timed(evaluator._predict, [images])
        ask, found = timed(evaluator.ask, [items])
        post, done = timed(evaluator.postprocessing, found[0])
        written, rows = timed(write, done)
        assert [row["status"] for row in rows] == ["ok"] * n
        stages = {"read and decode": read, "preprocess": both - read, "forward": forward}
        rest = {"checks": ask - forward, "postprocess": post, "write": written}
        return stages | rest

    rounds = [all_stages() for _ in range(4)][1:]
    medians = {stage: float(np.median([each[stage] for each in rounds])) for stage in rounds[0]}
    keep_figures(f"seconds of a core an image of {size} rows by stage, {kind}", **medians)


def test_predict_against_decoding_and_forward_alone(tmp_path: Path, effort: Effort) -> None:
    """In turn: predict, its start-up, predict without checks, and what it cannot do without."""
    (count,) = effort.pick((200,), (24,))
    folder = radiographs(tmp_path / "in", size=MIDDLE, count=count, kinds=("png",))
    files = sorted(folder.iterdir())
    alone = forward_alone(count)
    cpu: dict[str, list[float]] = {"predict": [], DECODE: []}
    times: dict[str, list[float]] = {"predict": [], "predict without checks": [], DECODE: []}

    def run(inputs: Path, *options: str) -> Run:
        runs.append(len(runs))
        return predict(inputs, tmp_path / f"out{len(runs)}", *options)

    def decode_and_forward() -> None:
        for file in files:
            np.asarray(Image.open(file))
        alone()

    runs: list[int] = []
    for number in range(effort.pairs + 1):
        start_up = run(files[0])
        ours, unchecked = run(folder) - start_up, run(folder, *NO_CHECKS) - start_up
        before = time.process_time()
        other = clock(decode_and_forward)
        if not number:
            continue
        for name, seconds in zip(times, (ours.seconds, unchecked.seconds, other), strict=True):
            times[name].append(seconds)
        cpu["predict"].append(ours.cpu_s / count)
        cpu[DECODE].append((time.process_time() - before) / count)
    for name in ("predict", "predict without checks"):
        entry = f"{name}, {count} PNG of {MIDDLE} rows less start-up, {len(cores())} cores"
        keep_comparison(comparison(entry, name, DECODE, times=times, aim=AIM))
    keep_figures(
        f"seconds of a core an image, PNG of {MIDDLE} rows",
        **{name: float(np.median(values)) for name, values in cpu.items()},
        start_up_s=start_up.seconds,
    )


def forward_alone(count: int) -> Callable[[], None]:
    """The network over so many images of its own size, by batches and as predict runs it."""
    from multimix_monai.apps.predict import parser_of

    parser = parser_of({"dataset#data": []})
    network, inferer = (parser.get_parsed_content(key) for key in ("network", "inferer"))
    size, batch = (parser.get_parsed_content(key) for key in ("image_size", "batch_size"))
    images = torch.rand(count, 1, size, size)
    network.eval()

    def work() -> None:
        with torch.inference_mode():
            for part in images.split(batch):
                inferer(part, network)

    return work


def test_images_a_second(tmp_path: Path, effort: Effort) -> None:
    (count,) = effort.pick((500,), (20,))
    folder = radiographs(tmp_path / "in", size=LARGE, count=count, kinds=("dcm",))
    run = predict(folder, tmp_path / "out", watch=True)
    keep_figures(
        f"{count} DX images of {LARGE} rows, {len(cores())} cores",
        images_a_second=count / run.seconds,
        cpu_s_an_image=run.cpu_s / count,
        cores_busy=run.busy(len(cores())),
        peak_mib=run.peak_mib,
    )


def test_memory_does_not_grow_with_the_number_of_images(tmp_path: Path, effort: Effort) -> None:
    few, many = effort.pick((500, 5000), (60, 200))
    runs = {}
    for count in (few, many):
        folder = radiographs(tmp_path / f"in{count}", size=SMALL, count=count, kinds=("png", "dcm"))
        runs[count] = predict(folder, tmp_path / f"out{count}", watch=True)
    keep_figures(
        f"{many} PNG and DX images of {SMALL} rows, {len(cores())} cores",
        images_a_second=many / runs[many].seconds,
        cores_busy=runs[many].busy(len(cores())),
        peak_mib=runs[many].peak_mib,
        **{f"peak_mib_of_{few}": runs[few].peak_mib},
    )
    assert runs[many].peak_mib == pytest.approx(runs[few].peak_mib, rel=MEMORY_TOLERANCE)


def test_help_starts_at_once() -> None:
    command = [sys.executable, "-m", "multimix_monai.apps.cli", "--help"]
    seconds = min(
        clock(lambda: subprocess.run(command, check=True, capture_output=True)) for _ in range(5)
    )
    keep_figures("multimix --help", seconds=seconds)
    assert seconds < HELP_S
