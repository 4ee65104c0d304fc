from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from multimix_monai.apps import bundle

REPOSITORY = Path(__file__).resolve().parents[2]


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")


def test_the_own_bundle_is_the_one_beside_the_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert bundle.own_bundle() == bundle.default_bundle_root() == str(REPOSITORY / "bundle")
    assert all(Path(file).is_file() for file in bundle.config_files("train.json", "paper.json"))


def test_the_bundle_that_monai_runs_is_the_root(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(REPOSITORY / "bundle" / "configs", tmp_path / "mine" / "configs")
    touch(tmp_path / "foreign" / "configs" / "metadata.json")
    monkeypatch.setattr(sys, "path", [str(tmp_path / "foreign"), str(tmp_path / "mine"), *sys.path])
    assert bundle.default_bundle_root() == str(tmp_path / "mine")
    assert bundle.own_bundle() == str(REPOSITORY / "bundle")


def test_overrides_are_read_as_yaml() -> None:
    given = ["image_size=64", "resume=false", "threshold_prob=null", "device=cpu", "a#b=[1, 2]"]
    assert bundle.parse_overrides(given) == {
        "image_size": 64,
        "resume": False,
        "threshold_prob": None,
        "device": "cpu",
        "a#b": [1, 2],
    }
    assert bundle.parse_overrides(["lr=1e-4", "decay=2E3"]) == {"lr": 1e-4, "decay": 2000}
    with pytest.raises(ValueError, match="--set 'image_size' has no value"):
        bundle.parse_overrides(["image_size"])
    with pytest.raises(ValueError, match="cannot be read"):
        bundle.parse_overrides(["widths=[1, 2"])


def wrapped(error: Exception) -> RuntimeError:
    """As MONAI raises it."""
    outer = RuntimeError("Failed to evaluate ConfigExpression")
    outer.__cause__ = RuntimeError("Failed to instantiate")
    outer.__cause__.__cause__ = error
    return outer


@pytest.mark.parametrize("kind", [ValueError, TypeError, FileNotFoundError, FloatingPointError])
def test_what_a_user_can_mend_is_one_line_in_our_own_words(
    kind: type[Exception], capsys: pytest.CaptureFixture
) -> None:
    ours = kind("scan.png is cut short:\n  copy it again")
    ours.__cause__ = EOFError("byte 17")
    bundle.show_error(RuntimeError, wrapped(ours), None)
    assert capsys.readouterr().err == "error: scan.png is cut short: copy it again\n"


@pytest.mark.parametrize("device", ["cuda:99", "gpu", "cuda:x"])
def test_a_device_that_is_not_there_is_one_line(device: str, capsys: pytest.CaptureFixture) -> None:
    with pytest.raises((AssertionError, RuntimeError)) as raised:
        torch.zeros(1).to(device)
    bundle.show_error(RuntimeError, wrapped(raised.value), None)
    shown = capsys.readouterr().err
    assert shown.startswith("error: device cannot be used (") and shown.count("\n") == 1
    assert shown.endswith("set device=cpu\n")


class Unreadable(Dataset):
    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> None:
        raise ValueError("none of the images can be read:\n check dataset_dir")


def test_of_what_a_worker_raised_only_its_words_are_shown(capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(ValueError, match="Original Traceback") as raised:
        next(iter(DataLoader(Unreadable(), num_workers=1)))
    bundle.show_error(RuntimeError, wrapped(raised.value), None)
    assert capsys.readouterr().err == "error: none of the images can be read: check dataset_dir\n"
    with pytest.raises(ValueError, match=r"^none of the images"), bundle.without_wrappers():
        raise raised.value


def test_an_interrupt_says_how_to_go_on(capsys: pytest.CaptureFixture) -> None:
    bundle.show_error(KeyboardInterrupt, KeyboardInterrupt(), None)
    assert capsys.readouterr().err == "interrupted: run the same command again to go on\n"


def test_a_defect_shows_its_trace(capsys: pytest.CaptureFixture) -> None:
    bundle.show_error(RuntimeError, wrapped(ZeroDivisionError("oh")), None)
    shown = capsys.readouterr().err
    assert "ZeroDivisionError: oh" in shown and "Failed to evaluate" in shown


def test_the_trace_is_kept_where_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "excepthook", sys.__excepthook__)
    monkeypatch.setenv("MULTIMIX_DEBUG", "1")
    bundle.one_line_errors()
    assert sys.excepthook is sys.__excepthook__
    monkeypatch.delenv("MULTIMIX_DEBUG")
    bundle.one_line_errors()
    assert sys.excepthook is bundle.show_error


def test_several_processes_need_torchrun(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RANK", raising=False)
    with pytest.raises(ValueError, match="torchrun --standalone"):
        bundle.start_process("gloo", bundle.process_device())
