"""Streams: every case once a turn, and a step's content follows from seed and step alone."""

import logging
import time
from collections import Counter
from itertools import pairwise
from typing import Any

import pytest
import torch
from monai.transforms import Randomizable, Transform
from torch import Tensor
from torch.utils.data import Dataset

from multimix_monai.engines import StepLoader, StepSampler, StreamDataset
from multimix_monai.engines.streams import STREAMS, shuffled, split_streams

SIZES = {"mask_labelled": 3, "mask_unlabelled": 2, "label_labelled": 4, "label_unlabelled": 5}
OF_LABELLED = {"mask_labelled", "label_labelled"}


def case(number: int, **annotation: Any) -> dict:
    return {"image": str(number), "source": "a", **annotation}


def cases() -> list[dict]:
    """0..6 have masks, 0..9 and 20..24 labels, the others neither; of 30..34 labels are hidden."""
    with_mask = [case(n, mask=[f"{n}.png"], label=n % 2) for n in range(7)]
    with_label = [case(n, label=n % 2) for n in (7, 8, 9, 20, 21, 22, 23, 24)]
    with_nothing = [case(n, hidden_label=n % 2) for n in range(30, 35)]
    return with_mask + with_label + with_nothing + [case(n) for n in range(40, 43)]


def read(item: dict) -> dict:
    """Every pixel of an image is its case's number, every pixel of its mask a thousand more."""
    number = float(item["image"])
    masks = {"mask": torch.full((1, 4, 4), number + 1000)} if "mask" in item else {}
    return {**item, "image": torch.full((1, 4, 4), number), **masks}


def noisy(images: Tensor, random: Any) -> Tensor:
    """Adds up to a tenth to each image, so that its number can still be read."""
    added = random.uniform(0, 0.1, size=(len(images), 1, 1, 1))
    return images + torch.as_tensor(added, dtype=torch.float32)


class Noisy(Randomizable, Transform):
    def __call__(self, batch: dict) -> dict:
        return {**batch, "image": noisy(batch["image"], self.R)}


class TwoNoisy(Randomizable, Transform):
    def __call__(self, batch: dict) -> dict:
        image = batch.pop("image")
        weak, strong = (noisy(image, self.R) for _ in range(2))
        return {**batch, "image_weak": weak, "image_strong": strong}


def streams(data: list[dict] | None = None, **arguments: Any) -> StreamDataset:
    views = {name: Noisy() if name in OF_LABELLED else TwoNoisy() for name in STREAMS}
    settings = {"transform": read, "views": views, "batch_sizes": SIZES, **arguments}
    return StreamDataset(cases() if data is None else data, **settings)


def numbers(batch: dict[str, Tensor]) -> list[int]:
    images = batch["image"] if "image" in batch else batch["image_weak"]
    return [int(n) for n in images[:, 0, 0, 0]]


def flat(step: dict[str, dict[str, Tensor]]) -> list[Tensor]:
    return [value for batch in step.values() for value in batch.values()]


def same(a: dict, b: dict) -> bool:
    return all(torch.equal(x, y) for x, y in zip(flat(a), flat(b), strict=True))


@pytest.mark.parametrize("name", STREAMS)
def test_every_case_comes_once_a_turn_and_each_turn_in_another_order(name: str) -> None:
    dataset = streams()
    pool = sorted(int(c["image"]) for c in dataset.pools[name])
    steps = [numbers(dataset[step][name]) for step in range(4 * len(pool))]
    drawn = [n for step in steps for n in step]
    turns = [drawn[i : i + len(pool)] for i in range(0, len(drawn), len(pool))]
    assert len(turns) >= 4
    assert all(sorted(turn) == pool for turn in turns)
    assert all(a != b for a, b in pairwise(turns))
    assert all(len(step) == SIZES[name] for step in steps)


def test_a_step_depends_on_seed_and_step_alone() -> None:
    used, fresh = streams(seed=3), streams(seed=3)
    for step in (4, 0, 11):
        used[step]
    assert same(used[7], fresh[7])
    assert not same(used[7], used[8])
    assert not same(streams(seed=4)[7], fresh[7])


def test_streams_of_the_same_cases_are_shuffled_apart() -> None:
    orders = [shuffled(50, seed=0, stream=s, turn=t) for s in (0, 1) for t in (0, 1)]
    assert len(set(orders)) == 4
    assert all(sorted(order) == list(range(50)) for order in orders)
    shuffled.cache_clear()
    assert shuffled(50, seed=0, stream=0, turn=0) == orders[0]


@pytest.mark.slow
def test_any_number_of_workers_gives_the_same_steps() -> None:
    def steps(num_workers: int) -> list[dict]:
        sampler = StepSampler(steps_per_epoch=6)
        loader = StepLoader(streams(), batch_size=None, sampler=sampler, num_workers=num_workers)
        return list(loader)

    alone = [streams()[step] for step in range(6)]
    for num_workers in (0, 1, 2):
        together = steps(num_workers)
        assert len(together) == 6
        assert all(same(a, b) for a, b in zip(alone, together, strict=True))


