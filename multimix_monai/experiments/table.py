"""Experiments, fifth: the table of a grid as the paper lays it out, as CSV and Markdown."""

from __future__ import annotations

import csv
import math
import statistics
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from multimix_monai.experiments.compare import Comparison, Key, compare
from multimix_monai.experiments.curves import plot_curves
from multimix_monai.experiments.results import METRICS, Result, by_key, load_results

SHOWN = ("accuracy", "F1 normal", "F1 pneumonia", "AUC", "Dice", "HD95 px", "SSIM")
IN_PIXELS = ("HD px", "HD95 px")


def write_tables(output: Path) -> str:
    """Write table.csv, comparisons.csv, table.md and curves of a grid's finished runs.

    Returns:
        What table.md holds.

    Raises:
        FileNotFoundError: there is no finished run.
    """
    results = load_results(output)
    groups = by_key(results)
    domains = domains_of(results)
    rows = [row for key, seeds in groups.items() for row in rows_of(key, seeds, domains)]
    write_csv(output / "table.csv", rows)
    text = markdown(groups, domains)
    baseline = results[0].record.get("baseline")
    if baseline is not None:
        compared = compare(groups, baseline=baseline, domains=domains)
        write_csv(output / "comparisons.csv", [row_of(c, baseline=baseline) for c in compared])
        text += comparisons_markdown(compared, baseline=baseline)
    text += commands_markdown(results)
    (output / "table.md").write_text(text, encoding="utf-8")
    plot_curves(groups, output=output)
    return text


def domains_of(results: Sequence[Result]) -> list[str]:
    """The runs' own first, then the external sources."""
    own = sorted({result.own for result in results}, reverse=True)
    found = {name for result in results for name in result.reports}
    return [*own, *sorted(found - set(own))]


def rows_of(key: Key, seeds: Sequence[Result], domains: Sequence[str]) -> list[dict[str, Any]]:
    """A line for each domain and metric: mean, spread, and how many seeds."""
    rows = []
    for domain in domains:
        figures = [seed.figures(domain) for seed in seeds if domain in seed.reports]
        for metric in METRICS:
            values = known(figures, metric)
            if values:
                rows.append(
                    {
                        **dict(zip(("system", "masks", "labels"), key, strict=True)),
                        "domain": domain,
                        "metric": metric,
                        "mean": statistics.mean(values),
                        "std": statistics.stdev(values) if len(values) > 1 else "",
                        "seeds": len(values),
                    }
                )
    return rows


def known(figures: Sequence[dict[str, float]], metric: str) -> list[float]:
    """Values of the seeds that have one."""
    return [f[metric] for f in figures if metric in f and not math.isnan(f[metric])]


def markdown(groups: dict[Key, list[Result]], domains: Sequence[str]) -> str:
    """A table a domain; a row a system and budget."""
    parts = []
    for domain in domains:
        head = ["system", "masks", "labels", "seeds", *SHOWN]
        lines = [line(head), line(["---"] * len(head))]
        for (system, masks, labels), seeds in groups.items():
            figures = [seed.figures(domain) for seed in seeds if domain in seed.reports]
            if any(figures):
                cells = [cell(known(figures, metric), metric=metric) for metric in SHOWN]
                budget = ["" if n is None else str(n) for n in (masks, labels)]
                lines.append(line([system, *budget, str(len(figures)), *cells]))
        parts.append(f"## {domain.capitalize()}\n\n" + "\n".join(lines) + "\n")
    return "\n".join(parts)


def cell(values: Sequence[float], *, metric: str) -> str:
    """Mean and standard deviation over seeds; empty where nothing is known."""
    if not values:
        return ""
    digits = 1 if metric in IN_PIXELS else 3
    spread = f" ± {statistics.stdev(values):.{digits}f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.{digits}f}{spread}"


def comparisons_markdown(compared: Sequence[Comparison], *, baseline: str) -> str:
    """Differences with their intervals; a clear one in bold."""
    head = ["system", "masks", "labels", "domain", "seeds", "metric", f"difference to {baseline}"]
    lines = [line(head), line(["---"] * len(head))]
    for c in compared:
        low, high = c.difference.interval
        text = f"{c.difference.value:+.4f} ({low:+.4f} to {high:+.4f})"
        text = f"**{text}**" if c.difference.is_clear else text
        budget = ["" if n is None else str(n) for n in (c.masks, c.labels)]
        lines.append(line([c.system, *budget, c.domain, str(c.seeds), c.metric, text]))
    about = (
        "Mean over common seeds of the difference on the same test cases; in brackets the 95 % "
        "interval by bootstrap over patients, in bold where it leaves 0 out. It does not hold "
        "what other seeds would give: see the spread above."
    )
    return f"\n## Compared with {baseline}\n\n{about}\n\n" + "\n".join(lines) + "\n"


def commands_markdown(results: Sequence[Result]) -> str:
    """How many runs there are, of which state of the code, and how long one took."""
    commits = sorted({str(r.record["commit"] or r.record["version"]) for r in results})
    minutes = statistics.median(r.record["seconds"] for r in results) / 60
    return (
        f"\n{len(results)} runs by {', '.join(commits)}, {minutes:.1f} minutes each (median). The "
        "commands of a run are in its run.json.\n"
    )


def row_of(c: Comparison, *, baseline: str) -> dict[str, Any]:
    """A line of comparisons.csv."""
    return {
        "system": c.system,
        "baseline": baseline,
        "masks": c.masks,
        "labels": c.labels,
        "domain": c.domain,
        "metric": c.metric,
        "seeds": c.seeds,
        "difference": c.difference.value,
        "low": c.difference.interval.low,
        "high": c.difference.interval.high,
    }


def line(cells: Iterable[str]) -> str:
    """Of a Markdown table."""
    return f"| {' | '.join(cells)} |"


def write_csv(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """With a header, also where there are no rows."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]) if rows else ["system"])
        writer.writeheader()
        writer.writerows(rows)
