"""Engines: other processes do what is asked of them; one that dies or hangs is started again.

Differs: from `concurrent.futures.ProcessPoolExecutor` and torch's DataLoader, of which a worker
that is killed ends the run: by the system when memory is short, or by a library that crashes on a
damaged file. Here that call fails and the others go on. What is asked and answered goes as bytes
through a pipe, never through shared memory, of which a container has 64 MB.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import queue
import signal
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from multiprocessing.connection import Connection
from typing import Any

from multimix_monai.engines.failure import CaseFailure, failure_of, quiet_libraries

MAX_DEFAULT_WORKERS = 4
FEW_CASES = 16  # so few are done sooner than a process starts
TIMEOUT_S = 300.0  # the largest radiograph takes seconds, over the slowest network a minute
TRIES = 2  # what the system kills for its memory need not be the cause
_starting = threading.Lock()  # no process inherits the half-made pipe of another


class Pool:
    """Calls of one function, each in the next process that is idle; a thread waits for each.

    Args:
        work: a function of one argument, which pickles as its answers do.
        count: processes.
        role: what they are, for the reason of a failure: `<role>_died`.
        timeout_s: seconds after which a call is given up, its process ended.
    """

    def __init__(
        self, work: Callable[[Any], Any], count: int, *, role: str, timeout_s: float = TIMEOUT_S
    ) -> None:
        self.workers = [Worker(work, role=role, timeout_s=timeout_s) for _ in range(count)]
        self.idle: queue.SimpleQueue[Worker] = queue.SimpleQueue()
        for worker in self.workers:
            worker.start()  # before there are threads
            self.idle.put(worker)
        self.threads = ThreadPoolExecutor(count, thread_name_prefix=role)

    def submit(self, argument: Any) -> Future:
        """The answer to come, or what the function raised, or a CaseFailure, as of `Worker.ask`."""
        return self.threads.submit(self._ask, argument)

    def _ask(self, argument: Any) -> Any:
        worker = self.idle.get()
        try:
            return worker.ask(argument)
        finally:
            self.idle.put(worker)

    def close(self) -> None:
        """End the processes, whatever they do."""
        for worker in self.workers:
            worker.close()
        self.threads.shutdown(cancel_futures=True)
        for worker in self.workers:
            worker.stop()


class Worker:
    """A process that answers when asked, and is started again when it died or hung."""

    def __init__(self, work: Callable[[Any], Any], *, role: str, timeout_s: float) -> None:
        self.work = work
        self.role = role
        self.timeout_s = timeout_s
        self.process: Any = None
        self.pipe: Any = None
        self.closed = False

    def start(self) -> None:
        """Start the process, in the way that is this platform's own."""
        with _starting:
            self.pipe, theirs = multiprocessing.Pipe()
            arguments = (self.work, theirs, self.pipe, os.getpid())
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

    def ask(self, argument: Any) -> Any:
        """The function's answer.

        Raises:
            CaseFailure: the process took too long, or died of it twice.
            Exception: what the function raised.
        """
        question = pickle.dumps(argument, protocol=5)
        for _ in range(TRIES):
            if self.closed:
                break
            if self.process is None:
                self.start()
            try:
                self.pipe.send_bytes(question)
                if not self.pipe.poll(self.timeout_s):
                    self.stop()
                    raise CaseFailure("timeout", f"not done in {self.timeout_s:g} s: leave it out")
                answer, error = pickle.loads(self.pipe.recv_bytes())
            except (EOFError, OSError):  # it died: once more, in a new process
                self.stop()
                continue
            if error is not None:
                raise error
            return answer
        message = "it ended the process, or took more memory than there is: leave it out"
        raise CaseFailure(f"{self.role}_died", message)


def serve(work: Callable[[Any], Any], pipe: Connection, other_end: Connection, parent: int) -> None:
    """The process: an answer for each question, until its parent is gone."""
    other_end.close()  # while it is open here, the parent's end seems to live
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(1)  # the cores are shared by process
    with quiet_libraries():
        while os.getppid() == parent:
            if pipe.poll(1.0):
                try:
                    question = pipe.recv_bytes()
                except EOFError:
                    return
                pipe.send_bytes(_answer(work, question))


def _answer(work: Callable[[Any], Any], question: bytes) -> bytes:
    """An answer and None, or None and an error."""
    try:
        return pickle.dumps((work(pickle.loads(question)), None), protocol=5)
    except OSError as error:  # what it says is for the caller
        return pickle.dumps((None, error), protocol=5)
    except Exception as error:
        return pickle.dumps((None, failure_of(error)), protocol=5)


def workers_for(cases: int, *, leave: int = 0) -> int:
    """How many processes so many cases are worth, on the cores but those that are left free."""
    return min(cores_here() - leave, MAX_DEFAULT_WORKERS) if cases > FEW_CASES else 0


def cores_here() -> int:
    """How many this process may use."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return cores or 1