def test_the_next_step_is_made_while_one_is_worked_on() -> None:
    made: list[int] = []

    class Steps(Dataset):
        def __getitem__(self, step: int) -> int:
            made.append(step)
            return step

    batches = iter(StepLoader(Steps(), batch_size=None, sampler=StepSampler(steps_per_epoch=3)))
    next(batches)
    deadline = time.monotonic() + 10
    while len(made) < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert made == [0, 1]


def test_what_goes_wrong_in_making_a_step_is_raised() -> None:
    class Broken(Dataset):
        def __getitem__(self, step: int) -> int:
            raise ValueError("no step")

    loader = StepLoader(Broken(), batch_size=None, sampler=StepSampler(steps_per_epoch=3))
    with pytest.raises(ValueError, match="no step"):
        list(loader)


def test_the_weak_and_the_strong_view_are_of_one_case_and_differ() -> None:
    dataset = streams()
    for name in ("mask_unlabelled", "label_unlabelled"):
        batch = dataset[2][name]
        weak, strong = batch["image_weak"], batch["image_strong"]
        assert torch.equal(weak.floor(), strong.floor())
        assert (weak != strong).all()


def test_a_case_is_augmented_anew_in_every_turn() -> None:
    dataset = streams([case(5, label=1)], batch_sizes={**SIZES, "label_labelled": 1})
    drawn = [float(dataset[step]["label_labelled"]["image"][0, 0, 0, 0]) for step in range(20)]
    assert len(set(drawn)) == 20


def test_images_masks_and_labels_of_a_case_stay_together() -> None:
    dataset = streams()
    for step in range(5):
        batch = dataset[step]
        masks = batch["mask_labelled"]
        assert [int(m) - 1000 for m in masks["mask"][:, 0, 0, 0]] == numbers(masks)
        labels = batch["label_labelled"]
        assert labels["label"].tolist() == [n % 2 for n in numbers(labels)]
        assert labels["label"].dtype == torch.int64
        hidden = batch["label_unlabelled"]
        expected = [n % 2 if n < 40 else -1 for n in numbers(hidden)]
        assert hidden["hidden_label"].tolist() == expected
        assert set(hidden["label"].tolist()) == {-1}


def test_masks_of_some_cases_do_not_disturb_a_stream_that_needs_none() -> None:
    dataset = streams()  # of the labelled cases, 0..6 have a mask and the others have none
    for step in range(8):
        batch = dataset[step]
        assert {name for name in batch if "mask" in batch[name]} == {"mask_labelled"}


def unreadable(*broken: str, error: type[Exception]) -> Any:
    def transform(item: dict) -> dict:
        if item["image"] in broken:
            raise error(f"{item['image']}.png: cut short")
        return read(item)

    return transform


@pytest.mark.parametrize("error", [ValueError, OSError])
def test_an_unreadable_image_is_named_once_and_replaced(
    error: type[Exception], caplog: pytest.LogCaptureFixture
) -> None:
    dataset = streams(transform=unreadable("2", "5", error=error))
    with caplog.at_level(logging.ERROR):
        steps = [dataset[step] for step in range(14)]
    drawn = Counter(n for step in steps for n in numbers(step["mask_labelled"]))
    assert set(drawn) == {0, 1, 3, 4, 6} and sum(drawn.values()) == 42
    messages = [record.getMessage() for record in caplog.records]
    assert sorted(messages) == [f"left out of training: {n}.png: cut short" for n in (2, 5)]


def test_a_stream_of_unreadable_images_ends_training() -> None:
    dataset = streams(transform=unreadable(*map(str, range(7)), error=OSError))
    with pytest.raises(ValueError, match="none of the 7 images of stream mask_labelled can be"):
        dataset[0]


def test_a_defect_of_the_code_is_not_taken_for_an_unreadable_image() -> None:
    with pytest.raises(ZeroDivisionError):
        streams(transform=unreadable(*map(str, range(7)), error=ZeroDivisionError))[0]


