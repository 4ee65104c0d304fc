"""Benchmarks, what they leave: benchmarks.json, entry by entry, and benchmarks.md made from it."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tests.benchmarks.machine import machine

RESULTS, TABLE = Path("benchmarks.json"), Path("benchmarks.md")
UNSTATED = "a machine that was not noted"

Entry = Mapping[str, Any]


@dataclass
class Comparison:
    """Medians in seconds of each, and the median of ours / other over the pairs."""

    name: str
    ours: str
    other: str
    ours_s: float
    other_s: float
    ratio: float
    ratio_low: float
    ratio_high: float
    pairs: int
    machine: str
    aim: float | None = None  # largest ratio that is aimed at


def note(name: str, entry: Entry, *, shown: str) -> None:
    """One entry a name in benchmarks.json of the current folder, and a line on the console."""
    entries = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    entries[name] = dict(entry)
    RESULTS.write_text(json.dumps(entries, indent=2) + "\n")
    sys.stdout.write(f"\n{shown}\n")


def keep_comparison(result: Comparison) -> None:
    """Note a comparison."""
    note(result.name, asdict(result), shown=comparison_row(asdict(result)))


def keep_figures(name: str, **figures: float) -> None:
    """Note figures that are no comparison, under names that carry their unit."""
    entry = {key: float(f"{value:.5g}") for key, value in figures.items()}
    note(name, {**entry, "machine": machine()}, shown=figures_row(name, entry))


def comparison_row(entry: Entry) -> str:
    """A row of the table of comparisons."""
    ratio = entry["ratio"]
    spread = f"{entry['ratio_low']:.2f} to {entry['ratio_high']:.2f}"
    aim = entry.get("aim")
    cells = [
        entry["name"],
        f"{entry['ours']}: {seconds(entry['ours_s'])}",
        f"{entry['other']}: {seconds(entry['other_s'])}",
        f"{ratio:.2f} ({spread})",
        f"{1 / ratio:.2f}",
        aim_of(aim) if aim else "",
        ("yes" if ratio <= aim else "no") if aim else "",
    ]
    return f"| {' | '.join(cells)} |"


def seconds(value: float) -> str:
    """With three digits and a unit."""
    return f"{value:.3g} s" if value >= 1 else f"{1000 * value:.3g} ms"


def aim_of(ratio: float) -> str:
    """An aim in words: how many times as fast, or how much of the time."""
    return f"{1 / ratio:.3g} times as fast" if ratio <= 0.5 else f"{ratio:.3g} of the time"


def figures_row(name: str, figures: Entry) -> str:
    """A row of the table of figures."""
    words = [f"{key.replace('_', ' ')} {value:.5g}" for key, value in figures.items()]
    return f"| {name} | {', '.join(words)} |"


def markdown(entries: Iterable[tuple[str, Entry]]) -> str:
    """Two tables for every machine on which something was measured. entries: (name, entry)."""
    by_machine: dict[str, list[tuple[str, Entry]]] = {}
    for name, entry in entries:
        by_machine.setdefault(entry.get("machine", UNSTATED), []).append((name, entry))
    return "\n".join(line for place in by_machine.items() for line in section(*place))


def section(place: str, entries: Iterable[tuple[str, Entry]]) -> list[str]:
    """What was measured on one machine."""
    pairs = [entry for _, entry in entries if "ratio" in entry]
    lines = ["# Benchmarks", "", f"Measured on: {place}.", ""]
    if pairs:
        lines += [
            "Timed in turn in one process; medians, the ratio pair by pair with least and largest.",
            "",
            "| what | ours | against | ours / against | times as fast | aim | met |",
            "|---|---|---|---|---|---|---|",
            *map(comparison_row, pairs),
            "",
        ]
    others = [
        (name, {key: value for key, value in entry.items() if key != "machine"})
        for name, entry in entries
        if "ratio" not in entry
    ]
    if others:
        lines += ["| what | figures |", "|---|---|"]
        lines += [figures_row(name, figures) for name, figures in others] + [""]
    return lines


def write_table() -> None:
    """benchmarks.md beside benchmarks.json, if there is one."""
    if RESULTS.exists():
        TABLE.write_text(markdown(json.loads(RESULTS.read_text()).items()), encoding="utf-8")
