"""What a GPU reaches: images a second in training and inference, memory, share of its ceilings."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from tests.benchmarks.conftest import Effort
from tests.benchmarks.machine import clock
from tests.benchmarks.ours import drawn_batch, even, prediction, step_on
from tests.benchmarks.report import keep_figures
from tests.benchmarks.timing import Work, median_seconds
from tests.benchmarks.work import Ceilings, Cost, inference_cost, keep_shares, step_cost

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device"),
]
DEVICE = "cuda:0"
DTYPE = torch.bfloat16
CALLS = 10  # timed together, so that the processor may run ahead of the device
AIM = 10_000  # images a second in training, on an H200


def seconds(work: Work, *, count: int) -> float:
    """Of one call among several that follow each other."""

    def calls() -> None:
        for _ in range(CALLS):
            work()

    return median_seconds(calls, count=count) / CALLS


def keep(
    name: str, work: Work, *, images: int, cost: Cost, effort: Effort, ceilings: Ceilings
) -> float:
    """Note images a second, memory, and the shares of both ceilings; images a second returned."""
    first = clock(work)
    torch.cuda.reset_peak_memory_stats()
    taken = seconds(work, count=effort.pairs)
    rate = images / taken
    keep_figures(
        name,
        images_a_second=rate,
        first_call_s=first,
        peak_memory_mib=torch.cuda.max_memory_allocated() / 2**20,
    )
    share = keep_shares(name, taken, cost=cost, dtype=DTYPE, ceilings=ceilings)
    assert 0 < share < 1
    return rate


@pytest.fixture(scope="module")
def ceilings(effort: Effort) -> Ceilings:
    """Of the device in bf16."""
    return Ceilings.measured(DTYPE, quick=effort.quick, device=DEVICE)


@pytest.mark.parametrize("recipe", ["paper", "default"])
def test_training_on_a_gpu(effort: Effort, recipe: str, ceilings: Ceilings) -> None:
    """Images are those drawn for a step, each counted once, however many views it gives."""
    rates = {}
    for batch in effort.pick((10, 32, 64, 128), (2, 4)):
        images = drawn_batch(sizes=even(batch), size=effort.size)
        there = {stream: {k: v.to(DEVICE) for k, v in x.items()} for stream, x in images.items()}
        rates[batch] = keep(
            f"GPU, training step, {recipe} bf16, {batch} a stream, {effort.size} px",
            step_on(there, recipe=recipe, amp=True, device=DEVICE),
            images=4 * batch,
            cost=step_cost(effort.size, sizes=even(batch), recipe=recipe),
            effort=effort,
            ceilings=ceilings,
        )
        torch.cuda.empty_cache()
    best = max(rates.values())
    keep_figures(f"GPU, training, {recipe} bf16, best", images_a_second=best, aim=AIM)
    assert best > rates[min(rates)] / 2


def predicting(batch: int, *, size: int, autocast: bool) -> Callable[[], torch.Tensor]:
    """Inference of a batch that is on the device."""
    predict = prediction(device=DEVICE, autocast=autocast)
    images = torch.rand(batch, 1, size, size, device=DEVICE)
    return lambda: predict(images)


@pytest.mark.parametrize("batch", [1, 32, 256])
def test_inference_on_a_gpu(effort: Effort, batch: int, ceilings: Ceilings) -> None:
    count = min(batch, 4) if effort.quick else batch
    keep(
        f"GPU, inference bf16, batch {count}, {effort.size} px",
        predicting(count, size=effort.size, autocast=True),
        images=count,
        cost=count * inference_cost(effort.size),
        effort=effort,
        ceilings=ceilings,
    )


def test_inference_in_fp32_on_a_gpu(effort: Effort) -> None:
    count = effort.pick((32,), (4,))[0]
    work = predicting(count, size=effort.size, autocast=False)
    taken = seconds(work, count=effort.pairs)
    keep_figures(
        f"GPU, inference fp32, batch {count}, {effort.size} px", images_a_second=count / taken
    )
    assert torch.isfinite(work()).all()
