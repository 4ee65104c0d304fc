"""Benchmarks, how they time: ways to do one thing in turn, in one process, round by round."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from tests.benchmarks.machine import clock, machine
from tests.benchmarks.report import Comparison, keep_comparison

Work = Callable[[], object]
Way = tuple[str, Work]


def compare(
    name: str, ours: Way, other: Way, *, pairs: int = 7, aim: float | None = None
) -> Comparison:
    """Time two ways after a warm-up and add the result to benchmarks.json.

    Args:
        name: of the entry.
        ours, other: what each is called, and a call of it.
        pairs: rounds that count.
        aim: largest ratio of ours / other that is aimed at.
    """
    times = rounds(dict([ours, other]), count=pairs)
    result = comparison(name, ours[0], other[0], times=times, aim=aim)
    keep_comparison(result)
    return result


def race(
    name: str,
    ways: Mapping[str, Work],
    *,
    versus: Mapping[tuple[str, str], float | None],
    pairs: int,
) -> dict[tuple[str, str], Comparison]:
    """Time several ways in turn and compare some of them; each comparison is an entry.

    Args:
        name: begins the name of every entry.
        ways: calls by what they are called.
        versus: (ours, other) -> largest ratio that is aimed at, if any.
        pairs: rounds that count.

    Returns:
        The comparisons by their (ours, other).
    """
    times = rounds(ways, count=pairs)
    results = {}
    for (ours, other), aim in versus.items():
        entry = f"{name}: {ours} against {other}"
        result = comparison(entry, ours, other, times=times, aim=aim)
        keep_comparison(result)
        results[ours, other] = result
    return results


def rounds(ways: Mapping[str, Work], *, count: int) -> dict[str, list[float]]:
    """Seconds of every way in each round but the first, which warms up; every other runs back."""
    times: dict[str, list[float]] = {way: [] for way in ways}
    for number in range(count + 1):
        for way in list(ways) if number % 2 else reversed(list(ways)):
            seconds = clock(ways[way])
            if number:
                times[way].append(seconds)
    return times


def comparison(
    name: str, ours: str, other: str, *, times: Mapping[str, Sequence[float]], aim: float | None
) -> Comparison:
    """Of two of the ways that ran in the same rounds."""
    ratios = [a / b for a, b in zip(times[ours], times[other], strict=True)]
    return Comparison(
        name,
        ours,
        other,
        statistics.median(times[ours]),
        statistics.median(times[other]),
        statistics.median(ratios),
        min(ratios),
        max(ratios),
        len(ratios),
        machine(),
        aim,
    )


def median_seconds(work: Work, *, count: int) -> float:
    """Of so many calls after one that warms up."""
    return statistics.median(rounds({"it": work}, count=count)["it"])


def growth(amounts: Sequence[float], seconds: Sequence[float]) -> float:
    """The exponent k of seconds ~ amount^k, by least squares of the logarithms."""
    return float(np.polyfit(np.log(amounts), np.log(seconds), 1)[0])
