"""How time grows with the image's side, the batch, and unlabelled images for each labelled one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import pytest
import torch

from tests.benchmarks.conftest import Effort
from tests.benchmarks.ours import drawn_batch, even, prediction, step_on
from tests.benchmarks.published import PublishedMultiMix, PublishedStep
from tests.benchmarks.report import keep_figures
from tests.benchmarks.timing import Work, growth, median_seconds

REPEATS = 3
LARGEST_EXPONENT = 1.5  # 1 is in proportion to what there is to do
PLOT = Path("benchmarks.png")
Curves = dict[str, dict[float, float]]  # what -> amount -> seconds

SIZES = (128, 192, 256, 384, 512, 768, 1024)
BATCHES = (1, 2, 4, 8, 16, 32, 64)
RATIOS = (0, 1, 2, 4, 7)
LABELLED = 2


def measured(works: Mapping[str, Callable[[int], Work]], amounts: Sequence[int]) -> Curves:
    """Seconds of every kind of work at every amount."""
    return {
        name: {a: median_seconds(make(a), count=REPEATS) for a in amounts}
        for name, make in works.items()
    }


def keep_curves(what: str, curves: Curves, *, amount: Callable[[float], float]) -> None:
    """Note the seconds and the exponent of growth; amount: what the time is fitted against."""
    for name, points in curves.items():
        exponent = growth([amount(a) for a in points], list(points.values()))
        seconds = {f"at_{a}_s": value for a, value in points.items()}
        keep_figures(f"growth with {what}: {name}", exponent=exponent, **seconds)
        assert exponent < LARGEST_EXPONENT


def step(sizes: dict[str, int], *, size: int, amp: bool) -> Work:
    """One of the default recipe."""
    return step_on(drawn_batch(sizes=sizes, size=size), recipe="default", amp=amp)


def published_step(sizes: dict[str, int], *, size: int) -> Work:
    """One as published."""
    published, batch = PublishedStep(), drawn_batch(sizes=sizes, size=size)
    return lambda: published(batch)


def inference(size: int, *, batch: int, autocast: bool = False) -> Work:
    """Ours."""
    predict, images = prediction(autocast=autocast), torch.rand(batch, 1, size, size)
    return lambda: predict(images)


def published_inference(size: int, *, batch: int) -> Work:
    """As published."""
    network, images = PublishedMultiMix().eval(), torch.rand(batch, 1, size, size)
    return lambda: network(images)


@pytest.fixture(scope="module")
def plot() -> Iterator[dict[str, Curves]]:
    """Curves by what they grow with; what is in it at the end is drawn."""
    import matplotlib

    matplotlib.use("Agg")
    curves: dict[str, Curves] = {}
    yield curves
    if curves:
        draw(curves)


def draw(plots: dict[str, Curves]) -> None:
    """benchmarks.png: one panel for each of the amounts, both axes logarithmic."""
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, len(plots), figsize=(5 * len(plots), 4), squeeze=False)
    for axis, (what, curves) in zip(axes[0], plots.items(), strict=True):
        for name, points in curves.items():
            axis.plot(list(points), list(points.values()), marker="o", label=name)
        axis.set(xlabel=what, ylabel="seconds", yscale="log")
        axis.set_xscale("symlog" if 0 in next(iter(curves.values())) else "log")
        axis.legend(fontsize="small")
    figure.tight_layout()
    figure.savefig(PLOT, dpi=100)
    pyplot.close(figure)


def test_time_by_side(effort: Effort, plot: dict[str, Curves]) -> None:
    """The exponent is that of the number of pixels: 1 is in proportion."""
    sizes = effort.pick(SIZES, (64, 96, 128))
    curves = measured(
        {
            "step default bf16, 1 a stream": lambda s: step(even(1), size=s, amp=True),
            "inference fp32, 1 image": lambda s: inference(s, batch=1),
            "inference bf16, 1 image": lambda s: inference(s, batch=1, autocast=True),
            "published inference fp32, 1 image": lambda s: published_inference(s, batch=1),
        },
        sizes,
    )
    keep_curves("side in pixels", curves, amount=lambda side: side**2)
    plot["side in pixels"] = curves


def test_time_by_batch(effort: Effort, plot: dict[str, Curves]) -> None:
    batches, size = effort.pick(BATCHES, (1, 2, 4)), effort.pick((128,), (64,))[0]
    curves = measured(
        {
            "inference fp32": lambda b: inference(size, batch=b),
            "inference bf16": lambda b: inference(size, batch=b, autocast=True),
            "published inference fp32": lambda b: published_inference(size, batch=b),
        },
        batches,
    )
    steps = measured(
        {
            "step default bf16, so many a stream": lambda b: step(even(b), size=size, amp=True),
            "published step fp32, so many a stream": lambda b: published_step(even(b), size=size),
        },
        [b for b in batches if b <= 16],
    )
    keep_curves(f"batch at {size} px", curves | steps, amount=lambda batch: batch)
    plot[f"batch at {size} px"] = curves | steps


def test_time_by_unlabelled_images_for_each_labelled_one(
    effort: Effort, plot: dict[str, Curves]
) -> None:
    """The exponent is that of all images of a step."""
    ratios, size = effort.pick(RATIOS, (0, 1, 2)), effort.pick((128,), (64,))[0]

    def sizes(ratio: int) -> dict[str, int]:
        tasks = ("mask", "label")
        labelled = {f"{task}_labelled": LABELLED for task in tasks}
        return labelled | {f"{task}_unlabelled": LABELLED * ratio for task in tasks}

    curves = measured(
        {
            "step default fp32": lambda r: step(sizes(r), size=size, amp=False),
            "step default bf16": lambda r: step(sizes(r), size=size, amp=True),
        },
        ratios,
    )
    curves |= measured(
        {"published step fp32": lambda r: published_step(sizes(r), size=size)},
        [r for r in ratios if r],
    )
    what = f"unlabelled for each labelled, at {size} px"
    keep_curves(what, curves, amount=lambda ratio: 1 + ratio)
    plot[what] = curves
