"""Experiments: an audit's pictures: AUCs as bars with intervals, and what the network was shown."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch

from multimix_monai.data.keys import CLASSES, Keys
from multimix_monai.engines import CaseDataset
from multimix_monai.experiments.audit_answers import Item, Panel
from multimix_monai.experiments.audit_estimates import Estimate
from multimix_monai.experiments.external import ALL, CHANCE, NETWORK
from multimix_monai.experiments.shortcuts import WHOLE, Plane, regions, views
from multimix_monai.handlers.figures import COLOURS, new_figure
from multimix_monai.transforms.quality import frame

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

VIEW, BASELINE = COLOURS[0], COLOURS[4]
A_CLASS = 2  # pictures of each class that are shown


def auc_figure(result: Mapping[str, Any]) -> Figure:
    """By set the AUC of each view and of each baseline, with intervals; a dot is one of weights."""
    sets = result["sets"]
    figure = new_figure(1.5 + 5.5 * len(sets), 6.5)
    for axes, (name, found) in zip(
        figure.subplots(1, len(sets), squeeze=False)[0], sets.items(), strict=True
    ):
        group = found["groups"][ALL]
        views_of = dict(found["shortcuts"]["auc"])
        others = {n: e for n, e in group["auc"].items() if n not in (NETWORK, CHANCE)}
        _bars(axes, {VIEW: views_of, BASELINE: others})
        low, high = group["auc"][CHANCE].interval
        axes.axvspan(low, high, color="0.85", zorder=0, label="chance")
        axes.plot([], [], color=VIEW, linewidth=6, label="network's answer to")
        axes.plot([], [], color=BASELINE, linewidth=6, label="no network")
        counts = f"{group['n_normal']} normal, {group['n_pneumonia']} pneumonia"
        axes.set(title=f"{name}\n{counts}", xlabel="AUC, 95 % interval by patients", xlim=(0, 1))
        handles = axes.get_legend_handles_labels()
    figure.legend(*handles, loc="outside lower center", ncols=3, fontsize=8)
    return figure


def _bars(axes: Axes, coloured: Mapping[str, Mapping[str, Estimate]]) -> None:
    names: list[str] = []
    for colour, estimates in coloured.items():
        for name, estimate in estimates.items():
            if not math.isfinite(estimate.value):
                continue
            row, (low, high) = len(names), estimate.interval
            axes.barh(row, estimate.value - 0.5, left=0.5, color=colour, alpha=0.75)
            axes.plot([low, high], [row, row], color="black", linewidth=1.5)
            if len(estimate.each) > 1:
                axes.plot(estimate.each, [row] * len(estimate.each), ".", color="black")
            names.append(name)
    axes.axvline(0.5, color="black", linestyle=":", linewidth=1)
    axes.set_yticks(range(len(names)), names, fontsize=8)
    axes.invert_yaxis()


def views_figure(panel: Panel, sets: Mapping[str, Sequence[Item]], *, seed: int) -> Figure:
    """Some pictures of each set and class with all their views, without a name. A row a case."""
    rows = [
        (f"{name}\n{CLASSES[label]}", shown)
        for name, items in sets.items()
        for label in (0, 1)
        for shown in sample_views(panel, [i for i in items if i[Keys.LABEL] == label], seed=seed)
    ]
    n_columns = max((len(shown) for _, shown in rows), default=1)
    figure = new_figure(1.3 * n_columns, 1 + 1.35 * len(rows))
    places = figure.subplots(max(len(rows), 1), n_columns, squeeze=False)
    for place in places.flat:
        place.set_axis_off()
    for number, (line, (title, shown)) in enumerate(zip(places, rows, strict=False)):
        line[0].text(-0.05, 0.5, title, transform=line[0].transAxes, ha="right", va="center")
        for place, (view, image) in zip(line, shown.items(), strict=False):
            place.imshow(image, cmap="gray", vmin=0, vmax=1)
            if number == 0:
                place.set_title(view.replace(", ", "\n"), fontsize=8)
    return figure


def sample_views(panel: Panel, items: Sequence[Item], *, seed: int) -> list[dict[str, Plane]]:
    """Views of a few cases, by the first network's masks; without lungs the whole alone."""
    chosen = random.Random(seed).sample(list(items), min(A_CLASS, len(items)))
    read = (CaseDataset(chosen, panel.chain)[n] for n in range(len(chosen)))
    return [_views(panel, case) for case in read if Keys.ERROR not in case]


def _views(panel: Panel, case: Item) -> dict[str, Plane]:
    image: torch.Tensor = case[Keys.IMAGE].as_tensor()
    of = frame(case[Keys.IMAGE])
    lungs = panel.lungs(panel.packed(0, image[None])[0], of)
    plane: Plane = image[0].numpy()
    if not lungs.any():
        return {WHOLE: plane}
    return views(plane, regions(lungs, of, margin_px=panel.settings.margin_px), of)
