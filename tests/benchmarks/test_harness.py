"""What times and reports does so rightly: order, ratios, growth, the table."""

from pathlib import Path

import pytest
import torch

from tests.benchmarks import report, timing
from tests.benchmarks.machine import machine
from tests.benchmarks.work import Ceilings, Cost, keep_shares


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_every_other_round_runs_back_and_the_first_does_not_count() -> None:
    order: list[str] = []
    times = timing.rounds({w: lambda w=w: order.append(w) for w in "abc"}, count=2)
    assert "".join(order) in ("cbaabccba", "abccbaabc")
    assert [len(seconds) for seconds in times.values()] == [2, 2, 2]


def test_a_ratio_is_the_median_of_the_pairs_not_of_the_sums() -> None:
    times = {"ours": [1.0, 9.0, 4.0], "other": [2.0, 3.0, 4.0]}
    result = timing.comparison("name", "ours", "other", times=times, aim=1.25)
    assert (result.ratio, result.ratio_low, result.ratio_high) == (1.0, 0.5, 3.0)
    assert (result.ours_s, result.other_s) == (4.0, 3.0)


def test_growth_is_the_exponent_of_a_power() -> None:
    amounts = [1, 2, 5, 10]
    assert timing.growth(amounts, [3 * a**1.7 for a in amounts]) == pytest.approx(1.7)


@pytest.mark.parametrize(
    ("ratio", "aim", "ends"),
    [
        (0.15, 1 / 6, "| 0.15 (0.10 to 2.00) | 6.67 | 6 times as fast | yes |"),
        (1.5, 1.25, "| 1.50 (0.10 to 2.00) | 0.67 | 1.25 of the time | no |"),
        (1.5, None, "| 1.50 (0.10 to 2.00) | 0.67 |  |  |"),
    ],
)
def test_a_row_says_whether_the_aim_is_met(ratio: float, aim: float | None, ends: str) -> None:
    result = report.Comparison("x", "a", "b", 1.0, 0.002, ratio, 0.1, 2.0, 5, "m", aim)
    report.keep_comparison(result)
    report.write_table()
    table = report.TABLE.read_text().splitlines()
    assert f"| x | a: 1 s | b: 2 ms {ends}" in table and "Measured on: m." in table


def test_a_table_keeps_machines_apart_and_takes_entries_without_one() -> None:
    report.keep_figures("by us", seconds=0.123456789)
    report.note("by others", {"images_a_second": 3.0}, shown="")
    report.write_table()
    table = report.TABLE.read_text()
    assert "| by us | seconds 0.12346 |" in table
    assert "| by others | images a second 3 |" in table
    assert table.count("Measured on") == 2 and machine() in table


def test_a_share_is_of_what_was_measured() -> None:
    ceilings = Ceilings(multiply_adds_a_second=100.0, bytes_a_second=1000.0)
    cost = Cost(multiply_adds=50, elements=100)
    share = keep_shares("it", 2.0, cost=cost, dtype=torch.bfloat16, ceilings=ceilings)
    assert share == 0.25
    entry = report.json.loads(report.RESULTS.read_text())["ceilings, it"]
    assert entry["share_of_copy"] == 0.1 and entry["floor_by_multiplications_s"] == 0.5
