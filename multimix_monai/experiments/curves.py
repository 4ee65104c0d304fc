"""Experiments, fifth: Dice and AUC against the number of annotations, one line a system."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from multimix_monai.experiments.compare import Key
from multimix_monai.experiments.results import Result, amount
from multimix_monai.handlers.figures import COLOURS, new_figure, tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Metric -> which budget goes along the axis and which one tells the panels apart; places in a key.
PANELS = {"Dice": (1, 2), "AUC": (2, 1)}
NAMES = {1: "masks", 2: "labels"}
MARKERS = "osD^vP*Xh"


def plot_curves(groups: dict[Key, list[Result]], *, output: Path) -> list[Path]:
    """Write dice.png and auc.png, a panel for each budget of the other task.

    A system that learns one task alone stands in all panels.
    """
    return [
        path
        for metric in PANELS
        if (path := plot_metric(groups, metric=metric, output=output)) is not None
    ]


def plot_metric(groups: dict[Key, list[Result]], *, metric: str, output: Path) -> Path | None:
    """None where no system was tested on it."""
    along, panel = PANELS[metric]
    points = {
        key: values
        for key, seeds in groups.items()
        if key[along] is not None and (values := values_of(seeds, metric))
    }
    if not points:
        return None
    panels = sorted({key[panel] for key in points} - {None}, key=amount) or [None]
    figure = new_figure(4.2 * len(panels), 4)
    axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    systems = list(dict.fromkeys(key[0] for key in points))
    for axis, fixed in zip(axes, panels, strict=True):
        some = {key: v for key, v in points.items() if key[panel] in (fixed, None)}
        draw(axis, some, systems=systems, along=along)
        axis.set_title(f"{NAMES[panel]}: {fixed}" if fixed is not None else "")
        axis.set_xlabel(NAMES[along])
    axes[0].set_ylabel(f"{metric}, mean and spread over seeds")
    named = {
        label: handle
        for axis in axes
        for handle, label in zip(*axis.get_legend_handles_labels(), strict=True)
    }
    figure.legend(named.values(), named.keys(), loc="outside right upper", frameon=False)
    path = output / f"{metric.lower()}.png"
    figure.savefig(path, dpi=120)
    return path


def values_of(seeds: Sequence[Result], metric: str) -> list[float]:
    """Of the cases that a run holds back, of the seeds that have one."""
    found = [seed.figures(seed.own).get(metric) for seed in seeds]
    return [value for value in found if value is not None and value == value]


def draw(axis: Axes, points: dict[Key, list[float]], *, systems: Sequence[str], along: int) -> None:
    """One line a system that has a point, in the colour of its place among all systems.

    Budgets stand side by side, whatever lies between them.
    """
    budgets = sorted({key[along] for key in points}, key=amount)
    for n, system in enumerate(systems):
        own = sorted(
            ((key[along], values) for key, values in points.items() if key[0] == system),
            key=lambda point: amount(point[0]),
        )
        if not own:
            continue
        axis.errorbar(
            [budgets.index(budget) + 0.03 * (n - len(systems) / 2) for budget, _ in own],
            [statistics.mean(values) for _, values in own],
            yerr=[statistics.stdev(values) if len(values) > 1 else 0 for _, values in own],
            label=system,
            color=COLOURS[n % len(COLOURS)],
            marker=MARKERS[n % len(MARKERS)],
            capsize=2,
            linewidth=1.2,
        )
    axis.set_xticks(range(len(budgets)), [str(budget) for budget in budgets])
    tidy(axis)
