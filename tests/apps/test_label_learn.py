from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from multimix_monai.apps.label_datalist import Known
from multimix_monai.apps.label_learn import Training, compared_on, verdict
from multimix_monai.data.calibration import weights_digest
from multimix_monai.data.patient import digest
from multimix_monai.data.readers import read_folder
from multimix_monai.data.trained_as import read_trained_as

TINY = {
    "logging_file": False,  # or handlers would outlive the captured stdout
    "image_size": 32,
    "max_epochs": 1,
    "steps_per_epoch": 1,
    "val_interval": 1,
    "batch_sizes": {
        "mask_labelled": 1,
        "mask_unlabelled": 1,
        "label_labelled": 1,
        "label_unlabelled": 1,
    },
}


@pytest.fixture
def images(tiny_dataset: Path) -> list[Known]:
    """Twelve, of which six have a mask and four a class."""
    cases = read_folder(tiny_dataset)
    return [
        Known(
            name=digest(case.case),
            image=case.image,
            patient=digest(case.case),
            mask=case.mask[0] if n < 6 else None,
            label=case.label if n < 4 else None,
        )
        for n, case in enumerate(cases)
        if case.mask
    ]


@pytest.fixture
def training(tmp_path: Path, fresh_weights: Path) -> Training:
    return Training(tmp_path / "label", initial=fresh_weights, settings=TINY)


def test_a_training_publishes_what_is_not_worse_and_takes_it_down(
    training: Training, images: list[Known], fresh_weights: Path
) -> None:
    assert training.weights == fresh_weights
    outcome = training.run(images, left_out=["of another size"])
    assert outcome.counts["masks"] == 5 and outcome.counts["held_back_masks"] == 1
    assert outcome.left_out == ["of another size"]
    better = outcome.after["val_score"] >= outcome.before["val_score"]
    assert outcome.published == better == (training.weights != fresh_weights)
    assert outcome.weights == weights_digest(training.weights)[:16]
    assert read_trained_as(training.weights).get("image_size") == (32 if better else None)
    (taken_down,) = training.history()
    assert taken_down == json.loads(json.dumps(vars(outcome)))
    assert not training.run_dir.exists()


