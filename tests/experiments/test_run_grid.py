"""A small grid, really trained and tested, in one folder: what it leaves, resumes and refuses."""

from __future__ import annotations

import csv
import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from multimix_monai.apps.synth import synth_command
from multimix_monai.experiments.record import held

pytestmark = pytest.mark.slow
SETTINGS = {
    "image_size": 64,
    "max_epochs": 1,
    "steps_per_epoch": 2,
    "val_interval": 1,
    "fused": False,
    "network_def#widths": [4, 4, 8, 8, 16],
    "batch_sizes": {
        "mask_labelled": 2,
        "mask_unlabelled": 1,
        "label_labelled": 2,
        "label_unlabelled": 1,
    },
}
GRID = {
    "sources": ["folder=drawn"],
    "test": ["folder=0.4"],
    "validation": 0.3,
    "external": ["folder=other"],
    "settings": SETTINGS,
    "systems": {"default": {}, "Enc": {"tasks": ["labels"], "settings": {"bridge": "none"}}},
    "masks": [2],
    "labels": [4],
    "seeds": [0],
    "baseline": "default",
}
RUNS = ("default/masks-2_labels-4/seed-0", "Enc/labels-4/seed-0")


def experiments(*words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "multimix_monai.experiments", *map(str, words)],
        env=os.environ | {"OMP_NUM_THREADS": "1", "COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=300,
    )


def run_grid(folder: Path, grid: dict, *words: object) -> subprocess.CompletedProcess[str]:
    path = folder / "grid.json"
    path.write_text(json.dumps(grid))
    place = ["--dataset-dir", folder, "--output", folder / "runs"]
    return experiments("run", path, *place, *words)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a grid that was run and tabled."""
    folder = tmp_path_factory.mktemp("grid")
    synth_command(folder / "drawn", cases=20, seed=0, size=74, dicom=0)
    synth_command(folder / "other", cases=6, seed=1, size=74, dicom=0)
    ended = run_grid(folder, GRID, "--jobs", 2)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "2 of 2 runs are done" in ended.stdout
    tabled = experiments("table", folder / "runs")
    assert tabled.returncode == 0, tabled.stderr
    return folder


def test_each_run_says_where_it_came_from(done: Path) -> None:
    for name in RUNS:
        record = json.loads((done / "runs" / name / "run.json").read_text())
        assert record["system"] == name.split("/")[0]
        assert [" train " in c or " evaluate " in c for c in record["commands"]] == [True] * 3
        assert all(shlex.split(c)[0] == "python" for c in record["commands"])
        assert record["seconds"] > 0 and len(record["data_hash"]) == 64
        assert (done / "runs" / name / "models" / "model.pt").is_file()


def test_the_external_set_is_tested_at_the_threshold_of_validation(done: Path) -> None:
    run = done / "runs" / RUNS[0]
    own, other = (
        json.loads((run / place / "metrics.json").read_text())
        for place in ("evaluation", "external-folder")
    )
    assert own["threshold_prob"] == other["threshold_prob"]
    assert other["n_cases"] == 6


def test_the_table_has_a_row_for_each_figure_that_a_system_can_have(done: Path) -> None:
    with (done / "runs" / "table.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    found = {(r["system"], r["domain"], r["metric"]): float(r["mean"]) for r in rows}
    metrics = json.loads((done / "runs" / RUNS[0] / "evaluation" / "metrics.json").read_text())
    dice = metrics["masks"]["folder"]["metrics"]["dice"]["mean"]
    assert found["default", "in-domain", "Dice"] == pytest.approx(dice)
    assert ("Enc", "in-domain", "AUC") in found and ("Enc", "folder", "AUC") in found
    assert ("Enc", "in-domain", "Dice") not in found, "it has learned no masks"


def test_the_difference_to_the_baseline_has_its_interval(done: Path) -> None:
    with (done / "runs" / "comparisons.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {(r["system"], r["domain"], r["metric"]) for r in rows} == {
        ("Enc", "in-domain", "AUC"),
        ("Enc", "folder", "AUC"),
    }
    for row in rows:
        assert float(row["low"]) <= float(row["difference"]) <= float(row["high"])


def test_there_is_a_plot_of_each_task(done: Path) -> None:
    text = (done / "runs" / "table.md").read_text()
    assert "## In-domain" in text and "## Compared with default" in text
    for name in ("dice.png", "auc.png"):
        assert (done / "runs" / name).stat().st_size > 5000


def test_what_is_done_is_not_done_again(done: Path) -> None:
    before = {name: (done / "runs" / name / "log.txt").read_bytes() for name in RUNS}
    ended = run_grid(done, GRID)
    assert ended.returncode == 0
    assert before == {name: (done / "runs" / name / "log.txt").read_bytes() for name in RUNS}


def test_the_same_folders_by_other_words_are_the_same(done: Path) -> None:
    place = ["--dataset-dir", os.path.relpath(done), "--output", os.path.relpath(done / "runs")]
    ended = experiments("run", done / "grid.json", *place)
    assert ended.returncode == 0 and "2 of 2 runs are done" in ended.stdout


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"settings": {**SETTINGS, "image_size": 96}}, "was begun with settings"),
        ({"systems": {"default": {"recipe": "paper"}}}, "was begun with recipe default"),
        ({"external": []}, "was begun with external ['folder=other'], and now it is []"),
        ({"develop": ["folder=3"]}, "was begun with options"),
        ({"validation": 0.2}, "was begun with options"),
    ],
)
def test_another_grid_needs_another_folder(done: Path, change: dict, message: str) -> None:
    ended = run_grid(done, {**GRID, **change})
    assert ended.returncode == 1
    assert message in ended.stderr and "take another --output" in ended.stderr


def test_a_run_that_another_process_works_on_is_left_alone(done: Path) -> None:
    grid = {**GRID, "systems": {"held": {}, **GRID["systems"]}}
    folder = done / "runs" / "held" / "masks-2_labels-4" / "seed-0"
    folder.mkdir(parents=True)
    with held(folder):
        ended = run_grid(done, grid, "--system", "held")
    assert ended.returncode == 1 and "another process works on it" in ended.stdout
    assert not (folder / "models").exists()


def test_what_a_system_sets_itself_is_not_set_for_all(done: Path) -> None:
    ended = run_grid(done, GRID, "--set", "bridge=zero")
    assert ended.returncode == 1 and "system 'Enc' sets it itself" in ended.stderr


def test_a_run_that_fails_is_named_and_the_others_go_on(done: Path) -> None:
    systems = {"broken": {"settings": {"recipe#mask_threshold_prob": 7}}, **GRID["systems"]}
    ended = run_grid(done, {**GRID, "systems": systems}, "--system", "broken", "--system", "Enc")
    assert ended.returncode == 1
    assert "failed: broken/masks-2_labels-4/seed-0: error: threshold_prob is 7" in ended.stdout
    assert "done: Enc" in ended.stdout and "1 of 2 runs are done" in ended.stdout
    assert not (done / "runs" / "broken" / "masks-2_labels-4" / "seed-0" / "run.json").exists()


def test_a_folder_without_runs_has_no_table(tmp_path: Path) -> None:
    ended = experiments("table", tmp_path)
    assert ended.returncode == 1 and "holds no finished run" in ended.stderr
