from __future__ import annotations

import multiprocessing
import os
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from multimix_monai.data.images import ImageError
from multimix_monai.data.keys import Keys
from multimix_monai.engines.cases import CaseDataset
from multimix_monai.engines.reading import CaseLoader


def misbehave(case: dict[str, Any]) -> dict[str, Any]:
    """Does what its case says."""
    how = case["image"]
    if how == "crash":
        os.kill(os.getpid(), signal.SIGKILL)
    elif how == "hang":
        time.sleep(600)
    elif how == "slow":
        time.sleep(0.2)
    elif how == "refused":
        raise ImageError("no chest", "lateral")
    elif how.startswith("crash once"):
        mark = Path(how.split(":")[1])
        if not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
    elif how == "defect":
        raise KeyError("Doe^John")
    return {**case, "image": torch.full((1, 3, 3), 7.0), "pid": os.getpid()}


def dataset(*hows: str) -> CaseDataset:
    cases = [{"image": how, "number": n} for n, how in enumerate(hows)]
    return CaseDataset(cases, misbehave, keep_going=True)  # type: ignore[arg-type]


def no_mask(case: dict[str, Any]) -> dict[str, Any]:
    return case


@pytest.fixture(autouse=True)
def _no_truth(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("multimix_monai.engines.cases.with_truth", no_mask)


def read(loader: CaseLoader) -> list[dict[str, Any]]:
    return [case for batch in loader for case in batch]


def reason(case: dict[str, Any]) -> str:
    return case[Keys.ERROR].reason


@pytest.mark.parametrize("workers", [0, 1, 3])
@pytest.mark.parametrize("batch_size", [1, 4, 20])
def test_cases_come_in_their_order_whoever_reads_them(workers: int, batch_size: int) -> None:
    data = dataset(*["slow", "good", "good"] * 3, "good")
    loader = CaseLoader(data, batch_size=batch_size, num_workers=workers)
    batches = list(loader)
    assert len(batches) == len(loader)
    assert [len(batch) for batch in batches[:-1]] == [batch_size] * (len(batches) - 1)
    cases = [case for batch in batches for case in batch]
    assert [case["number"] for case in cases] == list(range(10))
    assert all(np.array_equal(case["image"], np.full((1, 3, 3), 7)) for case in cases)
    assert (os.getpid() in {case["pid"] for case in cases}) == (workers == 0)


def test_only_the_cases_asked_for_are_read() -> None:
    loader = CaseLoader(dataset(*["good"] * 9), batch_size=2, num_workers=1, indices=[7, 2, 3])
    assert len(loader) == 2
    assert [case["number"] for case in read(loader)] == [7, 2, 3]
    assert len(CaseLoader(dataset("good"), indices=[])) == 0
    assert read(CaseLoader(dataset("good"), indices=[], num_workers=1)) == []


@pytest.mark.parametrize("workers", [1, 2])
def test_a_case_that_kills_its_reader_fails_and_the_others_go_on(workers: int) -> None:
    data = dataset("good", "crash", "good", "crash", "good")
    cases = read(CaseLoader(data, batch_size=2, num_workers=workers))
    assert [Keys.ERROR in case for case in cases] == [False, True, False, True, False]
    assert reason(cases[1]) == "reader_died" and cases[1]["image"] == "crash"


def test_a_reader_that_is_killed_for_its_memory_reads_its_case_again(tmp_path: Path) -> None:
    (case,) = read(CaseLoader(dataset(f"crash once:{tmp_path / 'mark'}"), num_workers=1))
    assert Keys.ERROR not in case


def test_a_case_that_hangs_fails_in_time_and_the_others_go_on() -> None:
    start = time.perf_counter()
    cases = read(CaseLoader(dataset("good", "hang", "good"), num_workers=1, timeout_s=1))
    assert [Keys.ERROR in case for case in cases] == [False, True, False]
    assert reason(cases[1]) == "timeout" and "1 s" in str(cases[1][Keys.ERROR])
    assert time.perf_counter() - start < 20


@pytest.mark.parametrize("workers", [0, 1])
def test_errors_come_over_without_what_other_libraries_quote(workers: int) -> None:
    refused, defect = read(CaseLoader(dataset("refused", "defect"), num_workers=workers))
    assert isinstance(refused[Keys.ERROR], ImageError) and reason(refused) == "lateral"
    assert reason(defect) == "KeyError"
    assert "Doe" not in str(defect[Keys.ERROR]) and "test_reading.py:" in str(defect[Keys.ERROR])


def test_reading_runs_ahead_by_a_bounded_number_of_cases(tmp_path: Path) -> None:
    def count(case: dict[str, Any]) -> dict[str, Any]:
        (tmp_path / str(case["number"])).touch()
        return case

    data = CaseDataset([{"image": "good", "number": n} for n in range(60)], count)
    batches = iter(CaseLoader(data, batch_size=4, num_workers=1))
    next(batches)
    time.sleep(1)
    assert 4 <= len(list(tmp_path.iterdir())) <= 4 + 4 + 2
    batches.close()  # type: ignore[attr-defined]


def test_no_process_is_left_behind_by_a_loop_that_is_left() -> None:
    loader = CaseLoader(dataset(*["good"] * 30, *["slow"] * 9), batch_size=2, num_workers=2)
    for _ in loader:
        break
    del _
    assert multiprocessing.active_children() == []


def test_processes_are_chosen_by_cores_and_cases(monkeypatch: pytest.MonkeyPatch) -> None:
    few, many = dataset(*["good"] * 5), dataset(*["good"] * 50)
    for cores, workers in ((1, 0), (2, 1), (4, 3), (64, 4)):
        monkeypatch.setattr(os, "sched_getaffinity", lambda _, n=cores: set(range(n)))
        assert CaseLoader(few).num_workers == 0
        assert CaseLoader(many).num_workers == workers
        assert CaseLoader(many, indices=[1, 2]).num_workers == 0


@pytest.mark.parametrize("options", [{"batch_size": 0}, {"num_workers": -1}, {"timeout_s": 0}])
def test_numbers_out_of_range_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(options))} is "):
        CaseLoader(dataset("good"), **options)