@pytest.mark.parametrize(
    ("kept", "sizes", "left", "why"),
    [
        (lambda c: "mask" not in c, {}, {"label_labelled", "label_unlabelled"}, "no such cases"),
        (
            lambda c: "label" not in c or "mask" in c,
            {"label_labelled": 0},
            {"mask_labelled", "mask_unlabelled"},
            "label_unlabelled: of no use without label_labelled",
        ),
        (
            lambda c: "mask" in c,
            {},
            {"mask_labelled", "label_labelled"},
            "mask_unlabelled: no such cases",
        ),
        (
            lambda c: True,
            {"mask_unlabelled": 0},
            {"mask_labelled", "label_labelled", "label_unlabelled"},
            "mask_unlabelled: switched off",
        ),
    ],
)
def test_a_stream_without_cases_is_left_out_and_the_log_says_so(
    kept: Any, sizes: dict, left: set[str], why: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        dataset = streams([c for c in cases() if kept(c)], batch_sizes=SIZES | sizes)
    assert set(dataset[0]) == left
    warnings = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert len(warnings) == 4 - len(left)
    assert any(why in message for message in warnings)


def test_without_labels_at_all_the_masks_are_trained() -> None:
    data = [{k: v for k, v in c.items() if k != "label"} for c in cases()]
    assert set(streams(data)[0]) == {"mask_labelled", "mask_unlabelled"}


def test_nothing_annotated_is_refused() -> None:
    with pytest.raises(ValueError, match="none of 3 training cases has a mask or a label"):
        streams([case(n) for n in range(3)])
    with pytest.raises(ValueError, match="set mask_labelled or label_labelled to 1 or more"):
        streams(batch_sizes={**SIZES, "mask_labelled": 0, "label_labelled": 0})


def test_an_unlabelled_stream_prefers_the_source_of_the_labelled_one() -> None:
    data = [
        {"image": "1", "source": "a", "mask": ["m"]},
        {"image": "2", "source": "a"},
        {"image": "3", "source": "b", "label": 0},
        {"image": "4", "source": "b"},
    ]

    def images(pool: str) -> dict[str, list[str]]:
        pools = split_streams(data, unlabelled_pool=pool)
        return {name: [c["image"] for c in pools[name]] for name in STREAMS}

    assert images("same_source") == {
        "mask_labelled": ["1"],
        "mask_unlabelled": ["2"],
        "label_labelled": ["3"],
        "label_unlabelled": ["4"],
    }
    assert images("all")["mask_unlabelled"] == ["2", "3", "4"]
    assert images("all")["label_unlabelled"] == ["1", "2", "4"]


def test_bare_sources_serve_and_sources_annotated_for_the_other_task_do_not() -> None:
    data = [
        {"image": "1", "source": "a", "mask": ["m"]},
        {"image": "2", "source": "b", "label": 0},
        {"image": "3", "source": "b"},
        {"image": "4", "source": "bare"},
    ]
    pools = split_streams(data, unlabelled_pool="same_source")
    assert [c["image"] for c in pools["mask_unlabelled"]] == ["4"]
    assert [c["image"] for c in pools["label_unlabelled"]] == ["3", "4"]
    del data[3], data[2]
    assert not split_streams(data, unlabelled_pool="same_source")["mask_unlabelled"]


def test_an_unknown_pool_is_refused() -> None:
    with pytest.raises(ValueError, match=r"'other': use one of \('same_source', 'all'\)"):
        split_streams(cases(), unlabelled_pool="other")


def reads(cache_gib: float) -> int:
    """How often cases are read in four times the same step."""
    count = Counter()

    def transform(item: dict) -> dict:
        count["reads"] += 1
        return read(item)

    dataset = streams(transform=transform, cache_gib=cache_gib)
    first = dataset[0]
    for _ in range(3):
        assert same(dataset[0], first)
    return count["reads"]


def test_preprocessed_cases_are_kept_as_far_as_memory_goes() -> None:
    batch = sum(SIZES.values())
    assert reads(1.0) <= batch
    assert reads(0.0) == 4 * batch
    one_image = 4 * 4 * 4 / 2**30
    assert reads(1.0) < reads(3 * one_image) < 4 * batch


def test_a_mask_counts_in_the_memory_for_cases() -> None:
    one_image = 4 * 4 * 4 / 2**30
    data = [case(n, mask=["m"]) for n in range(6)]
    dataset = streams(data, cache_gib=5 * one_image)
    for step in range(4):
        dataset[step]
    assert len(dataset.cache) == 2


def test_what_is_kept_is_left_as_it_is_by_the_views() -> None:
    dataset = streams()
    for step in range(3):
        dataset[step]
    assert all(float(item["image"].unique()) == int(name) for name, item in dataset.cache.items())


def test_a_worker_makes_its_views_on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = streams(device="cuda:0")
    assert dataset.device == torch.device("cuda:0")
    monkeypatch.setattr("multimix_monai.engines.streams.get_worker_info", lambda: "a worker")
    assert dataset.device == torch.device("cpu")
    assert dataset[0]["mask_labelled"]["mask"].device == torch.device("cpu")


def test_an_epoch_is_the_next_so_many_steps() -> None:
    sampler = StepSampler(steps_per_epoch=5)
    assert len(sampler) == 5
    assert list(sampler) == [0, 1, 2, 3, 4]
    sampler.set_epoch(1)
    assert list(sampler) == [0, 1, 2, 3, 4]
    sampler.set_epoch(3)
    assert list(sampler) == [10, 11, 12, 13, 14]


def test_two_processes_share_no_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 2)
    drawn: list[int] = []
    for rank in (0, 1):
        monkeypatch.setattr(torch.distributed, "get_rank", lambda rank=rank: rank)
        sampler = StepSampler(steps_per_epoch=5)
        for epoch in (1, 2, 3):
            sampler.set_epoch(epoch)
            assert len(list(sampler)) == 5
            drawn += list(sampler)
    assert sorted(drawn) == list(range(30))
