"""Benchmarks, run as a program of its own: how much memory grows by one piece of work.

    python -m tests.benchmarks.peak_memory CASE SIZE BATCH

prints MiB. A step of training has BATCH images a stream; nothing ran before in the process.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import torch

from tests.benchmarks.ours import drawn_batch, even, forward_of, prediction, step_on
from tests.benchmarks.published import PublishedMultiMix, PublishedStep
from tests.benchmarks.rivals import PlainUNet
from tests.benchmarks.timing import Work

SMALL = 64
REPEATS = 2  # the second finds gradients and the optimiser's state there


def ours(recipe: str, *, amp: bool, size: int, batch: int) -> Work:
    """A step of a recipe."""
    return step_on(drawn_batch(sizes=even(batch), size=size), recipe=recipe, amp=amp)


def published_step(size: int, batch: int) -> Work:
    """A published step."""
    step, images = PublishedStep(), drawn_batch(sizes=even(batch), size=size)
    return lambda: step(images)


def predicting(forward: Callable[[torch.Tensor], object], *, size: int, batch: int) -> Work:
    """A prediction of a batch."""
    images = torch.rand(batch, 1, size, size)
    return lambda: forward(images)


def plain_unet(size: int, batch: int) -> Work:
    """A plain U-Net's prediction."""
    return predicting(forward_of(PlainUNet()), size=size, batch=batch)


CASES: dict[str, Callable[[int, int], Work]] = {
    "step published fp32": published_step,
    "step paper fp32": lambda s, b: ours("paper", amp=False, size=s, batch=b),
    "step paper bf16": lambda s, b: ours("paper", amp=True, size=s, batch=b),
    "step default fp32": lambda s, b: ours("default", amp=False, size=s, batch=b),
    "step default bf16": lambda s, b: ours("default", amp=True, size=s, batch=b),
    "inference published fp32": lambda s, b: predicting(
        PublishedMultiMix().eval(), size=s, batch=b
    ),
    "inference with saliency fp32": lambda s, b: predicting(prediction(), size=s, batch=b),
    "inference with saliency bf16": lambda s, b: predicting(
        prediction(autocast=True), size=s, batch=b
    ),
    "inference plain U-Net fp32": plain_unet,
}


def status_mib(name: str) -> float:
    """Of this process: VmRSS, what is resident now, or VmHWM, the most that was."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name):
            return int(line.split()[1]) / 1024
    raise ValueError(f"{name} is not in /proc/self/status: this needs Linux")


def grown_mib(make: Callable[[int, int], Work], *, size: int, batch: int) -> float:
    """By how much the most exceeds what is resident before; what compiles has done so before."""
    make(SMALL, 2)()
    work = make(size, batch)
    Path("/proc/self/clear_refs").write_text("5")  # the most is now what is resident, see proc(5)
    before = status_mib("VmRSS")
    for _ in range(REPEATS):
        work()
    return status_mib("VmHWM") - before


if __name__ == "__main__":
    case, size, batch = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    torch.manual_seed(0)
    sys.stdout.write(f"{grown_mib(CASES[case], size=size, batch=batch):.1f}\n")
