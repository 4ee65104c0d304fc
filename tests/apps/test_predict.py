from __future__ import annotations

import csv
import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import monai.bundle
import numpy as np
import pytest
from PIL import Image
from pydicom import dcmread
from typer.testing import CliRunner

from multimix_monai.apps import cli, inference
from multimix_monai.apps.bundle import config_files
from multimix_monai.apps.predict import unrecorded
from multimix_monai.data.calibration import Calibration, weights_digest, write_calibration
from multimix_monai.engines import MultiMixEvaluator


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
    """Tables and pictures by name."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.suffix != ".dcm")
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def test_all_good_is_code_0_and_one_line_on_stdout(
    predict: Callable, tiny_dataset: Path, tmp_path: Path
) -> None:
    result = predict(tiny_dataset / "dicom", tiny_dataset / "images", "--output", tmp_path)
    assert result.exit_code == 0, result.output
    assert result.stdout == f"14 ok, 0 refused, 0 failed: {tmp_path}/results.csv\n"
    assert result.stderr == ""
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
    first, *reasons = result.stdout.splitlines()
    assert first.startswith("11 ok, 2 refused, 0 failed: ")
    assert [line.split() for line in reasons] == [
        ["1", "refused", "unreadable"],
        ["1", "refused", "missing"],
    ]
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
    assert predict(tiny_dataset, "--output", tmp_path / "a", "--workers", 1).exit_code == 0
    monai.bundle.run(
        config_file=config_files("inference.json"),
        logging_file=False,
        dataset_dir=str(tiny_dataset),
        output_dir=str(tmp_path / "b"),
        ckpt_path=str(fresh_weights),
        image_size=64,
    )
    ours, theirs = pictures(tmp_path / "a"), pictures(tmp_path / "b")
    assert len(ours) == 15 * 3 + 3  # 12 images, 2 DICOM files, a contact sheet; the tables
    assert ours == theirs
    for path in (tmp_path / "a").rglob("seg.dcm"):  # DICOM objects tell the time, too
        other = tmp_path / "b" / path.relative_to(tmp_path / "a")
        assert dcmread(path).PixelData == dcmread(other).PixelData
        assert dcmread(path).SOPInstanceUID == dcmread(other).SOPInstanceUID


@pytest.mark.slow
def test_the_commands_predict_the_same_bytes(
    tiny_dataset: Path, fresh_weights: Path, tmp_path: Path
) -> None:
    ours = ["multimix_monai.apps.cli", "predict", tiny_dataset / "dicom", "--output", "a"]
    ours += ["--weights", fresh_weights, "--set", "image_size=64"]
    theirs = ["monai.bundle", "run", "--config_file", config_files("inference.json")[0]]
    theirs += ["--dataset_dir", tiny_dataset / "dicom", "--output_dir", "b"]
    theirs += ["--ckpt_path", fresh_weights, "--image_size", 64]
    for words in (ours, theirs):
        command = [sys.executable, "-m", *map(str, words)]
        subprocess.run(command, check=True, cwd=tmp_path, capture_output=True, timeout=300)
    assert pictures(tmp_path / "a") == pictures(tmp_path / "b")


def test_who_reads_the_files_changes_no_byte(
    predict: Callable, tiny_dataset: Path, tmp_path: Path
) -> None:
    for workers in (0, 2):
        output = ("--output", tmp_path / str(workers), "--workers", workers, "--no-dicom")
        assert predict(tiny_dataset, *output).exit_code == 0
    assert pictures(tmp_path / "0") == pictures(tmp_path / "2")


@pytest.mark.slow
def test_processes_that_are_not_forked_change_no_byte(
    predict: Callable, fresh_weights: Path, tiny_dataset: Path, tmp_path: Path
) -> None:
    output = ("--output", tmp_path / "here", "--workers", 0, "--no-dicom")
    assert predict(tiny_dataset, *output).exit_code == 0
    words = ["predict", tiny_dataset, "--output", tmp_path / "there", "--workers", 1, "--no-dicom"]
    words += ["--weights", fresh_weights, "--set", "image_size=64"]
    script = tmp_path / "script.py"
    script.write_text(
        "import multiprocessing\nfrom multimix_monai.apps.cli import app\n"
        "if __name__ == '__main__':\n"
        "    multiprocessing.set_start_method('spawn')\n"
        f"    app({[str(word) for word in words]})\n"
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert pictures(tmp_path / "here") == pictures(tmp_path / "there")


def test_an_archive_gives_what_its_files_give(
    predict: Callable, tiny_dataset: Path, tmp_path: Path
) -> None:
    shutil.make_archive(str(tmp_path / "exam"), "zip", tiny_dataset / "dicom")
    for source, output in ((tiny_dataset / "dicom", "a"), (tmp_path / "exam.zip", "b")):
        assert predict(source, "--output", tmp_path / output).exit_code == 0
    files, members = table(tmp_path / "a"), table(tmp_path / "b")
    assert [row["input"] for row in members] == [
        str(tmp_path / "exam.zip" / Path(row["input"]).name) for row in files
    ]
    own = {"input", "mask", "overlay", "saliency", "seg", "sr", "sc_overlay", "sc_saliency"}
    for ours, other in zip(members, files, strict=True):
        assert {k: v for k, v in ours.items() if k not in own} == {
            k: v for k, v in other.items() if k not in own
        }
        assert dcmread(tmp_path / "b" / ours["seg"]).PixelData
        masks = [(tmp_path / "ab"[n] / row["mask"]) for n, row in enumerate((other, ours))]
        assert masks[0].read_bytes() == masks[1].read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b", "exam.zip"]


def test_a_second_run_does_nothing_again_and_says_the_same(
    predict: Callable, tiny_dataset: Path, tmp_path: Path
) -> None:
    given = (tiny_dataset / "dicom", tmp_path / "gone.dcm", "--output", tmp_path / "out")
    first = predict(*given)
    times = {p: p.stat().st_mtime_ns for p in (tmp_path / "out").rglob("*.png")}
    again = predict(*given)
    assert (again.exit_code, again.stdout) == (first.exit_code, first.stdout)
    assert first.exit_code == 3 and first.stdout.startswith("2 ok, 1 refused, 0 failed")
    assert times == {p: p.stat().st_mtime_ns for p in (tmp_path / "out").rglob("*.png")}


def test_results_of_other_settings_are_neither_mixed_nor_lost(
    predict: Callable, tiny_dataset: Path, tmp_path: Path
) -> None:
    given = (tiny_dataset / "dicom", "--output", tmp_path, "--no-dicom")
    predict(*given)
    before = pictures(tmp_path)
    result = predict(*given, "--threshold", 0.25)
    assert result.exit_code == 1 and "threshold 0.5, now 0.25" in result.stderr
    assert "--overwrite" in result.stderr and pictures(tmp_path) == before
    assert predict(*given, "--threshold", 0.25, "--overwrite").exit_code == 0
    assert [row["threshold"] for row in table(tmp_path)] == ["0.25"] * 2
    assert [row["threshold_source"] for row in table(tmp_path)] == ["given"] * 2


def test_a_calibration_is_used_with_the_weights_that_it_belongs_to(
    predict: Callable, fresh_weights: Path, tiny_dataset: Path, tmp_path: Path
) -> None:
    path = tmp_path / "calibration.json"
    calibration = Calibration(
        temperature=0.25,
        threshold_prob=0.3,
        criterion="Youden's index",
        chosen_on="ten cases of ours",
        cases=10,
        weights_sha256=weights_digest(fresh_weights),
        image_size=64,
    )
    write_calibration(calibration, path)
    given = (tiny_dataset / "dicom", "--no-dicom", "--calibration", path, "--output")
    assert predict(*given, tmp_path / "a").exit_code == 0
    for row in table(tmp_path / "a"):
        raw, prob = (float(row[f"pneumonia_probability{end}"]) for end in ("_raw", ""))
        odds = (raw / (1 - raw)) ** 4
        assert prob == pytest.approx(odds / (1 + odds), abs=1e-4) and prob != raw
        assert row["threshold"] == "0.3" and row["pneumonia_label"] == str(int(prob >= 0.3))
        assert row["threshold_source"] == "Youden's index on ten cases of ours"
    write_calibration(replace(calibration, weights_sha256="0" * 64), path)
    result = predict(*given, tmp_path / "b")
    assert result.exit_code == 1 and "is for weights 000000000000" in result.stderr


def test_the_bundles_own_weights_refuse_noise_unless_forced(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (300, 280)).astype(np.uint8)
    Image.fromarray(noise).save(tmp_path / "noise.png")

    def row(*options: str) -> dict[str, str]:
        output = tmp_path / f"out{len(options)}"
        words = ["predict", tmp_path / "noise.png", "--output", output, *options]
        result = CliRunner().invoke(cli.app, [str(word) for word in words])
        assert result.exit_code == (0 if options else 3), result.output
        return table(output)[0]

    refused, forced = row(), row("--force")
    assert (refused["status"], refused["mask"]) == ("refused", "")
    assert forced["status"] == "ok" and forced["mask"] and "--force" in forced["message"]
    assert forced["flags"] == f"forced:{refused['reason']}"
    assert 0 <= float(refused["frontal_score"]) == float(forced["frontal_score"]) < 0.5


def test_dicom_results_can_be_left_out(
    predict: Callable, tiny_dataset: Path, tmp_path: Path
) -> None:
    assert predict(tiny_dataset / "dicom", "--output", tmp_path, "--no-dicom").exit_code == 0
    assert {row["sr"] for row in table(tmp_path)} == {""}
    assert list(tmp_path.rglob("*.dcm")) == []


def test_dicom_results_that_are_asked_for_need_their_packages(
    predict: Callable, tiny_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inference, "find_spec", lambda name: None)
    result = predict(tiny_dataset / "dicom", "--output", tmp_path / "a", "--dicom")
    assert result.exit_code == 1 and "pip install" in result.stderr
    result = predict(tiny_dataset / "dicom", "--output", tmp_path / "b")
    assert result.exit_code == 0 and result.stderr.startswith("no results as DICOM: pip install")
    assert predict(tiny_dataset / "images", "--output", tmp_path / "c").stderr == ""
    assert list(tmp_path.rglob("*.dcm")) == []


def test_a_bar_shows_the_rate_and_the_time_left(
    predict: Callable, tiny_dataset: Path, tmp_path: Path
) -> None:
    result = predict(tiny_dataset / "images", "--output", tmp_path, "--show-bar")
    assert "12/12" in result.stderr and "image" in result.stderr and "<" in result.stderr


def test_an_interruption_says_how_to_go_on(
    predict: Callable, tiny_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*args: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(MultiMixEvaluator, "ask", interrupt)
    result = predict(tiny_dataset / "images", "--output", tmp_path)
    assert result.exit_code == 130
    assert "interrupted: run the same command again to go on" in result.stderr


def lines_of(output: Path) -> list[bytes]:
    path = output / "results.jsonl"
    return path.read_bytes().splitlines(keepends=True) if path.exists() else []


@pytest.mark.slow
def test_a_killed_run_goes_on_without_redoing_what_is_done(
    fresh_weights: Path, tiny_dataset: Path, tmp_path: Path
) -> None:
    for n in range(150):
        shutil.copyfile(tiny_dataset / "images" / "case_0001.png", tmp_path / f"{n:03d}.png")
    (tmp_path / "in").mkdir()
    for path in tmp_path.glob("*.png"):
        path.rename(tmp_path / "in" / path.name)
    words = ["predict", tmp_path / "in", "--output", tmp_path / "out", "--workers", "1"]
    words += ["--weights", fresh_weights, "--set", "image_size=64", "--set", "batch_size=2"]
    command = [sys.executable, "-m", "multimix_monai.apps.cli", *map(str, words)]

    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    while len(lines_of(tmp_path / "out")) < 10:
        assert process.poll() is None, process.stderr
        time.sleep(0.01)
    readers = children_of(process.pid)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert readers
    done = [line for line in lines_of(tmp_path / "out") if line.endswith(b"\n")]
    assert 10 <= len(done) < 150
    masks = [tmp_path / "out" / json.loads(line)["mask"] for line in done]
    times = [mask.stat().st_mtime_ns for mask in masks]
    with (tmp_path / "out" / "results.jsonl").open("ab") as file:
        file.write(b'{"input": "' + bytes(str(tmp_path), "utf-8"))  # cut short while written

    second = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert second.returncode == 0, second.stderr
    assert [mask.stat().st_mtime_ns for mask in masks] == times
    rows = table(tmp_path / "out")
    assert [Path(row["input"]).name for row in rows] == [f"{n:03d}.png" for n in range(150)]
    assert len({(row["status"], row["pneumonia_probability"]) for row in rows}) == 1
    assert lines_of(tmp_path / "out")[: len(done)] == done
    deadline = time.monotonic() + 20
    while any(Path(f"/proc/{pid}").exists() for pid in readers):  # no process outlives its parent
        assert time.monotonic() < deadline
        time.sleep(0.1)


def children_of(pid: int) -> list[int]:
    return [int(n) for n in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


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


def test_a_setting_that_the_record_does_not_name_makes_another_result(
    predict: Callable, tiny_dataset: Path, tmp_path: Path
) -> None:
    given = (tiny_dataset / "dicom", "--output", tmp_path, "--set")
    narrow, wide = (f"preprocessing#percentiles=[{low},90]" for low in (10, 5))
    uids = []
    for setting in (wide, narrow):
        assert predict(*given, setting, "--overwrite").exit_code == 0
        uids.append({dcmread(path).SOPInstanceUID for path in tmp_path.rglob("seg.dcm")})
    assert len(uids[0]) == 2 and not uids[0] & uids[1]
    result = predict(*given, wide)
    assert result.exit_code == 1 and "::percentiles" in result.stderr
    assert predict(*given, narrow, "--set", "batch_size=1").exit_code == 0


def test_a_key_that_inference_does_not_have_is_one_line(
    predict: Callable, tiny_dataset: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out"
    result = predict(tiny_dataset / "dicom", "--output", output, "--set", "treshold_prob=1")
    assert result.exit_code == 1 and "did you mean threshold_prob?" in result.stderr
    assert not output.exists()


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


def test_what_is_set_as_it_is_makes_no_other_result() -> None:
    record = {"image": "@image_size"}
    config = {"settings": record, "image_size": 160, "percentiles": [1, 99]}
    assert unrecorded({"percentiles": [1, 99], "image_size": 96, "device": "cpu"}, config) == {}
    assert unrecorded({"percentiles": [5, 99]}, config) == {"percentiles": [5, 99]}
