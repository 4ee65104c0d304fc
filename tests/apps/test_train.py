from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import monai.bundle  # noqa: F401 (its loggers keep the stderr that there is when it is imported)
import pytest
import torch
from typer.testing import CliRunner

from multimix_monai.apps import cli
from multimix_monai.data.calibration import weights_digest

SMALL = (
    *("image_size=64", "steps_per_epoch=1", "val_interval=1", "show_bar=false"),
    "fused=false",
    "batch_sizes={mask_labelled: 1, mask_unlabelled: 1, label_labelled: 1, label_unlabelled: 1}",
    "logging_file=false",
)


@pytest.fixture
def train(
    tiny_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., object]:
    """`multimix train` on the tiny dataset into tmp_path/out."""
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    monkeypatch.setattr(sys, "path", list(sys.path))

    def call(*words: object, settings: tuple[str, ...] = SMALL):  # type: ignore[no-untyped-def]
        places = ["--dataset-dir", tiny_dataset, "--datalist", tiny_dataset / "datalist.json"]
        places += ["--output", tmp_path / "out"]
        sets = [word for setting in settings for word in ("--set", setting)]
        return CliRunner().invoke(cli.app, ["train", *map(str, [*places, *words]), *sets])

    return call


def state(folder: Path) -> dict:
    return torch.load(folder / "out" / "models" / "last.pt", weights_only=True)


def test_train_writes_weights_and_the_same_command_with_more_epochs_goes_on(
    train: Callable, tmp_path: Path
) -> None:
    result = train("--epochs", 1)
    assert result.exit_code == 0, result.output
    assert (tmp_path / "out" / "models" / "model.pt").is_file()
    assert state(tmp_path)["epoch"] == 1
    assert train("--epochs", 2).exit_code == 0
    assert state(tmp_path)["epoch"] == 2


def test_the_published_recipe_is_an_option(train: Callable, tmp_path: Path) -> None:
    result = train("--epochs", 1, "--recipe", "paper")
    assert result.exit_code == 0, result.output
    assert state(tmp_path)["teacher"] == {}
    assert state(tmp_path)["optimizer"]["param_groups"][0]["initial_lr"] == 1e-4


def test_initial_weights_are_an_option(
    train: Callable, tmp_path: Path, fresh_weights: Path
) -> None:
    result = train("--epochs", 1, "--initial-weights", fresh_weights)
    assert result.exit_code == 0, result.output
    assert state(tmp_path)["begun_as"]["initial_weights"] == weights_digest(fresh_weights)


def test_the_seed_is_an_option(train: Callable, tmp_path: Path) -> None:
    weights = []
    for seed in (0, 1):
        settings = (*SMALL, f"output_dir={tmp_path}/{seed}/out")
        assert train("--epochs", 1, "--seed", seed, settings=settings).exit_code == 0
        weights.append(state(tmp_path / str(seed))["network"]["encoder.classifier.weight"])
    assert not torch.equal(*weights)


def test_less_than_one_epoch_is_wrong_usage(train: Callable) -> None:
    result = train("--epochs", 0)
    assert result.exit_code == 2
    assert "--epochs" in result.stderr


def test_an_interrupted_training_says_how_to_go_on(
    train: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("multimix_monai.apps.bundle.run_bundle", interrupt)
    result = train()
    assert result.exit_code == 130
    assert result.stderr == "interrupted: run the same command again to go on\n"


def test_an_unknown_recipe_is_wrong_usage(train: Callable) -> None:
    result = train("--recipe", "best")
    assert result.exit_code == 2
    assert "use default or paper" in result.stderr


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("image_size=100", "image_size is 100"),
        ("image_size=small", "image_size is 'small'"),
        ("percentiles=[99.5, 0.5]", "percentiles are [99.5, 0.5]"),
        ("percentiles=[0, 101]", "percentiles are [0, 101]"),
        ("percentiles=5", "percentiles are 5"),
        ("lung_threshold_prob=1.5", "lung_threshold_prob is 1.5"),
        ("keep_components=-1", "keep_components is -1"),
        ("max_epochs=0", "--epochs (max_epochs) is 0"),
        ("steps_per_epoch=0", "steps_per_epoch is 0"),
        ("batch_sizes={mask_labelled: 2}", "mask_unlabelled is missing or unknown"),
        ("batch_sizes#masks=2", "train.json has no key batch_sizes#masks"),
        ("batch_sizes#mask_labelled=-1", "each 0 or more"),
        ("device=cuda:99", "device cannot be used"),
        ("ckpt_dir=/dev/null/models", "choose another --output (output_dir)"),
        ("output_dir=/dev/null", "choose another --output (output_dir)"),
        ("imagesize=64", "train.json has no key imagesize: did you mean image_size?"),
        ("ema_decay=1.5", "ema_decay is 1.5"),
        ("dataset_dir=/nowhere", "dataset_dir /nowhere does not exist"),
        ("unlabelled_pool=some", "unlabelled_pool is 'some'"),
    ],
)
def test_a_setting_that_cannot_be_is_one_line(
    train: Callable, tmp_path: Path, setting: str, message: str
) -> None:
    result = train(settings=(*SMALL, setting))
    assert result.exit_code == 1
    assert result.stderr.startswith("error: ") and message in result.stderr
    assert not (tmp_path / "out" / "models").exists()
