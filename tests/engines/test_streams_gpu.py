"""Streams on a GPU: the same views as on a CPU, made where they are used and much faster."""

import time
from collections.abc import Callable
from typing import Any

import pytest
import torch

from multimix_monai.engines import StepLoader, StepSampler, StreamDataset
from multimix_monai.transforms import RandIntensityd, StrongView, TwoViewsd, labelled_view

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device"),
]
DEVICE = "cuda:0"
SIDE = 256
Views = dict[str, Any]


def read(case: dict) -> dict:
    """A smooth picture of its own for each case, (1, S, S) in [0, 1], and a mask of it."""
    generator = torch.Generator().manual_seed(int(case["image"]))
    coarse = torch.rand(1, 1, 8, 8, generator=generator)
    image = torch.nn.functional.interpolate(coarse, size=(SIDE, SIDE), mode="bilinear")[0]
    return {**case, "image": image, "mask": (image > 0.5).float()}


def views(*, noise: float) -> Views:
    """Those of the bundle, with every operation."""
    labelled = labelled_view(intensity=RandIntensityd(prob=0.5, noise=noise))
    return {
        "mask_labelled": labelled,
        "mask_unlabelled": TwoViewsd(geometric=False),
        "label_labelled": labelled,
        "label_unlabelled": TwoViewsd(strong=StrongView(num_ops=3)),
    }


def streams(device: str, *, batch: int, noise: float = 0.0) -> StreamDataset:
    names = ("mask_labelled", "mask_unlabelled", "label_labelled", "label_unlabelled")
    annotated = [{"image": str(n), "mask": ["m"], "label": n % 2} for n in range(2 * batch)]
    bare = [{"image": str(n)} for n in range(2 * batch, 4 * batch)]
    return StreamDataset(
        annotated + bare,
        read,
        views(noise=noise),
        dict.fromkeys(names, batch),
        device=device,
    )


def test_views_on_a_gpu_are_those_on_a_cpu() -> None:
    """But for rounding, which takes a pixel in a thousand over a step of grey or a mask's edge."""
    here, there = (streams(device, batch=32) for device in ("cpu", DEVICE))
    for step in range(4):
        for name, expected in here[step].items():
            for key, values in there[step][name].items():
                assert values.device == torch.device(DEVICE)
                different = (values.cpu() - expected[key]).abs() > 1e-3
                assert different.float().mean() < 1e-3, (name, key)


def test_noise_on_a_gpu_repeats_itself() -> None:
    first, second = (streams(DEVICE, batch=8, noise=0.05)[3] for _ in range(2))
    for name, expected in first.items():
        for key, values in second[name].items():
            assert torch.equal(values, expected[key]), (name, key)


def test_workers_beside_a_gpu_make_views_on_the_cpu() -> None:
    torch.ones(1, device=DEVICE)  # a forked process can use no GPU from now on
    loader = StepLoader(
        streams(DEVICE, batch=2),
        batch_size=None,
        sampler=StepSampler(steps_per_epoch=2),
        num_workers=1,
    )
    assert all(not v.is_cuda for step in loader for x in step.values() for v in x.values())


def seconds(work: Callable[[], Any], *, count: int) -> float:
    """Of one call, on a GPU too."""
    work()
    torch.cuda.synchronize()
    start = time.perf_counter()
    for _ in range(count):
        work()
    torch.cuda.synchronize()
    return (time.perf_counter() - start) / count


def test_a_gpu_makes_views_several_times_as_fast_as_a_cpu(
    record_property: Callable[[str, object], None],
) -> None:
    batch = 128
    here, there = (streams(device, batch=batch, noise=0.04) for device in ("cpu", DEVICE))
    on_cpu = seconds(lambda: here[0], count=1)
    on_gpu = seconds(lambda: there[0], count=20)
    record_property("images_a_second", 4 * batch / on_gpu)
    assert on_gpu < on_cpu / 5
