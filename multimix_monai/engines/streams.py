"""Engines, first stop: four endless streams of cases, one batch of each a step.

What a step holds depends on the seed and the step's number alone, not on what was drawn before: a
resumed run goes on with the very cases, order and augmentations of an uninterrupted one, with any
number of workers. (A GPU's noise and rounding are its own: it and a CPU differ in those.)
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, get_worker_info
from torch.utils.data.distributed import DistributedSampler

from multimix_monai.data.keys import Keys
from multimix_monai.transforms.batch import beside

logger = logging.getLogger(__name__)

MASK_LABELLED = "mask_labelled"  # S_l
MASK_UNLABELLED = "mask_unlabelled"  # S_u
LABEL_LABELLED = "label_labelled"  # C_l
LABEL_UNLABELLED = "label_unlabelled"  # C_u
STREAMS = (MASK_LABELLED, MASK_UNLABELLED, LABEL_LABELLED, LABEL_UNLABELLED)
ANNOTATED = {MASK_UNLABELLED: MASK_LABELLED, LABEL_UNLABELLED: LABEL_LABELLED}  # what each needs
POOLS = ("same_source", "all")
UNKNOWN_LABEL = -1


def split_streams(cases: Sequence[dict], *, unlabelled_pool: str) -> dict[str, list[dict]]:
    """Which cases each stream draws from.

    Args:
        cases: items of the datalist's training part.
        unlabelled_pool: a stream without annotation takes cases of "all" sources, or only of the
            "same_source" as the annotated ones and of sources without any annotation.

    Raises:
        ValueError: unlabelled_pool is unknown, or no case has a mask or a label.
    """
    if unlabelled_pool not in POOLS:
        raise ValueError(f"unlabelled_pool is {unlabelled_pool!r}: use one of {POOLS}")
    if not any(Keys.MASK in c or Keys.LABEL in c for c in cases):
        raise ValueError(
            f"none of {len(cases)} training cases has a mask or a label: nothing to learn from; "
            "annotate a few, then write the datalist again"
        )
    annotated = {c.get(Keys.SOURCE) for c in cases if Keys.MASK in c or Keys.LABEL in c}
    pools: dict[str, list[dict]] = {}
    for key, labelled, unlabelled in (
        (Keys.MASK, MASK_LABELLED, MASK_UNLABELLED),
        (Keys.LABEL, LABEL_LABELLED, LABEL_UNLABELLED),
    ):
        pools[labelled] = [c for c in cases if key in c]
        rest = [c for c in cases if key not in c]
        other = annotated - {c.get(Keys.SOURCE) for c in pools[labelled]}
        near = [c for c in rest if c.get(Keys.SOURCE) not in other]
        pools[unlabelled] = near if unlabelled_pool == "same_source" else rest
    return pools


def check_batch_sizes(batch_sizes: Mapping[str, int]) -> None:
    """Refuse what does not say of every stream, and of nothing else, how many cases it has."""
    wrong = batch_sizes.keys() ^ set(STREAMS)
    if wrong or not all(isinstance(n, int) and n >= 0 for n in batch_sizes.values()):
        raise ValueError(
            f"batch_sizes are {dict(batch_sizes)}; "
            + (f"{', '.join(sorted(wrong))} is missing or unknown; " if wrong else "")
            + f"{', '.join(STREAMS)} are needed, each 0 or more (0 leaves a stream out): set one "
            "alone by batch_sizes#NAME=N"
        )


class StreamDataset(Dataset):
    """Step number -> a dictionary with a collated batch of every stream that has cases.

    Args:
        data: items of the datalist's training part.
        transform: deterministic preprocessing, from a case to `image` and `mask`; its results are
            kept in memory.
        views: stream name -> random MONAI transform of a batch, a dictionary with `image` and for
            mask_labelled `mask`, both (B, 1, S, S), and what `collate` adds.
        batch_sizes: stream name -> cases a step; 0 leaves the stream out.
        seed: of order and augmentation.
        unlabelled_pool: see `split_streams`.
        cache_gib: memory for preprocessed cases, on the device, or of each worker.
        device: where cases are kept and views are made, a CPU unless said; workers use theirs.

    A case that cannot be read is named in the log and replaced by the next of its stream.

    Raises:
        ValueError: batch_sizes lack a stream, have one that there is not, or are below 0; no
            annotated stream is left; or none of a stream's images can be read.
    """

    def __init__(
        self,
        data: Sequence[dict],
        transform: Callable[[dict], dict],
        views: dict[str, Any],
        batch_sizes: dict[str, int],
        *,
        seed: int = 0,
        unlabelled_pool: str = "same_source",
        cache_gib: float = 4.0,
        device: torch.device | str = "cpu",
    ) -> None:
        check_batch_sizes(batch_sizes)
        pools = split_streams(data, unlabelled_pool=unlabelled_pool)
        self.transform = transform
        self.views = views
        self.seed = seed
        wanted = {name for name in STREAMS if pools[name] and batch_sizes[name]}
        self.pools = {n: pools[n] for n in STREAMS if {n, ANNOTATED.get(n, n)} <= wanted}
        if not self.pools:
            raise ValueError(
                f"batch_sizes are {batch_sizes}: no annotated case is left to learn from; set "
                f"{MASK_LABELLED} or {LABEL_LABELLED} to 1 or more where there are such cases"
            )
        self.batch_sizes = {name: batch_sizes[name] for name in self.pools}
        self.cache_bytes_left = int(cache_gib * 2**30)
        self.wanted_device = torch.device(device)
        self.cache: dict[str, dict] = {}
        self.unreadable: set[str] = set()
        self._log_pools(batch_sizes)

    def _log_pools(self, batch_sizes: dict[str, int]) -> None:
        for name in STREAMS:
            if name in self.pools:
                logger.info(
                    f"stream {name}: {len(self.pools[name])} cases, {batch_sizes[name]} a step"
                )
            else:
                why = self._why_not(name, batch_sizes[name])
                logger.warning(f"stream {name}: {why}; training what is left")

    def _why_not(self, name: str, size: int) -> str:
        if size == 0:
            return "switched off"
        annotated = ANNOTATED.get(name, name)
        useless = annotated != name and annotated not in self.pools
        return f"of no use without {annotated}" if useless else "no such cases"

    def __getitem__(self, step: int) -> dict[str, dict[str, Tensor]]:
        return {name: self._batch(name, step) for name in self.pools}

    @property
    def device(self) -> torch.device:
        """Where batches are made; a worker is a forked process, which can use no GPU."""
        return torch.device("cpu") if get_worker_info() else self.wanted_device

    def _batch(self, name: str, step: int) -> dict[str, Tensor]:
        size = self.batch_sizes[name]
        cases = [self._case(name, n) for n in range(step * size, (step + 1) * size)]
        # Its masks are not those of all in other streams, and nobody asks for them there.
        keys = (Keys.IMAGE, Keys.MASK) if name == MASK_LABELLED else (Keys.IMAGE,)
        view = self.views[name]
        view.set_random_state(seed=derive_seed(self.seed, STREAMS.index(name), step))
        batch: dict[str, Tensor] = view(collate(cases, keys=keys))
        return batch

    def _case(self, name: str, position: int) -> dict:
        """The preprocessed case at a position of the stream."""
        pool = self.pools[name]
        turn, place = divmod(position, len(pool))
        order = shuffled(len(pool), seed=self.seed, stream=STREAMS.index(name), turn=turn)
        for n in range(len(pool)):  # the case in its place, then those that can stand in
            case = self._preprocessed(pool[order[(place + n) % len(pool)]])
            if case is not None:
                return case
        raise ValueError(
            f"none of the {len(pool)} images of stream {name} can be read: the log names each; "
            "check dataset_dir"
        )

    def _preprocessed(self, case: dict) -> dict | None:
        name = case[Keys.IMAGE]
        if name in self.unreadable:
            return None
        if name in self.cache:
            return self.cache[name]
        try:
            item = self.transform(case)
        except (ValueError, OSError) as error:
            logger.error(f"left out of training: {error}")
            self.unreadable.add(name)
            return None
        item = {k: plain(v).to(self.device) if torch.is_tensor(v) else v for k, v in item.items()}
        self._keep(name, item)
        return item

    def _keep(self, name: str, item: dict) -> None:
        size = sum(v.nbytes for v in item.values() if torch.is_tensor(v))
        if size <= self.cache_bytes_left:
            self.cache[name] = item
            self.cache_bytes_left -= size


def plain(value: Any) -> Any:
    """Without MONAI's metadata, which training never reads."""
    return value.as_tensor() if hasattr(value, "as_tensor") else value


