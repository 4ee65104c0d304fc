"""Apps: `multimix predict`, the bundle's inference run over any files, folders and archives."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from enum import Enum
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from multimix_monai.apps.interrupt import resumable

if TYPE_CHECKING:
    from monai.bundle import ConfigParser

    from multimix_monai.dicom.findings import Algorithm
    from multimix_monai.handlers.results_table import ResultsTable

SOME_WITHOUT_RESULT = 3
# Keys of inference.json on which no result hangs, or by what its record of settings names.
CHANGE_NOTHING = {
    *("dataset#data", "dataset_dir", "output_dir", "overwrite", "bundle_root", "calibration_path"),
    *("show_bar", "handlers", "evaluator#val_data_loader", "num_workers", "batch_size", "device"),
}


class Runtime(str, Enum):
    """What runs the network."""

    TORCH = "torch"
    ONNX = "onnx"


def predict_command(
    inputs: Annotated[
        list[Path], typer.Argument(help="Radiographs, folders, zip archives, DICOMDIRs.")
    ],
    output: Annotated[
        Path, typer.Option(help="Folder of the results; an interrupted run goes on in it.")
    ],
    weights: Annotated[
        Path | None, typer.Option(help="Weights, or an exported network; the bundle's if absent.")
    ] = None,
    runtime: Annotated[
        Runtime, typer.Option(help="onnx runs what `multimix export` wrote, without torch.")
    ] = Runtime.TORCH,
    calibration: Annotated[
        Path | None, typer.Option(help="Of these weights, by `multimix calibrate`.")
    ] = None,
    threshold: Annotated[
        float | None, typer.Option(min=0, max=1, help="Of the probability; calibration's if absent")
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Score what is refused as no frontal chest, flagged.")
    ] = False,
    dicom: Annotated[
        bool | None, typer.Option(help="Results of DICOM files as SEG, SR and SC too.")
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Begin anew, whatever is in the output folder.")
    ] = False,
    workers: Annotated[
        int | None,
        typer.Option(min=0, help="Processes that read, and as many that write; 0: this one."),
    ] = None,
    show_bar: Annotated[
        bool | None, typer.Option(help="Draw a bar; on a terminal if not said.")
    ] = None,
    overrides: Annotated[
        list[str] | None, typer.Option("--set", help="Any key of inference.json: KEY=VALUE.")
    ] = None,
) -> None:
    """Pneumonia's probability, lung mask, overlay and saliency of each radiograph.

    Exit code 0: all ok; 3: some were refused or failed, see results.csv; 2: wrong usage; 1: it
    could not run, with the reason on one line.
    """
    from multimix_monai.apps.inference import can_write_dicom
    from multimix_monai.data.inputs import find_cases
    from multimix_monai.data.overrides import parse_overrides

    try:
        cases = find_cases(inputs)
    except FileNotFoundError as error:
        raise typer.BadParameter(str(error)) from error
    given = {
        "ckpt_path": weights and str(weights),
        "calibration_path": calibration and str(calibration),
        "threshold_prob": threshold,
        "dicom": dicom,
        "num_workers": workers,
        "show_bar": show_bar,
    }
    if dicom is None and not can_write_dicom() and any(map(may_be_dicom, cases)):
        typer.echo('no results as DICOM: pip install "multimix-monai[dicom]"', err=True)
    settings: dict[str, Any] = {"dataset#data": cases, "output_dir": str(output)}
    settings |= {"force": force, "overwrite": overwrite}
    settings |= {name: value for name, value in given.items() if value is not None}
    with resumable():
        results = runner(runtime)(settings | parse_overrides(overrides or []))
    show(results)
    if any(status != "ok" for status, _ in results.counts):
        raise typer.Exit(SOME_WITHOUT_RESULT)


def may_be_dicom(case: dict[str, Any]) -> bool:
    """Whether a case, by its name, is none of the other formats."""
    from multimix_monai.data.images import IMAGE_SUFFIXES

    return not case["image"].lower().endswith(IMAGE_SUFFIXES)


def runner(runtime: Runtime) -> Callable[[dict[str, Any]], ResultsTable]:
    """What predicts by settings.

    Raises:
        ImportError: it is torch, and it is not installed.
    """
    if runtime is Runtime.ONNX:
        from multimix_monai.apps.predict_onnx import run as run_onnx

        return run_onnx
    if find_spec("torch") is None:
        raise ImportError(
            "torch is not installed: pip install multimix-monai, or predict with an exported "
            "network by --runtime onnx --weights model.onnx"
        )
    return run


def run(settings: dict[str, Any]) -> ResultsTable:
    """Run inference.json with overrides of its keys; the table of its results."""
    from multimix_monai.apps.bundle import without_wrappers

    with without_wrappers():
        parser = parser_of(settings)
        parser.get_parsed_content("run")
        results: ResultsTable = parser.get_parsed_content("results")
    return results


def algorithm(settings: dict[str, Any]) -> Algorithm | None:
    """What DICOM results of these settings say of their origin, without running anything.

    Args:
        settings: as of `predict`; where `dicom` is false there is none.
    """
    from multimix_monai.apps.bundle import without_wrappers

    with without_wrappers():
        found: Algorithm | None = parser_of(settings).get_parsed_content("algorithm")
    return found


def parser_of(settings: dict[str, Any]) -> ConfigParser:
    """inference.json with overrides of its keys; its parts are made when they are asked for.

    Raises:
        ValueError: it has no such key.
    """
    from monai.bundle import ConfigParser

    from multimix_monai.apps.bundle import config_files, own_bundle
    from multimix_monai.data.overrides import refuse_unknown

    parser = ConfigParser()
    parser.read_config(config_files("inference.json"))
    refuse_unknown(settings, parser.get(), where="inference.json")
    others = unrecorded(settings, parser.get())
    parser.update({"bundle_root": own_bundle(), **settings})
    if others:
        parser["settings#overrides"] = json.dumps(others, sort_keys=True, default=str)
    return parser


def unrecorded(settings: dict[str, Any], config: dict[str, Any]) -> dict[str, Any]:
    """Overrides that may change a result, and that its record of settings does not name."""
    named = set(re.findall(r"@(\w+)", json.dumps(config["settings"]))) | CHANGE_NOTHING
    changed = {name: value for name, value in settings.items() if config.get(name) != value}
    return {name: value for name, value in changed.items() if name not in named}


def predict(settings: dict[str, Any]) -> list[dict[str, Any]]:
    """Run inference.json with overrides of its keys; the rows of its results.

    Args:
        settings: such as `dataset#data` (cases as of `find_cases`) and `output_dir`.

    Returns:
        A row for each case in their order, by `results_table.COLUMNS`.

    Raises:
        ValueError: the folder holds results of other settings, or a setting is wrong.
        OSError: the disk is full; the same again goes on.
    """
    return run(settings).rows()


def show(results: ResultsTable) -> None:
    """How many cases are ok, and why the others are not."""
    from multimix_monai.apps.inference import summary
    from multimix_monai.handlers.results_table import CSV

    typer.echo(f"{summary(results)}: {results.output_dir / CSV}")
    others = {key: n for key, n in results.counts.items() if key[0] != "ok"}
    for (status, reason), count in sorted(others.items(), key=lambda item: -item[1]):
        typer.echo(f"{count:>8} {status:<7} {reason}")
