"""Apps: `multimix evaluate`, the bundle's evaluation run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from multimix_monai.apps.train import config_names


def evaluate_command(
    datalist: Annotated[Path, typer.Option(help="JSON that `multimix datalist` wrote.")],
    dataset_dir: Annotated[Path, typer.Option(help="Folder that its paths start from.")] = Path(
        "."
    ),
    output: Annotated[Path, typer.Option(help="Folder of the report.")] = Path("runs/evaluation"),
    weights: Annotated[
        Path | None, typer.Option(help="Weights; the bundle's own if absent.")
    ] = None,
    calibration: Annotated[
        Path | None,
        typer.Option(help="Of these weights; that beside them if absent."),
    ] = None,
    part: Annotated[str, typer.Option(help="Part of the datalist.")] = "test",
    threshold: Annotated[
        float | None,
        typer.Option(
            min=0, max=1, help="Of the probability, calibrated; chosen on validation if absent."
        ),
    ] = None,
    recipe: Annotated[str, typer.Option(help="As in training: default or paper.")] = "default",
    config: Annotated[
        list[Path] | None, typer.Option(help="As in training, repeatable; before --set.")
    ] = None,
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", help="Any key of the configs: KEY=VALUE, repeatable."),
    ] = None,
) -> None:
    """Measure masks and labels on a part of a datalist: intervals, plots, the worst cases."""
    from multimix_monai.apps.bundle import own_bundle, parse_overrides, run_bundle

    found = weights or Path(own_bundle()) / "models" / "model.pt"
    settings: dict[str, Any] = {"datalist": str(datalist), "dataset_dir": str(dataset_dir)}
    settings |= {"report_dir": str(output), "ckpt_path": str(found), "part": part}
    settings |= {"calibration_path": calibration and str(calibration)}
    settings |= {"threshold_prob": threshold, **parse_overrides(overrides or [])}
    names = [*config_names(recipe, more=config or []), "evaluate.json"]
    run_bundle("evaluating", names, settings)
