"""Experiments, second: each run of a grid is trained and tested by the commands a user would type.

A run's folder holds `settings.json` (what differs from train.json), `models/`, `evaluation/`,
`external-NAME/`, `log.txt`, and at its end `run.json`, with the commands and where it came from. A
run that has one is never repeated; one that was interrupted goes on from its last checkpoint.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any

from multimix_monai import __version__
from multimix_monai.data.json_file import write_json
from multimix_monai.experiments.grid import TASKS, Grid, Run

MULTIMIX = (sys.executable, "-m", "multimix_monai.apps.cli")
DONE = "run.json"
STREAMS_OF = {
    "masks": ("mask_labelled", "mask_unlabelled"),
    "labels": ("label_labelled", "label_unlabelled"),
}
SCORE_OF = {"masks": "@validate#mean_dice", "labels": "@validate#auc"}


@dataclass(frozen=True)
class Place:
    """Where a grid is run."""

    output: Path
    dataset_dir: Path
    threads: int = 1

    def folder(self, run: Run) -> Path:
        """Of a run."""
        return self.output / run.name


class RunFailed(RuntimeError):
    """A command of a run failed; the message names the run, the command and the log."""


def run_grid(
    grid: Grid, runs: Sequence[Run], *, place: Place, jobs: int = 1
) -> Iterator[tuple[Run, str]]:
    """Do what is not done yet, so many at once. Yields each run with "" or why it failed.

    Raises:
        ValueError: a finished or begun run had other settings.
    """
    for run in runs:
        refuse_other_settings(run, settings_of(grid, run), folder=place.folder(run))
    prepare_datalists(grid, runs, place=place)
    with ThreadPoolExecutor(jobs) as pool:
        coming = {pool.submit(do, grid, run, place=place): run for run in runs}
        for future in as_completed(coming):
            error = future.exception()
            if error is not None and not isinstance(error, RunFailed):
                pool.shutdown(cancel_futures=True)
                raise error
            yield coming[future], str(error or "")


def do(grid: Grid, run: Run, *, place: Place) -> None:
    """Train and test one run, unless that is done.

    Raises:
        RunFailed: a command failed.
    """
    folder = place.folder(run)
    if (folder / DONE).is_file():
        return
    folder.mkdir(parents=True, exist_ok=True)
    settings = settings_of(grid, run)
    write_json(settings, folder / "settings.json")
    start, commands = monotonic(), []
    for command in commands_of(grid, run, place=place):
        commands.append(" ".join(command[1:]))
        execute(command, log=folder / "log.txt", threads=place.threads, name=run.name)
    record = {
        "system": run.system.name,
        "tasks": list(run.system.tasks),
        "masks": run.masks,
        "labels": run.labels,
        "seed": run.seed,
        "baseline": grid.baseline,
        "settings": settings,
        "commands": commands,
        "seconds": round(monotonic() - start, 1),
        "version": __version__,
        "commit": commit(),
        "data_hash": json.loads(datalist_of(run, place).read_text("utf-8"))["content_hash"],
    }
    write_json(record, folder / DONE)


def settings_of(grid: Grid, run: Run) -> dict[str, Any]:
    """Keys of train.json that differ: of all systems, of this one, and what its tasks need."""
    settings: dict[str, Any] = {"show_bar": False}
    missing = [task for task in TASKS if task not in run.system.tasks]
    for stream in (stream for task in missing for stream in STREAMS_OF[task]):
        settings[f"batch_sizes#{stream}"] = 0
    if missing:
        scores = [SCORE_OF[task] for task in run.system.tasks]
        settings["validate#key_metric#val_score#metrics"] = scores
    # What names a part of a key comes after what sets the whole of it.
    merged = {**grid.settings, **run.system.settings, **settings}
    return dict(sorted(merged.items(), key=lambda item: item[0].count("#")))


def commands_of(grid: Grid, run: Run, *, place: Place) -> Iterator[list[str]]:
    """Training, test, and a test on each external source."""
    folder, datalist = place.folder(run), datalist_of(run, place)
    data = ["--dataset-dir", str(place.dataset_dir)]
    same = [*data, "--recipe", run.system.recipe, "--config", str(folder / "settings.json")]
    train = ["train", "--datalist", str(datalist), "--output", str(folder)]
    yield [*MULTIMIX, *train, "--seed", str(run.seed), *same]
    weights = ["--weights", str(folder / "models" / "model.pt")]
    test = ["evaluate", "--datalist", str(datalist), "--output", str(folder / "evaluation")]
    yield [*MULTIMIX, *test, *weights, *same]
    for source in grid.external:
        listed, report = external_path(source, place), folder / f"external-{name_of(source)}"
        test = ["evaluate", "--datalist", str(listed), "--output", str(report)]
        # The threshold is that of the first test: nothing is fitted to the external set.
        yield [*MULTIMIX, *test, *weights, *same, "--threshold", threshold_of(folder)]


def budget(n: int | str | None) -> str:
    """As `multimix datalist` takes it; what is not learned may stay as it is."""
    return "all" if n is None else str(n)


def datalist_of(run: Run, place: Place) -> Path:
    """One for all systems that see the same annotations."""
    return place.output / "datalists" / f"{run.budget}_seed-{run.seed}.json"


def external_path(source: str, place: Place) -> Path:
    """Of a source that is only tested on."""
    return place.output / "datalists" / f"external-{name_of(source)}.json"


def name_of(source: str) -> str:
    """Of NAME=PATH."""
    return source.partition("=")[0]


def prepare_datalists(grid: Grid, runs: Sequence[Run], *, place: Place) -> None:
    """Write those that are missing, before runs that share one start at once."""
    (place.output / "datalists").mkdir(parents=True, exist_ok=True)
    for run in runs:
        options = ["--masks", budget(run.masks), "--labels", budget(run.labels)]
        options += ["--validation", str(grid.validation), "--seed", str(run.seed)]
        options += [part for held_back in grid.test for part in ("--test", held_back)]
        options += [part for held_back in grid.develop for part in ("--develop", held_back)]
        write_datalist([*grid.sources, *options], datalist_of(run, place), place=place)
    for source in grid.external:
        options = [source, "--test", f"{name_of(source)}=all"]
        write_datalist(options, external_path(source, place), place=place)


def write_datalist(options: Sequence[str], path: Path, *, place: Place) -> None:
    """By `multimix datalist`, unless it is there."""
    if not path.is_file():
        whole = [*options, "--dataset-dir", str(place.dataset_dir), "--output", str(path)]
        log = path.with_suffix(".log")
        execute([*MULTIMIX, "datalist", *whole], log=log, threads=1, name=path.stem)


def threshold_of(folder: Path) -> str:
    """Of the run's test, chosen on validation."""
    report = json.loads((folder / "evaluation" / "metrics.json").read_text(encoding="utf-8"))
    return str(report["threshold_prob"])


