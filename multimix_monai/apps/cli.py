"""End of the path of data: the `multimix` command, which loads a subcommand only when it runs."""

from __future__ import annotations

from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperGroup
from typer.main import get_command

from multimix_monai import __version__

# Subcommand -> the line that `multimix --help` shows. Command NAME is the function NAME_command of
# the module multimix_monai.apps.NAME.
COMMANDS = {
    "datalist": "Write one MONAI datalist from any mix of datasets.",
    "synth": "Draw synthetic radiographs with exact masks and labels.",
    "train": "Train a model with the bundle.",
    "evaluate": "Measure a model on labelled cases, with tables and plots.",
    "calibrate": "Fit probability and threshold to your own labelled cases.",
    "predict": "Predict pneumonia and lung masks for images, folders or DICOM files.",
    "export": "Write the network as ONNX, TorchScript or torch.export, checked.",
    "pacs": "Judge radiographs of a PACS and store the results beside them.",
    "label": "Annotate a few radiographs in MONAI Label, and learn from all.",
    "doctor": "Show what is installed, decodable, and on which device.",
}
USER_ERRORS = (ValueError, TypeError, OSError, ImportError)


def load_command(name: str) -> Any:
    """Import the module of one subcommand and build the command with all its options."""
    function = getattr(import_module(f"multimix_monai.apps.{name}"), f"{name}_command")
    single = typer.Typer(add_completion=False)
    single.command(name)(function)
    return get_command(single)


class LazyGroup(TyperGroup):
    """A group whose help knows one line a command, and whose commands are imported when called."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Replace the stub that was found by the real command."""
        name, stub, rest = super().resolve_command(ctx, args)
        return name, load_command(name) if name in COMMANDS else stub, rest

    def invoke(self, ctx: Any) -> Any:
        """End what a user can get wrong as one line on stderr and exit code 1, unless --debug."""
        try:
            return super().invoke(ctx)
        except USER_ERRORS as error:
            if ctx.params.get("debug") or isinstance(error, BrokenPipeError):
                raise
            message = " ".join(str(error).split()) or type(error).__name__
            typer.echo(f"error: {message}", err=True)
            raise typer.Exit(1) from error


app = typer.Typer(
    cls=LazyGroup,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def show_version(value: bool) -> None:
    """Print the version and stop."""
    if value:
        typer.echo(f"multimix {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=show_version, is_eager=True, help="Show the version."),
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show the whole traceback of an error.")
    ] = False,
) -> None:
    """Find pneumonia and lungs in chest radiographs, learnt from few annotations.

    For research only: not a medical device.
    """


def stub() -> None:
    """Stands in the help of the group for a command that is not imported yet."""


for _name, _line in COMMANDS.items():
    app.command(_name, help=_line)(stub)


def main() -> None:
    """Run `multimix`: code 0 done, 1 error, 2 wrong usage; `predict` adds 3, some refused."""
    app(prog_name="multimix")


if __name__ == "__main__":
    main()
