"""Apps: `multimix export`, the network in a file that other programs run, checked right away."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from multimix_monai.apps.export_check import Checked


class Form(str, Enum):
    """The forms of an exported network."""

    ONNX = "onnx"
    TORCHSCRIPT = "torchscript"
    TORCH_EXPORT = "torch-export"


SUFFIXES = {Form.ONNX: ".onnx", Form.TORCHSCRIPT: ".ts", Form.TORCH_EXPORT: ".pt2"}


def export_command(
    to: Annotated[Form, typer.Option(help="Form of the file.")],
    output: Annotated[
        Path | None,
        typer.Argument(help="File to write; model.onnx, model.ts or model.pt2 here if absent."),
    ] = None,
    weights: Annotated[
        Path | None, typer.Option(help="Weights; the bundle's own if absent.")
    ] = None,
    image_size: Annotated[
        int | None, typer.Option(help="Side of the input that the settings are for.")
    ] = None,
    calibration: Annotated[
        Path | None, typer.Option(help="Of these weights, by `multimix calibrate`.")
    ] = None,
    check: Annotated[
        list[Path] | None,
        typer.Option(help="Radiographs to check the file on; drawn ones if absent."),
    ] = None,
    overrides: Annotated[
        list[str] | None, typer.Option("--set", help="Any key of inference.json: KEY=VALUE.")
    ] = None,
) -> None:
    """Write the network with its settings for other programs, and check it against PyTorch.

    Batch, height and width stay free. A file that fails the check is not left behind.
    """
    from multimix_monai.data.overrides import parse_overrides

    given = {
        "ckpt_path": weights and str(weights),
        "image_size": image_size,
        "calibration_path": calibration and str(calibration),
    }
    settings = {name: value for name, value in given.items() if value is not None}
    settings |= parse_overrides(overrides or [])
    output = output or Path(f"model{SUFFIXES[to]}")
    show(export(output, to=to, check_on=check or [], settings=settings))
    typer.echo(f"wrote {output}")


def export(
    output: Path, *, to: Form, check_on: Sequence[Path] = (), settings: dict[str, Any]
) -> list[Checked]:
    """Write a network, read it back and compare it with PyTorch.

    Args:
        output: the file, with the suffix of its form; one that is there is replaced.
        to: the form.
        check_on: radiographs or folders of them; synthetic ones are drawn if empty.
        settings: keys of inference.json to override.

    Returns:
        What was compared, and the differences.

    Raises:
        ValueError: a setting or the suffix is wrong, or the file differs from PyTorch; then
            whatever was at `output` before stays.
        ImportError: a package of the form is missing.
    """
    from multimix_monai.apps import export_check
    from multimix_monai.apps.bundle import without_wrappers
    from multimix_monai.apps.export_formats import contents_of, load, write
    from multimix_monai.data.exported import read_exported

    if output.suffix != SUFFIXES[to]:
        raise ValueError(f"{output} should end in {SUFFIXES[to]}, as files of --to {to.value} do")
    with without_wrappers():
        contents = contents_of(settings)
    with finished(output) as unfinished:
        typer.echo(f"writing {to.value}")
        write(to, contents, unfinished)
        run, text = load(to, unfinished)
        if read_exported(text) != contents.exported:
            raise export_check.ExportError(f"the settings in {output} are not those written")
        lines = export_check.check(
            run,
            contents.network,
            export_check.batches_of(check_on, image_size=contents.exported.image_size),
            threshold_prob=contents.exported.lung_threshold_prob,
        )
        export_check.refuse(lines)
    return lines


@contextmanager
def finished(target: Path) -> Iterator[Path]:
    """A temporary name, which becomes the target's if nothing goes wrong."""
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{os.getpid()}.{target.name}")
    try:
        yield temporary
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def show(lines: Sequence[Checked]) -> None:
    """Print what was compared, and the largest differences beside those allowed."""
    from rich.console import Console
    from rich.table import Table

    from multimix_monai.apps.export_check import ALLOWED, Difference

    table = Table(box=None, pad_edge=False)
    for heading in ("input", "images", *Difference._fields):
        table.add_column(heading.replace("_", " "))
    for line in lines:
        found = (f"{number:.1e}" for number in line.worst)
        table.add_row("x".join(map(str, line.shape)), str(line.images), *found)
    table.add_row("allowed", "", *(f"{number:.0e}" for number in ALLOWED))
    Console().print("largest differences from PyTorch in double precision")
    Console().print(table)
