"""Apps: `multimix predict`, the bundle's inference run over any files and folders."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

SOME_WITHOUT_RESULT = 3


def predict_command(
    inputs: Annotated[list[Path], typer.Argument(help="Radiographs, or folders with them.")],
    output: Annotated[Path, typer.Option(help="Folder of the results; made if missing.")],
    weights: Annotated[
        Path | None, typer.Option(help="Weights; the bundle's own if absent.")
    ] = None,
    threshold: Annotated[
        float | None, typer.Option(min=0, max=1, help="Of the probability; the bundle's if absent.")
    ] = None,
    overrides: Annotated[
        list[str] | None, typer.Option("--set", help="Any key of inference.json: KEY=VALUE.")
    ] = None,
) -> None:
    """Pneumonia's probability, lung mask, overlay and saliency of each radiograph.

    Exit code 0: all ok; 3: some were refused or failed, see results.csv; 2: wrong usage.
    """
    from multimix_monai.apps.bundle import find_cases, parse_overrides

    try:
        cases = find_cases(inputs)
    except FileNotFoundError as error:
        raise typer.BadParameter(str(error)) from error
    settings: dict[str, Any] = {"dataset#data": cases, "output_dir": str(output)}
    settings |= {"ckpt_path": str(weights)} if weights else {}
    settings |= {"threshold_prob": threshold} if threshold is not None else {}
    rows = predict(settings | parse_overrides(overrides or []))
    statuses = [row["status"] for row in rows]
    counts = ", ".join(f"{statuses.count(s)} {s}" for s in ("ok", "refused", "failed"))
    typer.echo(f"{counts}: {output / 'results.csv'}")
    if statuses.count("ok") < len(statuses):
        raise typer.Exit(SOME_WITHOUT_RESULT)


def predict(settings: dict[str, Any]) -> list[dict[str, Any]]:
    """Run inference.json with overrides of its keys; the rows of its results."""
    from monai.bundle import ConfigParser

    from multimix_monai.apps.bundle import config_files, own_bundle, without_wrappers

    parser = ConfigParser()
    parser.read_config(config_files("inference.json"))
    parser.update({"bundle_root": own_bundle(), **settings})
    with without_wrappers():
        parser.get_parsed_content("evaluator").run()
    rows: list[dict[str, Any]] = parser.get_parsed_content("writer").rows
    return rows
