"""The bundle's training goes on from a checkpoint as if it had never stopped."""

import json
import re
import shutil
import sys
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch
from monai.bundle import ConfigParser

from multimix_monai.apps.bundle import unwrapped

REPOSITORY = Path(__file__).resolve().parents[2]
CONFIGS = REPOSITORY / "bundle" / "configs"
SMALL = {
    "device": "cpu",
    "show_bar": False,
    "fused": False,
    "image_size": 32,
    "steps_per_epoch": 2,
    "val_interval": 1,
    "network_def#widths": [2, 4, 4, 8, 8],
    "batch_sizes": {
        "mask_labelled": 2,
        "mask_unlabelled": 2,
        "label_labelled": 3,
        "label_unlabelled": 2,
    },
}


@pytest.fixture
def train(
    tiny_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., dict[str, Any]]:
    """Train by the bundle's config into a folder and return its last.pt."""
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)  # which the config replaces

    def run(name: str, *configs: str, **overrides: Any) -> dict[str, Any]:
        parser = ConfigParser()
        parser.read_config([CONFIGS / "train.json", *(CONFIGS / config for config in configs)])
        folder = tmp_path / name
        parser.update(
            {**deepcopy(SMALL), "dataset_dir": str(tiny_dataset), "output_dir": str(folder)}
        )
        parser.update({key.replace("__", "#"): value for key, value in overrides.items()})
        for expression in ("initialize", "run"):
            parser.get_parsed_content(expression)
        return torch.load(folder / "models" / "last.pt", weights_only=True)

    return run


def differences(a: Any, b: Any, *, path: str = "") -> list[str]:
    """Where two states differ, bit for bit."""
    if isinstance(a, dict) and isinstance(b, dict):
        keys = sorted(a.keys() | b.keys(), key=str)
        return [d for k in keys for d in differences(a.get(k), b.get(k), path=f"{path}/{k}")]
    if isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)) and len(a) == len(b):
        pairs = enumerate(zip(a, b, strict=True))
        return [d for n, (x, y) in pairs for d in differences(x, y, path=f"{path}/{n}")]
    equal = torch.equal(a, b) if torch.is_tensor(a) and torch.is_tensor(b) else a == b
    return [] if equal else [path]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("configs", "settings"),
    [
        ((), {"amp": False}),
        ((), {"amp": False, "fused": True}),
        ((), {"amp": True, "num_workers": 1, "val_interval": 2}),
        ((), {"amp": False, "accumulate_steps": 2, "saliency_pass": "separate"}),
        (("paper.json",), {"amp": False, "image_size": 32, "batch_sizes": SMALL["batch_sizes"]}),
    ],
    ids=["default", "compiled", "amp_and_a_worker", "accumulated", "paper"],
)
def test_two_epochs_and_two_more_are_four_bit_for_bit(
    train: Callable[..., dict], configs: tuple[str, ...], settings: dict[str, Any]
) -> None:
    whole = train("whole", *configs, max_epochs=4, **settings)
    half = train("halves", *configs, max_epochs=2, schedule_epochs=4, **settings)
    assert half["epoch"] == 2 and half["iteration"] == 4
    resumed = train("halves", *configs, max_epochs=4, **settings)
    assert resumed["epoch"] == 4 and resumed["iteration"] == 8
    assert differences(whole, resumed) == []
    assert len(differences(whole["network"], half["network"])) > 20


@pytest.mark.slow
def test_a_finished_run_goes_on_with_more_epochs(
    train: Callable[..., dict], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first = train("run", max_epochs=1)
    again = train("run", max_epochs=1)
    assert "has all 1 epochs: raise --epochs (max_epochs) to go on" in caplog.text
    assert differences(first, again) == []
    more = train("run", max_epochs=2)
    assert (more["epoch"], more["iteration"]) == (2, 4)
    assert differences(first["network"], more["network"]) != []
    best = torch.load(tmp_path / "run" / "models" / "model.pt", weights_only=True)
    assert best.keys() == more["network"].keys()
    assert 0 <= more["best_score"] <= 1 and more["best_epoch"] in (1, 2)


def test_a_short_training_is_validated_too(train: Callable[..., dict], tmp_path: Path) -> None:
    assert train("run", max_epochs=1, val_interval=10)["best_epoch"] == 1
    assert (tmp_path / "run" / "models" / "model.pt").is_file()


@pytest.mark.slow
def test_a_run_does_not_go_on_as_something_else(
    train: Callable[..., dict], tiny_dataset: Path, tmp_path: Path
) -> None:
    train("run", max_epochs=1)
    for name, value in {
        "seed": 1,
        "image_size": 64,
        "steps_per_epoch": 1,
        "learning_rate": 0.1,
        "weight_decay": 0.1,
        "batch_sizes__label_labelled": 2,
        "recipe__mask_weight": 3.0,
    }.items():
        with pytest.raises(RuntimeError) as raised:
            train("run", max_epochs=2, **{name: value})
        key = name.replace("__", "#")
        assert re.search(rf"begun with other settings \({key} \S+, now {value}\)", text(raised))
    datalist = json.loads((tiny_dataset / "datalist.json").read_text())
    datalist["validation"].pop()
    (tmp_path / "other.json").write_text(json.dumps(datalist))
    with pytest.raises(RuntimeError) as raised:
        train("run", max_epochs=2, datalist=str(tmp_path / "other.json"))
    assert re.search(r"begun with other settings \(data \w{64}, now \w{64}\)", text(raised))


@pytest.mark.slow
def test_a_run_goes_on_with_the_same_data_elsewhere_and_what_changes_no_weight(
    train: Callable[..., dict], tiny_dataset: Path, tmp_path: Path
) -> None:
    train("run", max_epochs=1)
    moved = shutil.copytree(tiny_dataset, tmp_path / "moved")
    other = {"dataset_dir": str(moved), "val_interval": 2, "num_workers": 1, "cache_gib": 0.0}
    assert train("run", max_epochs=2, schedule_epochs=4, amp=True, **other)["epoch"] == 2


def text(raised: pytest.ExceptionInfo[RuntimeError]) -> str:
    """What MONAI wrapped."""
    return str(unwrapped(raised.value))


@pytest.mark.slow
def test_a_training_begins_with_given_weights(
    train: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    first = train("first", max_epochs=1)
    weights = str(tmp_path / "first" / "models" / "last.pt")
    still = {"initial_weights": weights, "learning_rate": 1e-12, "max_epochs": 1, "seed": 1}
    begun = train("begun", **still)
    torch.testing.assert_close(begun["network"], begun["teacher"], rtol=0, atol=1e-9)
    torch.testing.assert_close(begun["network"], first["teacher"], rtol=0, atol=1e-9)
    assert differences(first["network"], begun["network"])
    with pytest.raises(Exception) as caught:
        train("begun", **still | {"initial_weights": str(tmp_path / "begun/models/model.pt")})
    assert "was begun with other settings (initial_weights" in str(unwrapped(caught.value))


def test_initial_weights_that_are_not_there_are_named(train: Callable[..., dict[str, Any]]) -> None:
    with pytest.raises(Exception) as caught:
        train("run", initial_weights="none.pt", max_epochs=1)
    assert "initial weights none.pt do not exist: name others by --initial-weights" in str(
        unwrapped(caught.value)
    )


def test_another_seed_gives_other_weights(train: Callable[..., dict]) -> None:
    a, b = (train(str(seed), max_epochs=1, seed=seed) for seed in (0, 1))
    assert len(differences(a["network"], b["network"])) > 20