def test_a_training_starts_from_the_weights_in_use(
    training: Training, images: list[Known], fresh_weights: Path
) -> None:
    training.run(images, settings={"learning_rate": 0.0, "weight_decay": 0.0, "ema_decay": 0.0})
    before, after = (torch.load(p, weights_only=True) for p in (fresh_weights, training.weights))
    assert training.weights != fresh_weights  # the same is not worse
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_a_run_that_was_cut_short_goes_on_and_with_another_label_begins_anew(
    training: Training,
    images: list[Known],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)

    def cut(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr(Training, "_judged", cut)
        with pytest.raises(KeyboardInterrupt):
            training.run(images)
    assert (training.run_dir / "models" / "last.pt").is_file()
    training.run(images)
    assert "going on from" in caplog.text
    caplog.clear()
    with monkeypatch.context() as broken:
        broken.setattr(Training, "_judged", cut)
        with pytest.raises(KeyboardInterrupt):
            training.run(images)
    training.run(images[:-1])
    assert "epoch 1/1" in caplog.text and "going on from" not in caplog.text


def test_while_one_training_runs_another_is_refused(
    training: Training, images: list[Known], monkeypatch: pytest.MonkeyPatch
) -> None:
    from filelock import FileLock

    monkeypatch.setattr("multimix_monai.apps.label_learn.ORPHAN_LOOK_S", 0.01)
    training.folder.mkdir()
    with (
        FileLock(training.folder / "training.lock"),
        pytest.raises(ValueError, match="another training is running"),
    ):
        training.run(images)


def test_no_annotation_at_all_says_what_is_missing(training: Training, images: list[Known]) -> None:
    with pytest.raises(ValueError, match="nothing to learn from"):
        training.run([one for one in images if not one.kind])
    assert training.history() == []


@pytest.mark.parametrize(
    ("before", "after", "published"),
    [(0.9, 0.91, True), (0.9, 0.9, True), (0.9, 0.89, False), (None, 0.9, False)],
)
def test_only_what_is_not_worse_is_published(
    before: float | None, after: float, published: bool
) -> None:
    scores = {} if before is None else {"val_score": before}
    assert verdict(scores, {"val_score": after}, learnt=[])[0] is published


def test_a_verdict_says_on_which_cases() -> None:
    score = {"val_score": 0.5}
    assert verdict(score, score, learnt=[])[1].endswith("on held-back cases")
    assert "but masks on those learnt from" in verdict(score, score, learnt=["masks"])[1]


def item(case: str, **truth: object) -> dict[str, object]:
    return {"case": case, "image": f"{case}.png"} | truth


def test_each_task_is_compared_on_held_back_cases_or_else_on_those_learnt_from() -> None:
    training = [item("a", mask=["a"], label=0), item("b", label=1), item("c")]
    held = {
        "mask": item("h", mask=["h"]),
        "0": item("n", label=0),
        "1": item("p", label=1, mask=["p"]),
    }

    def on(*kinds: str) -> tuple[dict[str, set[str]], list[str]]:
        parts = {"training": training, "validation": [held[kind] for kind in kinds]}
        cases, learnt = compared_on(parts)
        return {str(c["case"]): {"mask", "label"} & c.keys() for c in cases}, learnt

    assert on("mask", "0", "1") == (
        {"h": {"mask"}, "n": {"label"}, "p": {"mask", "label"}},
        [],
    )
    assert on("0", "1")[1] == []
    assert on("mask") == ({"h": {"mask"}, "a": {"label"}, "b": {"label"}}, ["classes"])
    assert on("0") == ({"a": {"mask", "label"}, "b": {"label"}}, ["masks", "classes"])
    only = {"training": [item("b", label=1)], "validation": []}
    assert compared_on(only) == ([], [])


@pytest.mark.parametrize("corrected", ["image", "mask"])
def test_what_is_corrected_under_the_same_path_begins_a_new_run(
    training: Training, tmp_path: Path, corrected: str
) -> None:
    files = {name: tmp_path / f"{name}.png" for name in ("image", "mask")}
    for file in files.values():
        file.write_bytes(b"drawn")
    case = item("a", image=str(files["image"]), mask=[str(files["mask"])])
    parts = {"training": [case], "validation": [], "test": []}
    (training.run_dir).mkdir(parents=True)
    training._begin(parts, {})
    (kept := training.run_dir / "kept").touch()
    training._begin(parts, {})
    assert kept.exists()
    os.utime(files[corrected], ns=(1, 1))
    training._begin(parts, {})
    assert not kept.exists()


@pytest.mark.parametrize("late", [False, True])
def test_a_process_ends_with_the_one_that_started_it(late: bool, tmp_path: Path) -> None:
    watch = "l.end_with_parent(int(sys.argv[1])); "
    orphaned = "\nwhile os.getppid() == int(sys.argv[1]): time.sleep(0.01)\n"
    said = "print(flush=True); "  # to nobody, where the parent is gone: that would be an error
    child = (
        "import os, sys, time; from multimix_monai.apps import label_learn as l; "
        f"l.ORPHAN_LOOK_S = 0.01; {orphaned if late else ''}{watch}"
        f"{'' if late else said}time.sleep(600)"
    )
    parent = (
        "import os, subprocess, sys; "
        f"command = [sys.executable, '-c', {child!r}, str(os.getpid())]; "
        "p = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL); "
        f"{'' if late else 'p.stdout.readline(); '}print(p.pid, flush=True)"
    )
    done = subprocess.run([sys.executable, "-c", parent], capture_output=True, text=True)
    pid = int(done.stdout)
    for _ in range(3000):
        try:
            os.kill(pid, 0)
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return
        except (ProcessLookupError, FileNotFoundError):
            return
        time.sleep(0.01)
    pytest.fail(f"process {pid} lives on")