def derive_seed(*parts: int) -> int:
    """One 32-bit seed of several numbers, so that neighbours share nothing."""
    return int(np.random.SeedSequence(parts).generate_state(1)[0])


@lru_cache(maxsize=4 * len(STREAMS))
def shuffled(n: int, *, seed: int, stream: int, turn: int) -> tuple[int, ...]:
    """The order of a stream's n cases in its so many-th turn, a permutation."""
    return tuple(np.random.default_rng([seed, stream, turn]).permutation(n).tolist())


def collate(cases: Sequence[dict], *, keys: Sequence[str]) -> dict[str, Tensor]:
    """Items of the keys -> (B, 1, S, S); labels -> int64 (B,), unknown ones -1; on one device."""
    batch = {key: torch.stack([case[key] for case in cases]) for key in keys}
    for key in (Keys.LABEL, Keys.HIDDEN_LABEL):
        labels = np.array([case.get(key, UNKNOWN_LABEL) for case in cases], dtype=np.int64)
        batch[key] = beside(labels, batch[Keys.IMAGE])
    return batch


class StepSampler(DistributedSampler):
    """Step numbers of an epoch; of several processes each takes its own.

    MONAI's workflow tells a DistributedSampler its epoch, 1 the first.

    Raises:
        ValueError: steps_per_epoch is below 1.
    """

    def __init__(self, *, steps_per_epoch: int) -> None:
        if steps_per_epoch < 1:
            raise ValueError(f"steps_per_epoch is {steps_per_epoch}; it must be at least 1")
        distributed = torch.distributed.is_available() and torch.distributed.is_initialized()
        self.num_replicas = torch.distributed.get_world_size() if distributed else 1
        self.rank = torch.distributed.get_rank() if distributed else 0
        self.steps_per_epoch = steps_per_epoch
        self.epoch = 1

    def __len__(self) -> int:
        return self.steps_per_epoch

    def __iter__(self):  # type: ignore[no-untyped-def]
        start = (self.epoch - 1) * self.steps_per_epoch
        steps = range(start, start + self.steps_per_epoch)
        return iter([step * self.num_replicas + self.rank for step in steps])


class StepLoader(DataLoader):
    """DataLoader that makes the next step's batch in a thread while the network works on this one.

    With num_workers above 0 processes do so, as many as said.

    Differs: from monai.data.ThreadDataLoader, which ends silently where a dataset raises.
    """

    def __iter__(self) -> Any:
        batches = super().__iter__()
        return batches if self.num_workers else _ahead(batches)


def _ahead(batches: Iterator[Any]) -> Iterator[Any]:
    with ThreadPoolExecutor(1, thread_name_prefix="next-step") as thread:
        coming = thread.submit(next, batches, None)
        while (batch := coming.result()) is not None:
            coming = thread.submit(next, batches, None)
            yield batch
