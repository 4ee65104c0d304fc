"""Experiments: how many masks must be drawn, if the next case is chosen well? An annotator in play.

    multimix datalist montgomery=montgomery --dataset-dir DATA --validation 0 \
        --test montgomery=45 --output datalist.json
    python -m multimix_monai.experiments.annotator datalist.json --dataset-dir DATA \
        --output runs/annotator
    python -m multimix_monai.experiments table runs/annotator

The known masks of the training part are the annotator's answers: a system chooses cases, gets their
masks, trains anew, is measured on the test part, and chooses again. The same command goes on where
it was interrupted, and what is finished makes a table at any time. Nothing is validated, since
those masks would have to be drawn too: the last weights of a training count.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.bundle import ConfigParser

from multimix_monai.apps.bundle_files import config_files
from multimix_monai.data.datalist import write_datalist
from multimix_monai.data.integrity import content_hash
from multimix_monai.data.json_file import write_json
from multimix_monai.data.keys import Keys
from multimix_monai.data.overrides import parse_overrides
from multimix_monai.engines import Informativeness, appearance, informativeness, next_cases
from multimix_monai.experiments.grid import Grid, Run
from multimix_monai.experiments.record import refuse_other
from multimix_monai.experiments.results import by_key, load_results
from multimix_monai.experiments.runner import Place, datalist_of, do, settings_of
from multimix_monai.handlers import load_weights

Item = dict[str, Any]
BATCH = 16
BASELINE = "random-supervised"
# What differs from train.json: so small that a training takes minutes on one core.
SETTINGS: dict[str, Any] = {
    "image_size": 128,
    "max_epochs": 6,
    "steps_per_epoch": 50,
    "val_interval": 1_000_000,  # never
    "batch_sizes#mask_labelled": 8,
}
# Name -> images without a mask in a step; what begins with "active" chooses, what does not draws.
SYSTEMS = {"active-semi": 8, "active-supervised": 0, BASELINE: 0}


@dataclass(frozen=True)
class Own(Place):
    """Of one system, that has datalists of its own, since it chose their cases."""

    def folder(self, run: Run) -> Path:
        """As of all systems."""
        return self.output.parent / run.name


@dataclass(frozen=True)
class Simulation:
    """What all systems and seeds share.

    Attributes:
        datalist: the parsed JSON; paths are relative to dataset_dir.
        grid: systems, budgets of masks and seeds.

    Raises:
        ValueError: fewer cases have a mask than the largest budget.
    """

    datalist: Mapping[str, Any]
    grid: Grid
    dataset_dir: Path
    output: Path

    def __post_init__(self) -> None:
        most = max(int(n) for n in self.grid.masks)
        if len(self.pool()) < most:
            raise ValueError(
                f"the datalist has {len(self.pool())} training cases with a mask, but the largest "
                f"budget is {most}: lower --masks, or test on fewer patients"
            )

    def pool(self) -> list[Item]:
        """Training cases of which the annotator knows the mask."""
        return [item for item in self.datalist["training"] if mask_of(item)]

    def simulate(self, runs: Sequence[Run]) -> None:
        """One system with one seed, fewest masks first; what is done already is not done again."""
        annotated: list[str] = []
        weights: Path | None = None
        for run in runs:
            place = Own(self.output / run.system.name, self.dataset_dir)
            folder, datalist = place.folder(run), datalist_of(run, place)
            record = datalist.with_suffix(".annotated")
            before = [n for n in self.grid.masks if int(n) <= int(run.masks or 0)]
            begun = {"data_hash": self.datalist["content_hash"], "masks": before}
            refuse_other(begun, record)
            if not record.is_file():
                count = int(run.masks or 0) - len(annotated)
                annotated += self.choose(run, annotated=annotated, count=count, weights=weights)
                write_datalist(self.answered(annotated), datalist)
                write_json({"asked": begun, "annotated": annotated}, record)
            annotated = json.loads(record.read_text(encoding="utf-8"))["annotated"]
            do(self.grid, run, place=place)
            weights = folder / "models" / "model.pt"
            weights.with_name("last.pt").unlink(missing_ok=True)  # only to go on from

    def choose(
        self, run: Run, *, annotated: Sequence[str], count: int, weights: Path | None
    ) -> list[str]:
        """Names of the next cases.

        Args:
            annotated: those that are done, in their order.
            weights: trained on them; None before the first training.
        """
        if run.system.name.startswith("active"):
            known = self.known(run, weights)
            return next_cases(known, annotated=annotated, count=count, class_weight=0)
        names = sorted(map(name_of, self.pool()))
        order = np.random.default_rng(run.seed).permutation(len(names))
        return [names[n] for n in order[len(annotated) : len(annotated) + count]]

    def known(self, run: Run, weights: Path | None) -> dict[str, Informativeness]:
        """What is known of each case of the pool, by the network or, without one, by its look."""
        parser = ConfigParser()
        parser.read_config(config_files("train.json"))
        parser.update(settings_of(self.grid, run))
        threshold_prob, chain, network = (
            parser.get_parsed_content(key)
            for key in ("lung_threshold_prob", "validate#preprocessing", "network_def")
        )
        if weights is not None:
            load_weights(network, weights)
        found: list[Informativeness] = []
        items = self.pool()
        for start in range(0, len(items), BATCH):
            paths = [self.dataset_dir / i[Keys.IMAGE] for i in items[start : start + BATCH]]
            images = torch.stack(
                [chain({Keys.IMAGE: str(p)})[Keys.IMAGE].as_tensor() for p in paths]
            )
            if weights is None:
                found += appearance(images)
            else:
                found += informativeness(network, images, threshold_prob=threshold_prob)
        return dict(zip(map(name_of, items), found, strict=True))

    def answered(self, annotated: Sequence[str]) -> dict[str, Any]:
        """The datalist with the masks of the annotated cases alone, no label, no validation."""
        hidden = (Keys.MASK, Keys.HIDDEN_MASK, Keys.LABEL, Keys.HIDDEN_LABEL)
        training = []
        for item in self.datalist["training"]:
            rest = {key: value for key, value in item.items() if key not in hidden}
            key = Keys.MASK if name_of(item) in annotated else Keys.HIDDEN_MASK
            training.append(rest | ({key: mask_of(item)} if mask_of(item) else {}))
        parts = {"training": training, "validation": [], "test": self.datalist["test"]}
        return {"content_hash": content_hash(parts, dataset_dir=self.dataset_dir), **parts}


def name_of(item: Item) -> str:
    """Unique among all sources."""
    return f"{item[Keys.SOURCE]}/{item[Keys.CASE]}"


def mask_of(item: Item) -> Any:
    """Files of the mask, visible or hidden; None without."""
    return item.get(Keys.MASK) or item.get(Keys.HIDDEN_MASK)


def grid_of(masks: Sequence[int], *, seeds: int, settings: Mapping[str, Any]) -> Grid:
    """All systems at so many masks, which rise, with so many seeds."""
    systems = {
        name: {"tasks": ["masks"], "settings": {"batch_sizes#mask_unlabelled": n}}
        for name, n in SYSTEMS.items()
    }
    return Grid(
        sources=[],
        systems=systems,
        masks=sorted(masks),
        labels=[],
        seeds=list(range(seeds)),
        settings={**SETTINGS, **settings},
        baseline=BASELINE,
    )


def chains(grid: Grid) -> list[list[Run]]:
    """The runs of each system and seed; the first seed of all systems first."""
    found: dict[tuple[int, str], list[Run]] = {}
    for run in grid.runs():
        found.setdefault((run.seed, run.system.name), []).append(run)
    return list(found.values())


def masks_needed(dice: Mapping[int, float], wanted: float) -> float | None:
    """Fewest masks with which a Dice is reached, None if it is not.

    Args:
        dice: masks -> mean Dice; between two of them it is taken to lie on a straight line.
        wanted: the Dice.
    """
    points = sorted(dice.items())
    for n, (masks, value) in enumerate(points):
        if value >= wanted:
            if n == 0:
                return float(masks)
            fewer, low = points[n - 1]
            return fewer + (masks - fewer) * (wanted - low) / (value - low)
    return None


def summary(output: Path) -> str:
    """Markdown: the masks with which each system reaches what the baseline does with most.

    Raises:
        FileNotFoundError: no run is finished.
    """
    dice: dict[str, dict[int, float]] = {}
    for (system, masks, _), results in by_key(load_results(output)).items():
        values = [result.figures(result.own)["Dice"] for result in results]
        dice.setdefault(system, {})[masks] = float(np.mean(values))
    if BASELINE not in dice:
        return f"{BASELINE} has no finished run yet"
    most = max(dice[BASELINE])
    wanted = dice[BASELINE][most]
    lines = [f"| system | masks for {BASELINE}'s Dice with {most}, {wanted:.4f} |", "|---|---|"]
    for system, points in dice.items():
        needed = masks_needed(points, wanted)
        lines.append(f"| {system} | {'not reached' if needed is None else f'{needed:.0f}'} |")
    return "\n".join(lines)


def main(arguments: Sequence[str]) -> str:
    """Simulate, or go on; the summary."""
    parser = argparse.ArgumentParser(prog="python -m multimix_monai.experiments.annotator")
    parser.add_argument("datalist", type=Path)
    parser.add_argument("--dataset-dir", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--system", action="append", choices=list(SYSTEMS), help="only this")
    parser.add_argument("--masks", nargs="+", type=int, default=[5, 10, 20, 40])
    parser.add_argument("--seeds", type=int, default=3, help="how many")
    parser.add_argument("--jobs", type=int, default=1, help="trainings at a time")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    given = parser.parse_args(arguments)
    simulation = Simulation(
        datalist=json.loads(given.datalist.read_text(encoding="utf-8")),
        grid=grid_of(given.masks, seeds=given.seeds, settings=parse_overrides(given.set)),
        dataset_dir=given.dataset_dir,
        output=given.output,
    )
    torch.set_num_threads(1)
    wanted = [c for c in chains(simulation.grid) if c[0].system.name in (given.system or SYSTEMS)]
    with ThreadPoolExecutor(given.jobs) as jobs:
        list(jobs.map(simulation.simulate, wanted))
    return summary(given.output)


if __name__ == "__main__":
    sys.stdout.write(main(sys.argv[1:]) + "\n")
