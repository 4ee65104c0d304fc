"""Apps: `multimix train`, the bundle's training run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer


def train_command(
    datalist: Annotated[Path, typer.Option(help="JSON that `multimix datalist` wrote.")],
    dataset_dir: Annotated[Path, typer.Option(help="Folder that its paths start from.")] = Path(
        "."
    ),
    output: Annotated[
        Path, typer.Option(help="Folder of checkpoints, TensorBoard, report.")
    ] = Path("runs/multimix"),
    recipe: Annotated[
        str, typer.Option(help="default, or paper: the published method.")
    ] = "default",
    epochs: Annotated[int | None, typer.Option(help="Epochs; more of them resume a run.")] = None,
    seed: Annotated[int, typer.Option(help="Of weights, order and augmentation.")] = 0,
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", help="Any key of train.json: KEY=VALUE, repeatable."),
    ] = None,
) -> None:
    """Train; the same command again goes on where it was interrupted."""
    from multimix_monai.apps.bundle import parse_overrides, run_bundle

    if recipe not in ("default", "paper"):
        raise typer.BadParameter(f"recipe is {recipe!r}: use default or paper")
    names = ["train.json"] + (["paper.json"] if recipe == "paper" else [])
    settings: dict[str, Any] = {"max_epochs": epochs} if epochs is not None else {}
    settings |= {"datalist": str(datalist), "dataset_dir": str(dataset_dir), "seed": seed}
    settings |= {"output_dir": str(output), **parse_overrides(overrides or [])}
    run_bundle("training", names, settings)
