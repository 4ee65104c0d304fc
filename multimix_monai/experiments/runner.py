"""Experiments, second: each run of a grid is trained and tested by the commands a user would type.

A run's folder holds `begun.json` (what was asked for), `settings.json` (what differs from
train.json), `models/`, `evaluation/`, `external-NAME/`, `log.txt`, and at its end `run.json`, with
the commands and where it came from. A run that has one is never repeated; one that was interrupted
goes on from its last checkpoint; neither goes on as something else.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from multimix_monai import __version__
from multimix_monai.apps.bundle_files import config_files
from multimix_monai.apps.train import RECIPES
from multimix_monai.data.json_file import write_json
from multimix_monai.experiments.grid import TASKS, Grid, Run
from multimix_monai.experiments.record import BEGUN, RunFailed, attempt, digests, refuse_other

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


def run_grid(
    grid: Grid, runs: Sequence[Run], *, place: Place, jobs: int = 1
) -> Iterator[tuple[Run, str]]:
    """Do what is not done yet, so many at once. Yields each run with "" or why it failed.

    Raises:
        ValueError: a finished or begun run, or a datalist, was asked for with something else.
    """
    for run in runs:
        refuse_other(asked(grid, run), place.folder(run) / BEGUN)
    prepare_datalists(grid, runs, place=place)
    with ThreadPoolExecutor(jobs) as pool:
        coming = {pool.submit(do, grid, run, place=place): run for run in runs}
        try:
            for future in as_completed(coming):
                error = future.exception()
                if error is not None and not isinstance(error, RunFailed):
                    raise error
                yield coming[future], str(error or "")
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)  # what runs is ended by the same signal
            raise


def do(grid: Grid, run: Run, *, place: Place) -> None:
    """Train and test one run, unless that is done.

    Raises:
        RunFailed: a command failed.
    """
    folder, wanted, commands = place.folder(run), asked(grid, run), []
    refuse_other(wanted, folder / BEGUN)
    if (folder / DONE).is_file():
        return
    with attempt(wanted, folder=folder) as (attempts, lock):
        write_json(wanted["settings"], folder / "settings.json")
        for command in commands_of(grid, run, place=place):
            commands.append(shlex.join(["python", *command[1:]]))
            log = folder / "log.txt"
            execute(command, log=log, threads=place.threads, name=run.name, keep=[lock])
    made = {**wanted, "commands": commands, **worked(attempts)}
    write_json({**identity(grid, run, place=place), **made}, folder / DONE)


def identity(grid: Grid, run: Run, *, place: Place) -> dict[str, Any]:
    """Which run of a grid it is, and of what data."""
    return {
        "system": run.system.name,
        "masks": run.masks,
        "labels": run.labels,
        "seed": run.seed,
        "baseline": grid.baseline,
        "development": bool(grid.develop),
        "output": str(place.output),
        "data_hash": json.loads(datalist_of(run, place).read_text("utf-8"))["content_hash"],
    }


def worked(attempts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """For how long, by which code."""
    return {
        "seconds": round(sum(one["seconds"] for one in attempts), 1),
        "version": __version__,
        "commit": " ".join(dict.fromkeys(str(one["commit"]) for one in attempts)),
    }


def asked(grid: Grid, run: Run) -> dict[str, Any]:
    """What a run is, beside its name: all that its result hangs on but data and code."""
    return {
        "recipe": run.system.recipe,
        "tasks": list(run.system.tasks),
        "settings": settings_of(grid, run),
        "external": list(grid.external),
        "configs": digests(config_files("train.json", *RECIPES.get(run.system.recipe, []))),
    }


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
    """By `multimix datalist`, unless it is there.

    Raises:
        ValueError: it is there, but of other options.
    """
    begun = path.with_suffix(f".{BEGUN}")
    wanted = {"options": list(options), "dataset_dir": str(place.dataset_dir.resolve())}
    refuse_other(wanted, begun)
    if not begun.is_file():
        whole = [*options, "--dataset-dir", str(place.dataset_dir), "--output", str(path)]
        log = path.with_suffix(".log")
        execute([*MULTIMIX, "datalist", *whole], log=log, threads=1, name=path.stem)
        write_json({"asked": wanted}, begun)


def threshold_of(folder: Path) -> str:
    """Of the run's test, chosen on validation."""
    report = json.loads((folder / "evaluation" / "metrics.json").read_text(encoding="utf-8"))
    return str(report["threshold_prob"])


def execute(
    command: Sequence[str], *, log: Path, threads: int, name: str, keep: Sequence[int] = ()
) -> None:
    """Run a command; what it prints is added to the log.

    Args:
        keep: descriptors that the command inherits.

    Raises:
        RunFailed: it ended with an error.
    """
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    with log.open("ab") as file:
        file.write(f"\n$ {shlex.join(command)}\n".encode())
        file.flush()
        start = file.tell()
        more: dict[str, Any] = {"stdout": file, "stderr": file, "pass_fds": keep}
        ended = subprocess.run(command, env=environment, check=False, **more)
    if ended.returncode:
        printed = log.read_bytes()[start:].decode(errors="replace").replace("\r", "\n").split("\n")
        last = next((line for line in reversed(printed) if line.strip()), "it said nothing")
        raise RunFailed(f"{name}: {last.strip()} (all of it: {log})")
