"""Experiments: the same system over several seeds becomes one row, mean and spread.

    python -m multimix_monai.experiments.seeds default=runs/default-* supervised=runs/supervised-*

reads the metrics.json of each run's evaluation and prints a Markdown table.
"""

from __future__ import annotations

import json
import statistics
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

COLUMNS = {
    "Dice": ("masks", "dice", "mean"),
    "HD95 px": ("masks", "hausdorff95_px", "mean"),
    "AUC": ("labels", "auc", "value"),
    "accuracy": ("labels", "accuracy", "value"),
    "ECE": ("labels", "calibration_error", "value"),
}
REPORT = Path("evaluation") / "metrics.json"


def figures(report: Path) -> dict[str, float]:
    """Column -> value of one run; a task with several sources counts them together.

    Raises:
        FileNotFoundError: the run was not evaluated.
    """
    if not report.is_file():
        raise FileNotFoundError(f"{report} does not exist: evaluate the run first")
    content = json.loads(report.read_text(encoding="utf-8"))
    found = {}
    for column, (task, metric, statistic) in COLUMNS.items():
        sources = content[task]
        source = sources.get("all") or next(iter(sources.values()), None)
        if source is not None:
            found[column] = source["metrics"][metric][statistic]
    return found


def mean_and_spread(values: Sequence[float]) -> str:
    """Mean and standard deviation over seeds (of a sample), or the one value."""
    digits = 1 if max(values) > 1 else 3
    if len(values) < 2:
        return f"{values[0]:.{digits}f}"
    return f"{statistics.mean(values):.{digits}f} ± {statistics.stdev(values):.{digits}f}"


def table(systems: Mapping[str, Iterable[Path]]) -> str:
    """Markdown, a row a system. systems: name -> folders of its runs, one a seed."""
    lines = [f"| system | seeds | {' | '.join(COLUMNS)} |", f"|---|---|{'---|' * len(COLUMNS)}"]
    for name, runs in systems.items():
        seeds = [figures(run / REPORT) for run in runs]
        cells = []
        for column in COLUMNS:
            values = [s[column] for s in seeds if s.get(column) is not None]
            cells.append(mean_and_spread(values) if values else "none")
        lines.append(f"| {name} | {len(seeds)} | {' | '.join(cells)} |")
    return "\n".join(lines)


def parse(arguments: Sequence[str]) -> dict[str, list[Path]]:
    """NAME=FOLDER, and further folders of the same name as the shell spread them.

    Raises:
        ValueError: the first argument names no system.
    """
    systems: dict[str, list[Path]] = {}
    name = ""
    for argument in arguments:
        head, equals, tail = argument.partition("=")
        name, folder = (head, tail) if equals else (name, argument)
        if not name:
            raise ValueError(f"{argument!r} belongs to no system: write NAME=FOLDER FOLDER ...")
        systems.setdefault(name, []).append(Path(folder))
    return systems


if __name__ == "__main__":
    sys.stdout.write(table(parse(sys.argv[1:])) + "\n")
