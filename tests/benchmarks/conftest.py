"""Options and fixtures of the timed comparisons; the table is written when they have ended."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
import torch

from tests.benchmarks.machine import cores
from tests.benchmarks.report import Comparison, write_table
from tests.benchmarks.timing import compare


@dataclass(frozen=True)
class Effort:
    """How much is measured."""

    quick: bool
    pairs: int  # rounds that count
    size: int  # side of an image in pixels
    batch: int  # images a stream of a training step

    def pick(self, full: tuple, quick: tuple) -> tuple:
        """The one for this run."""
        return quick if self.quick else full


def pytest_addoption(parser: pytest.Parser) -> None:
    """Only known where this folder is named on the command line, as `make bench` does."""
    group = parser.getgroup("benchmarks")
    group.addoption("--quick", action="store_true", help="small sizes, two rounds: does it run?")
    group.addoption("--pairs", type=int, help="rounds that count, 5 unless told")
    group.addoption("--stream-batch", type=int, help="images a stream, 10 unless told")
    group.addoption("--threads", type=int, help="of torch, 2 unless told, or the cores there are")


@pytest.fixture(scope="session")
def effort(pytestconfig: pytest.Config) -> Effort:
    """By the options given."""
    quick = bool(pytestconfig.getoption("--quick", default=False))
    pairs = pytestconfig.getoption("--pairs", default=None) or (2 if quick else 5)
    batch = pytestconfig.getoption("--stream-batch", default=None) or (2 if quick else 10)
    return Effort(quick, pairs, 64 if quick else 256, batch)


@pytest.fixture(autouse=True)
def threads(pytestconfig: pytest.Config, one_thread: None) -> Iterator[None]:
    """Two threads, as the aims were set, and a seed."""
    before = torch.get_num_threads()
    asked = pytestconfig.getoption("--threads", default=None)
    torch.set_num_threads(asked or min(2, len(cores())))
    torch.manual_seed(0)
    yield
    torch.compiler.reset()  # or what one test had compiled counts against the next one's limit
    torch.set_num_threads(before)


@pytest.fixture(name="compare")
def compare_fixture() -> Callable[..., Comparison]:
    """`compare`, for tests."""
    return compare


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Write benchmarks.md."""
    if not hasattr(session.config, "workerinput"):
        write_table()