def execute(command: Sequence[str], *, log: Path, threads: int, name: str) -> None:
    """Run a command; what it prints is added to the log.

    Raises:
        RunFailed: it ended with an error.
    """
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    with log.open("ab") as file:
        file.write(f"\n$ {' '.join(command)}\n".encode())
        file.flush()
        start = file.tell()
        ended = subprocess.run(command, stdout=file, stderr=file, env=environment, check=False)
    if ended.returncode:
        printed = log.read_bytes()[start:].decode(errors="replace").replace("\r", "\n").split("\n")
        last = next((line for line in reversed(printed) if line.strip()), "it said nothing")
        raise RunFailed(f"{name}: {last.strip()} (all of it: {log})")


def refuse_other_settings(run: Run, settings: Mapping[str, Any], *, folder: Path) -> None:
    """A run that was begun may only go on as it was begun."""
    path = folder / "settings.json"
    if path.is_file() and json.loads(path.read_text(encoding="utf-8")) != dict(settings):
        raise ValueError(
            f"{path} holds other settings than the grid gives {run.name} now: take another "
            "--output, or delete that folder to run it again"
        )


def commit() -> str | None:
    """Of the checkout that the package lies in; None where it is installed."""
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty"]
    try:
        found = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return None
    return found.stdout.strip() or None
