from __future__ import annotations

import csv
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import monai.bundle
import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from multimix_monai.apps import cli
from multimix_monai.apps.bundle import config_files


@pytest.fixture
def predict(fresh_weights: Path, monkeypatch: pytest.MonkeyPatch) -> Callable:
    """`multimix predict` with fresh weights at 64 pixels."""
    monkeypatch.setattr(sys, "path", list(sys.path))

    def call(*words: object):  # type: ignore[no-untyped-def]
        options = ["--weights", fresh_weights, "--set", "image_size=64"]
        return CliRunner().invoke(cli.app, [str(word) for word in ("predict", *words, *options)])

    return call


def table(folder: Path) -> list[dict[str, str]]:
    with (folder / "results.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def pictures(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def test_all_good_is_code_0_and_one_line_on_stdout(
    predict: Callable, tiny_dataset: Path, tmp_path: Path
) -> None:
    result = predict(tiny_dataset / "dicom", tiny_dataset / "images", "--output", tmp_path)
    assert result.exit_code == 0, result.output
    assert result.stdout == f"14 ok, 0 refused, 0 failed: {tmp_path}/results.csv\n"
    assert "predict" in result.stderr  # the progress bar
    rows = table(tmp_path)
    assert [Path(row["input"]).parent.name for row in rows] == ["dicom"] * 2 + ["images"] * 12
    for row in rows:
        mask = np.asarray(Image.open(tmp_path / row["mask"]))
        assert mask.shape == (int(row["rows"]), int(row["columns"])) == (74, 64)


def test_a_bad_file_among_good_ones_is_code_3_and_a_row_in_its_place(
    predict: Callable, tiny_dataset: Path, tmp_path: Path
) -> None:
    shutil.copytree(tiny_dataset / "images", tmp_path / "in")
    cut = tmp_path / "in" / "case_0004.png"
    cut.write_bytes(cut.read_bytes()[:300])
    result = predict(tmp_path / "in", tmp_path / "gone.png", "--output", tmp_path / "out")
    assert result.exit_code == 3, result.output
    assert result.stdout.startswith("11 ok, 2 refused, 0 failed: ")
    rows = table(tmp_path / "out")
    assert [n for n, row in enumerate(rows) if row["status"] == "refused"] == [3, 12]
    assert rows[3]["input"] == str(cut) and "truncated" in rows[3]["message"]
    assert "does not exist" in rows[12]["message"]


def test_the_bundle_predicts_the_same_bytes(
    predict: Callable,
    tiny_dataset: Path,
    fresh_weights: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    assert predict(tiny_dataset / "images", "--output", tmp_path / "a").exit_code == 0
    monai.bundle.run(
        "inference",
        config_file=config_files("inference.json"),
        logging_file=False,
        dataset_dir=str(tiny_dataset / "images"),
        output_dir=str(tmp_path / "b"),
        ckpt_path=str(fresh_weights),
        image_size=64,
    )
    assert len(pictures(tmp_path / "a")) == 12 * 3 + 2
    assert pictures(tmp_path / "a") == pictures(tmp_path / "b")


def test_the_size_of_a_batch_changes_no_result(
    predict: Callable, tiny_dataset: Path, tmp_path: Path
) -> None:
    for size in (1, 5):
        output = ("--output", tmp_path / str(size), "--set", f"batch_size={size}")
        assert predict(tiny_dataset / "images", *output).exit_code == 0
    one, five = (table(tmp_path / name) for name in ("1", "5"))
    for first, second in zip(one, five, strict=True):
        assert first["input"] == second["input"]
        probs = [float(row["pneumonia_probability"]) for row in (first, second)]
        assert probs[0] == pytest.approx(probs[1], abs=1e-5)


def test_the_threshold_is_that_of_the_option(
    predict: Callable, tiny_dataset: Path, tmp_path: Path
) -> None:
    result = predict(tiny_dataset / "dicom", "--output", tmp_path, "--threshold", 0)
    assert result.exit_code == 0, result.output
    rows = [(row["threshold"], row["pneumonia_label"]) for row in table(tmp_path)]
    assert rows == [("0.0", "1")] * 2


@pytest.mark.parametrize(
    "words",
    [
        ("{gone}", "--output", "{out}"),
        ("{empty}", "--output", "{out}"),
        ("{empty}",),
        ("{data}", "--output", "{out}", "--threshold", "1.5"),
    ],
)
def test_wrong_usage_is_code_2_and_writes_nothing(
    predict: Callable, tiny_dataset: Path, tmp_path: Path, words: tuple[str, ...]
) -> None:
    places = {"gone": tmp_path / "gone", "empty": tmp_path / "e", "out": tmp_path / "out"}
    places["empty"].mkdir()
    result = predict(*(word.format(**places, data=tiny_dataset / "dicom") for word in words))
    assert result.exit_code == 2, result.output
    assert not places["out"].exists()


def test_missing_weights_are_one_line_and_code_1(tiny_dataset: Path, tmp_path: Path) -> None:
    words = ["predict", tiny_dataset / "dicom", "--output", tmp_path, "--weights", tmp_path / "no"]
    result = CliRunner().invoke(cli.app, [str(word) for word in words])
    assert result.exit_code == 1
    assert result.stderr.startswith("error: checkpoint ") and result.stderr.count("\n") == 1
