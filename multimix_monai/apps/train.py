"""Apps: `multimix train`, the bundle's training run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from multimix_monai.apps.interrupt import resumable

RECIPES: dict[str, list[str]] = {"default": [], "paper": ["paper.json"]}


def train_command(
    datalist: Annotated[Path, typer.Option(help="JSON that `multimix datalist` wrote.")],
    dataset_dir: Annotated[Path, typer.Option(help="Folder that its paths start from.")] = Path(
        "."
    ),
    output: Annotated[Path, typer.Option(help="Folder of checkpoints and TensorBoard.")] = Path(
        "runs/multimix"
    ),
    recipe: Annotated[
        str, typer.Option(help="default, or paper: the published method.")
    ] = "default",
    epochs: Annotated[
        int | None, typer.Option(min=1, help="Epochs; more of them resume a run.")
    ] = None,
    initial_weights: Annotated[
        Path | None, typer.Option(help="Weights to train further; begin anew if absent.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of weights, order and augmentation.")] = 0,
    config: Annotated[
        list[Path] | None,
        typer.Option(help="JSON of keys of train.json that differ, repeatable; before --set."),
    ] = None,
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", help="Any key of train.json: KEY=VALUE, repeatable."),
    ] = None,
) -> None:
    """Train; the same command again goes on where it was interrupted."""
    from multimix_monai.apps.bundle import parse_overrides, run_bundle

    names = config_names(recipe, more=config or [])
    settings: dict[str, Any] = {"max_epochs": epochs} if epochs is not None else {}
    settings |= {"datalist": str(datalist), "dataset_dir": str(dataset_dir), "seed": seed}
    settings |= {"initial_weights": str(initial_weights)} if initial_weights else {}
    settings |= {"output_dir": str(output), **parse_overrides(overrides or [])}
    with resumable():
        run_bundle("training", names, settings)


def config_names(recipe: str, *, more: Sequence[Path]) -> list[str]:
    """train.json, what the recipe changes in it, and the user's own changes.

    Raises:
        FileNotFoundError: one of these is not there.
    """
    if recipe not in RECIPES:
        raise typer.BadParameter(f"recipe is {recipe!r}: use {' or '.join(RECIPES)}")
    for path in more:
        if not path.is_file():
            raise FileNotFoundError(f"--config {path} does not exist: name a JSON file")
    return ["train.json", *RECIPES[recipe], *(str(path.resolve()) for path in more)]
