from __future__ import annotations

import errno
import multiprocessing
import os
import signal
import time
from collections.abc import Iterator

import pytest

from multimix_monai.data.images import ImageError
from multimix_monai.engines.failure import CaseFailure
from multimix_monai.engines.workers import Pool, Worker


def obey(order: str) -> str:
    if order == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    elif order == "hang":
        time.sleep(600)
    elif order == "full":
        raise OSError(errno.ENOSPC, "No space left on device")
    elif order == "refuse":
        raise ImageError("no chest", "lateral")
    elif order == "defect":
        raise KeyError("Doe^John")
    return f"{order} {os.getpid()}"


@pytest.fixture
def pool() -> Iterator[Pool]:
    pool = Pool(obey, 2, role="clerk", timeout_s=1)
    yield pool
    pool.close()
    assert multiprocessing.active_children() == []


def test_other_processes_answer(pool: Pool) -> None:
    answers = [pool.submit(str(n)) for n in range(20)]
    words = [answer.result().split() for answer in answers]
    assert [number for number, _ in words] == [str(n) for n in range(20)]
    assert str(os.getpid()) not in {pid for _, pid in words}


@pytest.mark.parametrize(("order", "reason"), [("die", "clerk_died"), ("hang", "timeout")])
def test_what_ends_or_stops_a_process_fails_and_the_others_go_on(
    pool: Pool, order: str, reason: str
) -> None:
    failed, *others = [pool.submit(what) for what in (order, "a", "b", "c", "d")]
    with pytest.raises(CaseFailure, match="leave it out") as raised:
        failed.result()
    assert raised.value.reason == reason
    assert [answer.result()[0] for answer in others] == list("abcd")


def test_what_the_function_raises_is_raised_here_without_what_it_quotes(pool: Pool) -> None:
    with pytest.raises(ImageError, match="no chest"):
        pool.submit("refuse").result()
    with pytest.raises(OSError, match="No space left") as full:
        pool.submit("full").result()
    assert full.value.errno == errno.ENOSPC
    with pytest.raises(CaseFailure, match=r"KeyError in test_workers.py:\d+") as defect:
        pool.submit("defect").result()
    assert "Doe" not in str(defect.value)
    assert pool.submit("a").result().startswith("a ")  # in processes that are still there


def test_what_waits_when_a_pool_is_closed_is_not_waited_for() -> None:
    pool = Pool(obey, 1, role="clerk", timeout_s=100)
    hanging, waiting = pool.submit("hang"), pool.submit("a")
    start = time.perf_counter()
    pool.close()
    assert time.perf_counter() - start < 10
    assert isinstance(hanging.exception(), CaseFailure) and waiting.cancelled()


def test_a_worker_ends_with_the_process_that_asks_it() -> None:
    worker = Worker(obey, role="clerk", timeout_s=5)
    worker.start()
    assert worker.ask("a").startswith("a ")
    worker.pipe.close()
    worker.process.join(10)
    assert worker.process.exitcode == 0
