"""Experiments, first: what is to be run: systems x budgets of annotation x seeds.

A grid is a JSON file; `grids/` holds ours. Its keys:

    sources, test, validation   what `multimix datalist` takes
    develop                     the same, for settings that are chosen without a look at the test
    external                    sources that are only tested on, NAME=PATH
    settings                    keys of train.json that all systems change
    systems                     name -> {recipe, settings, tasks}; settings are keys of train.json,
                                tasks what it learns, ["masks", "labels"] unless said
    masks, labels               budgets: numbers or "all"
    seeds                       numbers
    baseline                    the system that the others are compared with
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

TASKS = ("masks", "labels")
Budget = int | str | None  # a number, "all", or None where the task is not learned


@dataclass(frozen=True)
class System:
    """One way of learning: what differs from train.json."""

    name: str
    recipe: str = "default"
    settings: Mapping[str, Any] = field(default_factory=dict)
    tasks: Sequence[str] = TASKS


@dataclass(frozen=True)
class Run:
    """One training with its tests."""

    system: System
    masks: Budget
    labels: Budget
    seed: int

    @property
    def name(self) -> str:
        """Also its folder below the output's."""
        return f"{self.system.name}/{self.budget}/seed-{self.seed}"

    @property
    def budget(self) -> str:
        """Such as masks-10_labels-all."""
        known = {"masks": self.masks, "labels": self.labels}
        return "_".join(f"{task}-{n}" for task, n in known.items() if n is not None)


@dataclass(frozen=True)
class Grid:
    """All of it; see the module."""

    sources: Sequence[str]
    systems: Mapping[str, Mapping[str, Any]]
    masks: Sequence[int | str]
    labels: Sequence[int | str]
    seeds: Sequence[int]
    test: Sequence[str] = ()
    develop: Sequence[str] = ()
    validation: float = 0.1
    external: Sequence[str] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    baseline: str | None = None

    def __post_init__(self) -> None:
        if self.baseline is not None and self.baseline not in self.systems:
            raise ValueError(f"baseline is {self.baseline!r}, none of {list(self.systems)}")
        for name, system in self.systems.items():
            if Path(name).name != name:
                raise ValueError(
                    f"system {name!r} cannot name a folder: leave slashes and dots out"
                )
            refuse_unknown(system, ("recipe", "settings", "tasks"), place=f"system {name!r}")
            if not system.get("tasks", TASKS) or set(system.get("tasks", TASKS)) - set(TASKS):
                raise ValueError(f"system {name!r}: tasks is {system['tasks']}: use {TASKS}")

    def runs(self) -> list[Run]:
        """Seed by seed, so that a grid half done has all its rows."""
        return [run for seed in self.seeds for run in self._of_seed(seed)]

    def _of_seed(self, seed: int) -> Iterator[Run]:
        for name, content in self.systems.items():
            system = System(name, **content)
            for masks in self.masks if "masks" in system.tasks else (None,):
                for labels in self.labels if "labels" in system.tasks else (None,):
                    yield Run(system, masks, labels, seed)


def load_grid(name: str) -> Grid:
    """A grid of ours by its name, or of a JSON file by its path.

    Raises:
        FileNotFoundError: neither is there.
        ValueError: the file is not JSON, or a key is missing or unknown.
    """
    shipped = files("multimix_monai.experiments") / "grids" / f"{name}.json"
    path = Path(name)
    if not (path.is_file() or shipped.is_file()):
        raise FileNotFoundError(
            f"grid {name} is no file and none of {', '.join(shipped_grids())}: name one"
        )
    text = (path if path.is_file() else shipped).read_text(encoding="utf-8")
    try:
        content = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"{name} is not JSON: {error}") from error
    return grid_of(content, place=name)


def grid_of(content: Mapping[str, Any], *, place: str) -> Grid:
    """A grid from what its file holds. place: where it comes from, for errors."""
    refuse_unknown(content, tuple(Grid.__dataclass_fields__), place=place)
    missing = {"sources", "systems", "masks", "labels", "seeds"} - set(content)
    if missing:
        raise ValueError(f"{place} lacks {', '.join(sorted(missing))}: see grids/ for examples")
    return Grid(**content)


def shipped_grids() -> list[str]:
    """Names of our grids."""
    folder = files("multimix_monai.experiments") / "grids"
    return sorted(path.name.removesuffix(".json") for path in folder.iterdir())


def refuse_unknown(content: Mapping[str, Any], known: Sequence[str], *, place: str) -> None:
    """Raises: ValueError: a key is none of the known ones."""
    unknown = set(content) - set(known)
    if unknown:
        raise ValueError(
            f"{place} has the unknown key {sorted(unknown)[0]!r}: use {', '.join(known)}"
        )
