"""Engines: cases are read ahead in other processes, while the network works on those before."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from itertools import islice
from typing import Any

from multimix_monai.data.keys import Keys
from multimix_monai.engines.cases import CaseDataset
from multimix_monai.engines.failure import CaseFailure
from multimix_monai.engines.workers import TIMEOUT_S, Pool, workers_for


class CaseLoader:
    """Batches, lists of cases, in the order of the dataset, read ahead by about one batch.

    Args:
        dataset: of the cases.
        batch_size: cases a batch; the last may have fewer.
        num_workers: processes that read; 0 reads in this one; None chooses by cores and cases.
        indices: which cases, None all.
        timeout_s: seconds after which the reading of one case is given up, its process ended.

    Raises:
        ValueError: a number is out of its range.
    """

    def __init__(
        self,
        dataset: CaseDataset,
        *,
        batch_size: int = 1,
        num_workers: int | None = None,
        indices: Sequence[int] | None = None,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        if batch_size < 1:
            raise ValueError(f"batch_size is {batch_size}; at least 1 is needed")
        if num_workers is not None and num_workers < 0:
            raise ValueError(f"num_workers is {num_workers}; at least 0 is needed")
        if timeout_s <= 0:
            raise ValueError(f"timeout_s is {timeout_s}; it must be above 0")
        self.dataset = dataset
        self.batch_size = batch_size
        self.indices = range(len(dataset)) if indices is None else indices
        cases = len(self.indices)
        self.num_workers = workers_for(cases, leave=1) if num_workers is None else num_workers
        self.timeout_s = timeout_s

    def __len__(self) -> int:
        return math.ceil(len(self.indices) / self.batch_size)

    def __iter__(self) -> Iterator[list[dict[str, Any]]]:
        cases = self._ahead() if self.num_workers else (self.dataset[n] for n in self.indices)
        while batch := list(islice(cases, self.batch_size)):
            yield batch

    def _ahead(self) -> Iterator[dict[str, Any]]:
        """What is read waits in its order."""
        pool = Pool(
            self.dataset.__getitem__, self.num_workers, role="reader", timeout_s=self.timeout_s
        )
        pending: deque[tuple[int, Future]] = deque()
        try:
            for index in self.indices:
                pending.append((index, pool.submit(index)))
                if len(pending) > self.batch_size + self.num_workers:
                    yield self._case(*pending.popleft())
            while pending:
                yield self._case(*pending.popleft())
        finally:
            pool.close()

    def _case(self, index: int, read: Future) -> dict[str, Any]:
        """The case, or with an error in its place why it could not be read."""
        try:
            case: dict[str, Any] = read.result()
        except CaseFailure as failure:
            return {**self.dataset.data[index], Keys.ERROR: failure}
        return case
