"""Experiments, the commands: run a grid, make its table, publish the weights of a run.

python -m multimix_monai.experiments run budgets --dataset-dir DATA --output runs/budgets
python -m multimix_monai.experiments table runs/budgets
python -m multimix_monai.experiments publish runs/weights/RUN --dataset-dir DATA
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from multimix_monai.data.overrides import parse_overrides
from multimix_monai.experiments.grid import Grid, Run, load_grid, shipped_grids
from multimix_monai.experiments.record import RunFailed
from multimix_monai.experiments.runner import Place, run_grid

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)
Chosen = list[str] | None


@app.command()
def run(
    grid: Annotated[
        str, typer.Argument(help=f"{', '.join(shipped_grids())}, or a JSON file like them.")
    ],
    output: Annotated[Path, typer.Option(help="Folder of all runs.")],
    dataset_dir: Annotated[Path, typer.Option(help="Folder that the sources are relative to.")],
    jobs: Annotated[int, typer.Option(min=1, help="Runs at once; a GPU has room for some.")] = 1,
    systems: Annotated[Chosen, typer.Option("--system", help="Only this; repeatable.")] = None,
    masks: Annotated[Chosen, typer.Option(help="Only this budget; repeatable.")] = None,
    labels: Annotated[Chosen, typer.Option(help="Only this budget; repeatable.")] = None,
    seeds: Annotated[list[int] | None, typer.Option("--seed", help="Repeatable.")] = None,
    overrides: Annotated[
        Chosen, typer.Option("--set", help="KEY=VALUE of train.json for all systems; repeatable.")
    ] = None,
) -> None:
    """Train and test systems x budgets x seeds; what is done is not done again."""
    chosen = load_grid(grid)
    runs = choose(chosen, systems=systems, masks=masks, labels=labels, seeds=seeds)
    if overrides:
        chosen = with_settings(chosen, parse_overrides(overrides), runs=runs)
    place = Place(output, dataset_dir, threads=threads_of(jobs))
    failed = watch(chosen, runs, place=place, jobs=jobs)
    if failed:
        raise typer.Exit(1)


@app.command()
def table(output: Annotated[Path, typer.Argument(help="The folder of all runs.")]) -> None:
    """Write table.md, table.csv, comparisons.csv, dice.png and auc.png of the finished runs."""
    from multimix_monai.experiments.table import write_tables

    typer.echo(write_tables(output))
    typer.echo(f"wrote {output / 'table.md'}, table.csv and comparisons.csv, dice.png, auc.png")


@app.command()
def publish(
    run: Annotated[Path, typer.Argument(help="Folder of a finished run.")],
    dataset_dir: Annotated[Path, typer.Option(help="Folder that its sources are relative to.")],
    bundle: Annotated[Path, typer.Option(help="Whose weights they become.")] = Path("bundle"),
    folder: Annotated[str, typer.Option(help="Of its models, for weights beside its own.")] = "",
    radiographs: Annotated[int, typer.Option(help="To fit the frontal check on.")] = 800,
) -> None:
    """Make a run's weights the bundle's, with calibration, frontal check and provenance."""
    from multimix_monai.experiments import publish as module

    for path in module.publish(
        run, dataset_dir=dataset_dir, bundle=bundle, folder=folder, radiographs=radiographs
    ):
        typer.echo(f"wrote {path}")


def threads_of(jobs: int) -> int:
    """Of each run: OMP_NUM_THREADS where that is set, else the cores are shared out."""
    given = os.environ.get("OMP_NUM_THREADS", "")
    return int(given) if given.isdigit() else max(1, (os.cpu_count() or 1) // jobs)


def choose(
    grid: Grid, *, systems: Chosen, masks: Chosen, labels: Chosen, seeds: list[int] | None
) -> list[Run]:
    """The runs of a part of the grid; a budget or seed that it has not is added.

    Raises:
        ValueError: a system is none of the grid's.
    """
    unknown = sorted(set(systems or ()) - set(grid.systems))
    if unknown:
        raise ValueError(f"--system {unknown[0]} is none of {', '.join(grid.systems)}")
    part = replace(
        grid,
        masks=[numbered(n) for n in masks] if masks else grid.masks,
        labels=[numbered(n) for n in labels] if labels else grid.labels,
        seeds=seeds or grid.seeds,
    )
    return [run for run in part.runs() if not systems or run.system.name in systems]


def with_settings(grid: Grid, settings: dict[str, Any], *, runs: Sequence[Run]) -> Grid:
    """The grid with keys of train.json changed for all systems.

    Raises:
        ValueError: a system of the runs sets one of them itself, and would go on to do so.
    """
    for run in runs:
        for key in sorted(set(settings) & set(run.system.settings)):
            raise ValueError(
                f"--set {key}: system {run.system.name!r} sets it itself; choose others by "
                "--system, or change a copy of the grid"
            )
    return replace(grid, settings={**grid.settings, **settings})


def numbered(text: str) -> int | str:
    """ "10" -> 10; "all" stays."""
    return int(text) if text.isdigit() else text


def watch(grid: Grid, runs: Sequence[Run], *, place: Place, jobs: int) -> list[str]:
    """Run with a bar; a failed run is named and the others go on. Returns what failed."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeElapsedColumn

    failed = []
    columns = ("{task.description}", BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns) as bar:
        task = bar.add_task("runs", total=len(runs))
        for done, error in run_grid(grid, runs, place=place, jobs=jobs):
            bar.print(f"failed: {error}" if error else f"done: {done.name}")
            failed += [error] if error else []
            bar.advance(task)
    typer.echo(f"{len(runs) - len(failed)} of {len(runs)} runs are done, in {place.output}")
    return failed


def main() -> None:
    """What a user can mend ends as one line."""
    try:
        app()
    except (ValueError, OSError, RunFailed) as error:
        typer.echo(f"error: {error}", err=True)
        raise SystemExit(1) from error


if __name__ == "__main__":
    main()
