"""Path of data, last stop: the report's plots, as matplotlib figures without global state."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.metrics import roc_curve

from multimix_monai.data.keys import CLASSES
from multimix_monai.handlers.figures import COLOURS, new_figure, tidy
from multimix_monai.metrics.calibration import reliability_curve
from multimix_monai.metrics.summary import ALL, CaseResult, label_arrays

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NORMAL, PNEUMONIA = COLOURS[:2]
RELIABILITY_BINS = 10  # fewer than the error's 15: a point should stand for some cases


def _by_source(results: Sequence[CaseResult]) -> dict[str, list[CaseResult]]:
    return {
        s: [r for r in results if r.source == s] for s in dict.fromkeys(r.source for r in results)
    }


def _number(entry: dict[str, float | None], key: str) -> str:
    """A metric with its interval, as text; what has no value is left out."""
    if entry[key] is None:
        return "no value"
    text = f"{entry[key]:.3f}"
    if entry["low"] is not None and entry["high"] is not None:
        text += f" ({entry['low']:.3f} to {entry['high']:.3f})"
    return text


def roc_plot(results: Sequence[CaseResult], report: dict[str, Any]) -> Figure:
    """Sensitivity against 1 - specificity by source, the chosen threshold as a dot."""
    figure = new_figure(5.2, 5.2)
    axes = figure.add_subplot()
    axes.plot([0, 1], [0, 1], color="0.7", linestyle="--", linewidth=1)
    for (source, part), colour in zip(_by_source(results).items(), COLOURS * 9, strict=False):
        probs, labels = label_arrays(part)
        if len(set(labels)) < 2:
            continue
        metrics = report["labels"][source]["metrics"]
        false_rate, true_rate, _ = roc_curve(labels, probs, drop_intermediate=False)
        name = f"{source}: AUC {_number(metrics['auc'], 'value')}"
        axes.plot(false_rate, true_rate, color=colour, linewidth=1.8, label=name)
        point = (1 - metrics["specificity"]["value"], metrics["sensitivity"]["value"])
        axes.plot(*point, "o", color=colour, markersize=8, markeredgecolor="white")
    axes.plot([], [], "o", color="0.4", label=f"threshold {report['threshold_prob']:.3f}")
    axes.set(xlabel="1 - specificity", ylabel="sensitivity", xlim=(-0.01, 1), ylim=(0, 1.01))
    axes.set(title="Pneumonia: receiver operating characteristic", aspect="equal")
    axes.legend(loc="lower right", fontsize=8, framealpha=0.9)
    tidy(axes)
    return figure


def reliability_plot(results: Sequence[CaseResult], labels_summary: dict[str, Any]) -> Figure:
    """What share of the cases of a probability has pneumonia, and how often each is said."""
    figure = new_figure(5.2, 6.2)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    upper.plot([0, 1], [0, 1], color="0.7", linestyle="--", linewidth=1, label="as often as said")
    for (source, part), colour in zip(_by_source(results).items(), COLOURS * 9, strict=False):
        curve = reliability_curve(*label_arrays(part), bins=RELIABILITY_BINS)
        filled = curve.n_cases > 0
        error = labels_summary[source]["metrics"]["calibration_error"]
        name = f"{source}: error {_number(error, 'value')}"
        points = (curve.mean_prob[filled], curve.positive_rate[filled])
        upper.plot(*points, color=colour, linewidth=1.2, label=name)
        sizes = 15 + 120 * curve.n_cases[filled] / curve.n_cases.sum()
        upper.scatter(*points, s=sizes, color=colour, edgecolor="white", zorder=3)
    probs, labels = label_arrays(results)
    edges = np.linspace(0, 1, 2 * RELIABILITY_BINS + 1)
    groups = [probs[labels == 0], probs[labels == 1]]
    names = list(CLASSES)
    lower.hist(groups, bins=edges, stacked=True, color=[NORMAL, PNEUMONIA], label=names)
    upper.set(ylabel="observed rate of pneumonia", xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    upper.set_title("Is a probability what it says?")
    lower.set(xlabel="predicted probability of pneumonia", ylabel="cases")
    for axes in (upper, lower):
        axes.legend(fontsize=8, framealpha=0.9)
        tidy(axes)
    return figure


def dice_plot(results: Sequence[CaseResult], masks_summary: dict[str, Any]) -> Figure:
    """Dice of each case as a dot beside its source's quartiles."""
    sources = _by_source(results)
    figure = new_figure(2.6 + 1.7 * len(sources), 4.6)
    axes = figure.add_subplot()
    rng, names = np.random.default_rng(0), []
    for place, (source, part) in enumerate(sources.items()):
        dice = np.array([r.metrics.get("dice", np.nan) for r in part])
        dice = dice[~np.isnan(dice)]
        axes.boxplot(
            [dice], positions=[place], widths=0.5, showfliers=False, medianprops={"color": "black"}
        )
        across = place + rng.uniform(-0.18, 0.18, len(dice))
        colour = COLOURS[place % len(COLOURS)]
        axes.scatter(across, dice, s=16, color=colour, alpha=0.7, linewidth=0, zorder=3)
        mean = _number(masks_summary[source]["metrics"]["dice"], "mean")
        names.append(f"{source} (n = {len(dice)})\nmean {mean}")
    axes.set_xticks(range(len(names)), names, fontsize=8)
    axes.set(ylabel="Dice", title="Lung masks", xlim=(-0.6, len(names) - 0.4))
    bottom, top = axes.get_ylim()
    axes.set_ylim(top=min(top, 1 + 0.02 * (1 - bottom)))
    tidy(axes)
    axes.grid(visible=False, axis="x")
    return figure


def confusion_plot(labels_summary: dict[str, Any]) -> Figure:
    """How many cases of each class were called what, all sources together."""
    source = ALL if ALL in labels_summary else next(iter(labels_summary))
    counts = labels_summary[source]["confusion"]
    table = np.array(
        [
            [counts["true_negative"], counts["false_positive"]],
            [counts["false_negative"], counts["true_positive"]],
        ]
    )
    part = table / np.maximum(table.sum(axis=1, keepdims=True), 1)
    figure = new_figure(4.2, 4.0)
    axes = figure.add_subplot()
    axes.imshow(part, cmap="Blues", vmin=0, vmax=1.2)
    for row, column in np.ndindex(2, 2):
        text = f"{table[row, column]}\n{100 * part[row, column]:.1f} %"
        colour = "white" if part[row, column] > 0.6 else "black"
        axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=13)
    classes = list(CLASSES)
    axes.set_xticks([0, 1], classes)
    axes.set_yticks([0, 1], classes, rotation=90, va="center")
    axes.set(xlabel="called", ylabel="label", title=f"Calls at the threshold ({source})")
    return figure
