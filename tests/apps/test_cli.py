from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from multimix_monai import __version__
from multimix_monai.apps import cli

HEAVY = {"torch", "monai", "ignite", "pydicom", "matplotlib", "numpy", "sklearn", "skimage"}


@pytest.fixture
def run(monkeypatch):
    """Call `multimix`, with `train` standing for a command that does what the test says."""

    def call(*args, train=None):
        if train:
            module = SimpleNamespace(train_command=train)
            monkeypatch.setitem(sys.modules, "multimix_monai.apps.train", module)
        return CliRunner().invoke(cli.app, list(args))

    return call


def raising(error: Exception):
    def train(epochs: int = 3) -> None:
        """Train, at length."""
        raise error

    return train


def test_help_lists_every_command_and_imports_nothing_heavy() -> None:
    code = (
        "import sys; from multimix_monai.apps.cli import app\n"
        "try: app(['--help'])\n"
        "finally: print('LOADED', *{m.partition('.')[0] for m in sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    text, _, loaded = done.stdout.rpartition("LOADED")
    assert all(name in text for name in cli.COMMANDS), done.stderr
    assert not HEAVY & set(loaded.split())


def test_version_is_that_of_the_package(run) -> None:
    result = run("--version")
    assert (result.exit_code, result.output.strip()) == (0, f"multimix {__version__}")


def test_help_of_a_command_shows_its_own_options(run) -> None:
    result = run("train", "--help", train=raising(ValueError("not reached")))
    assert result.exit_code == 0
    assert "Train, at length." in result.output
    assert "-epochs" in result.output  # colour codes may split the dashes


def test_a_command_gets_its_options_and_can_end_with_a_code_of_its_own(run) -> None:
    import typer

    def train(epochs: int = 3) -> None:
        typer.echo(f"{epochs} epochs")
        raise typer.Exit(3)

    result = run("train", "--epochs", "7", train=train)
    assert (result.exit_code, result.output) == (3, "7 epochs\n")


@pytest.mark.parametrize("error", [ValueError, TypeError, OSError, ImportError])
def test_a_users_error_is_one_line_on_stderr_and_code_1(run, error) -> None:
    result = run("train", train=raising(error("mask a.png is 3x4,\n  image is 5x6")))
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr == "error: mask a.png is 3x4, image is 5x6\n"


def test_debug_lets_the_error_through_with_its_traceback(run) -> None:
    error = ValueError("told")
    assert run("--debug", "train", train=raising(error)).exception is error


def test_a_defect_of_ours_is_not_hidden(run) -> None:
    error = ZeroDivisionError()
    assert run("train", train=raising(error)).exception is error


@pytest.mark.parametrize(
    "args", [["nosuch"], ["--nosuch"], ["train", "--nosuch"], ["train", "--epochs", "many"]]
)
def test_wrong_usage_ends_with_code_2(run, args) -> None:
    assert run(*args, train=raising(ValueError("not reached"))).exit_code == 2
