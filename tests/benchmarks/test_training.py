"""How long a step of training takes, and whether loading and augmentation keep up with it."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from multimix_monai.engines import supports_bf16
from tests.benchmarks.conftest import Effort
from tests.benchmarks.ours import (
    config_of,
    drawn_batch,
    drawn_dataset,
    epoch,
    even,
    step_on,
    trainer_on,
)
from tests.benchmarks.published import PublishedStep
from tests.benchmarks.report import Comparison, keep_figures
from tests.benchmarks.rivals import RIVALS, SupervisedStep, rival
from tests.benchmarks.timing import compare, race
from tests.benchmarks.work import Ceilings, keep_shares, published_step_cost, step_cost

PUBLISHED, LEAN = "published fp32", "published fp32, no masks of classified images"
FAST_BF16, FAST_FP32 = 1 / 6, 1 / 3
KEEPS_UP = 1 / 0.9
FEWER = 3  # rounds of what has no aim
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
ONCE_AN_EPOCH = ("multimix_monai.handlers.Validation", "multimix_monai.handlers.Checkpoints")


def test_a_step_against_the_published_one(effort: Effort) -> None:
    batch = drawn_batch(sizes=even(effort.batch), size=effort.size)
    published, lean = PublishedStep(), PublishedStep(all_masks=False)
    results = race(
        f"training step, {effort.batch} a stream, {effort.size} px",
        {
            PUBLISHED: lambda: published(batch),
            LEAN: lambda: lean(batch),
            "paper fp32": step_on(batch, recipe="paper", amp=False),
            "paper bf16": step_on(batch, recipe="paper", amp=True),
            "default fp32": step_on(batch, recipe="default", amp=False),
            "default bf16": step_on(batch, recipe="default", amp=True),
        },
        versus={
            ("paper fp32", PUBLISHED): FAST_FP32,
            ("paper bf16", PUBLISHED): FAST_BF16,
            ("default fp32", PUBLISHED): None,
            ("default bf16", PUBLISHED): None,
            ("paper fp32", LEAN): None,
            ("paper bf16", LEAN): None,
        },
        pairs=effort.pairs,
    )
    assert results["paper fp32", PUBLISHED].ratio < 1
    keep_all_shares(results, effort)


def keep_all_shares(results: dict[tuple[str, str], Comparison], effort: Effort) -> None:
    """How much of the ceilings each step of a race reached."""
    size, batch = effort.size, effort.batch
    seconds = {ours: result.ours_s for (ours, _), result in results.items()}
    costs = {
        f"{recipe} {dtype}": step_cost(size, sizes=even(batch), recipe=recipe)
        for recipe in ("paper", "default")
        for dtype in DTYPES
    }
    seconds[PUBLISHED] = results["paper fp32", PUBLISHED].other_s
    costs[PUBLISHED] = published_step_cost(size, batch=batch)
    ceilings = {d: Ceilings.measured(kind, quick=effort.quick) for d, kind in DTYPES.items()}
    for way, cost in costs.items():
        dtype = way.split()[1]
        share = keep_shares(
            f"training step, {way}, {batch} a stream, {size} px",
            seconds[way],
            cost=cost,
            dtype=DTYPES[dtype],
            ceilings=ceilings[dtype],
        )
        assert effort.quick or 0 < share < 1


def test_a_step_against_supervised_ones_of_networks_that_only_segment(effort: Effort) -> None:
    """They learn from as many masks as ours decodes, and from no other image."""
    sizes = even(effort.batch)
    ours = step_on(drawn_batch(sizes=sizes, size=effort.size), recipe="default", amp=True)
    masks = drawn_batch(sizes={"mask_labelled": 2 * effort.batch}, size=effort.size)
    images, truths = (masks["mask_labelled"][key] for key in ("image", "mask"))
    ways: dict[str, Any] = {}
    for name in RIVALS:
        for dtype in DTYPES:
            step = SupervisedStep(rival(name), autocast=dtype == "bf16")
            ways[f"{name} {dtype}"] = lambda step=step: step(images, truths)
    count = 4 * effort.batch
    race(
        f"step, default bf16 on {count} images against supervised on {len(images)}, "
        f"{effort.size} px",
        {"default bf16": ours, **ways},
        versus={("default bf16", name): None for name in ways},
        pairs=min(effort.pairs, FEWER),
    )


@pytest.fixture(scope="module")
def drawn(effort: Effort, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Overrides that train on a drawn dataset."""
    folder = tmp_path_factory.mktemp("drawn")
    return drawn_dataset(folder, cases=12 if effort.quick else 60, size=512)


@pytest.mark.parametrize("cache_gib", [None, 0.0], ids=["cached", "decoded_anew"])
def test_the_whole_loop_against_the_step_alone(
    effort: Effort, drawn: dict[str, Any], cache_gib: float | None
) -> None:
    """Settings are those of train.json; what it does once an epoch is left out."""
    steps = effort.pick((20 if cache_gib is None else 10,), (3,))[0]
    settings = {**drawn, "steps_per_epoch": steps, "max_epochs": 1, "schedule_epochs": 1000}
    settings |= {"show_bar": False, "device": "$torch.device('cpu')"}
    if effort.quick:
        settings |= {"image_size": effort.size, "batch_sizes": even(effort.batch)}
    if cache_gib is not None:
        settings["cache_gib"] = cache_gib
    parser = config_of("default", settings)
    handlers = parser.get("train#handlers")
    parser["train#handlers"] = [h for h in handlers if h["_target_"] not in ONCE_AN_EPOCH]
    parser.get_parsed_content("initialize")
    whole = parser.get_parsed_content("train#trainer")
    batch = parser.get_parsed_content("train#dataset")[0]
    alone = trainer_on([batch] * steps, recipe="default", amp=supports_bf16("cpu"), device="cpu")
    images = steps * sum(parser.get_parsed_content("batch_sizes").values())
    kind = "cached" if cache_gib is None else "every file decoded at every step"
    result = compare(
        f"{steps} steps of train.json, {parser.get('image_size')} px, images {kind}",
        ("whole loop", lambda: epoch(whole)),
        ("batch already there", lambda: epoch(alone)),
        pairs=effort.pairs if cache_gib is None else min(effort.pairs, FEWER),
        aim=KEEPS_UP if cache_gib is None else None,
    )
    keep_figures(
        f"images a second in training, {parser.get('image_size')} px, images {kind}",
        whole_loop=images / result.ours_s,
        step_alone=images / result.other_s,
    )
