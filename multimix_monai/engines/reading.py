"""Engines: cases are read ahead in other processes, while the network works on those before.

Differs: from torch's DataLoader, of which a worker that is killed ends the run: by the system when
memory is short, or by a decoder that crashes on a damaged file. Here that case has an error and
the others go on. Cases come as bytes through a pipe, never through shared memory, of which a
container has 64 MB.
"""

from __future__ import annotations

import math
import multiprocessing
import os
import pickle
import queue
import signal
import sys
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from multiprocessing.connection import Connection
from typing import Any

from multimix_monai.data.keys import Keys
from multimix_monai.engines.cases import CaseDataset
from multimix_monai.engines.failure import CaseFailure, quiet_libraries

MAX_DEFAULT_WORKERS = 4
FEW_CASES = 16  # so few are read sooner than a process starts
TIMEOUT_S = 300.0  # the largest radiograph takes seconds, over the slowest network a minute
TRIES = 2  # what the system kills for its memory need not be the cause
_starting = threading.Lock()  # no process inherits the half-made pipe of another


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
        self.num_workers = _workers_for(len(self.indices)) if num_workers is None else num_workers
        self.timeout_s = timeout_s

    def __len__(self) -> int:
        return math.ceil(len(self.indices) / self.batch_size)

    def __iter__(self) -> Iterator[list[dict[str, Any]]]:
        cases = self._ahead() if self.num_workers else (self.dataset[n] for n in self.indices)
        while batch := list(islice(cases, self.batch_size)):
            yield batch

    def _ahead(self) -> Iterator[dict[str, Any]]:
        """Each thread waits for one process at a time; what is read waits in its order."""
        readers = [Reader(self.dataset, timeout_s=self.timeout_s) for _ in range(self.num_workers)]
        idle: queue.SimpleQueue[Reader] = queue.SimpleQueue()
        for reader in readers:
            reader.start()  # before there are threads
            idle.put(reader)

        def read(index: int) -> dict[str, Any]:
            reader = idle.get()
            try:
                return reader.read(index)
            finally:
                idle.put(reader)

        threads = ThreadPoolExecutor(self.num_workers, thread_name_prefix="read")
        pending: deque[Future] = deque()
        try:
            for index in self.indices:
                pending.append(threads.submit(read, index))
                if len(pending) > self.batch_size + self.num_workers:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            for reader in readers:
                reader.close()
            threads.shutdown(cancel_futures=True)
            for reader in readers:
                reader.stop()


class Reader:
    """A process that reads cases when asked, and is started again when it died or hung."""

    def __init__(self, dataset: CaseDataset, *, timeout_s: float) -> None:
        self.dataset = dataset
        self.timeout_s = timeout_s
        self.process: Any = None
        self.pipe: Any = None
        self.closed = False

    def start(self) -> None:
        """Start the process, in the way that is this platform's own."""
        with _starting:
            self.pipe, theirs = multiprocessing.Pipe()
            arguments = (self.dataset, theirs, self.pipe, os.getpid())
            self.process = multiprocessing.Process(target=serve, args=arguments, daemon=True)
            self.process.start()
            theirs.close()

    def close(self) -> None:
        """End the process, whatever it does; who waits for it is told by the end of the pipe."""
        self.closed = True
        if self.process is not None:
            self.process.kill()

    def stop(self) -> None:
        """End the process and tidy up."""
        if self.process is not None:
            self.process.kill()
            self.process.join()
            self.pipe.close()
        self.process = None

    def read(self, index: int) -> dict[str, Any]:
        """The case, or with an error in its place why it could not be read."""
        for _ in range(TRIES):
            if self.closed:
                break
            if self.process is None:
                self.start()
            try:
                self.pipe.send(index)
                if self.pipe.poll(self.timeout_s):
                    case: dict[str, Any] = pickle.loads(self.pipe.recv_bytes())
                    return case
            except (EOFError, OSError):  # it died: once more, in a new process
                self.stop()
                continue
            self.stop()
            message = f"not read within {self.timeout_s:g} s: leave it out"
            return self._failed(index, CaseFailure("timeout", message))
        message = "reading it ended the process, or took more memory than there is: leave it out"
        return self._failed(index, CaseFailure("reader_died", message))

    def _failed(self, index: int, failure: CaseFailure) -> dict[str, Any]:
        return {**self.dataset.data[index], Keys.ERROR: failure}


def serve(dataset: CaseDataset, pipe: Connection, other_end: Connection, parent: int) -> None:
    """The reading process: gives a case for each index, until its parent is gone."""
    other_end.close()  # while it is open here, the parent's end seems to live
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)  # the cores are shared by process
    with quiet_libraries():
        while os.getppid() == parent:
            if pipe.poll(1.0):
                try:
                    index = pipe.recv()
                except EOFError:
                    return
                pipe.send_bytes(pickle.dumps(dataset[index], protocol=5))


def _workers_for(cases: int) -> int:
    """One core stays for the network."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return min((cores or 1) - 1, MAX_DEFAULT_WORKERS) if cases > FEW_CASES else 0
