from __future__ import annotations

import csv
import errno
import json
import multiprocessing
import os
import re
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from multimix_monai.dicom.findings import Algorithm
from multimix_monai.engines import CaseDataset, CaseLoader, MultiMixEvaluator, PackingInferer
from multimix_monai.handlers import case_folder, case_writer
from multimix_monai.handlers.case_folder import CaseFolder
from multimix_monai.handlers.case_row import caption
from multimix_monai.handlers.case_writer import MAX_WAITING, CaseWriter
from multimix_monai.handlers.results_table import COLUMNS, ResultsTable
from multimix_monai.networks import PackedMultiMix
from multimix_monai.transforms import postprocessing, preprocessing

Predict = Callable[..., list[dict[str, Any]]]


@pytest.fixture
def predict(tmp_path: Path) -> Predict:
    """Writes results of an untrained, narrow network into tmp_path/out; gives back the rows."""
    torch.manual_seed(0)
    network = PackedMultiMix(widths=(4, 4, 4, 4, 4))

    def call(
        *paths: Path,
        batch_size: int = 3,
        checks: Any = (),
        picture_side: int | None = 1024,
        **options: Any,
    ) -> list[dict]:
        chain = preprocessing(image_size=64, picture=True, picture_side=picture_side)
        cases = [{"image": str(path), "case": path.stem} for path in paths]
        results = ResultsTable(tmp_path / "out", cases, overwrite=True)
        data = CaseDataset(cases, chain, keep_going=True)
        MultiMixEvaluator(
            device="cpu",
            val_data_loader=CaseLoader(data, batch_size=batch_size, num_workers=0),
            network=network,
            inferer=PackingInferer(),
            checks=checks,
            postprocessing=postprocessing(preprocessing=chain, quality_rules={}),
            val_handlers=[CaseWriter(results, **options)],
            keep_going=True,
        ).run()
        return results.rows()

    return call


def image(path: Path, shape: tuple[int, int] = (40, 50), kind: str = "grey") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    grey = np.random.default_rng(len(path.name)).integers(0, 256, shape).astype(np.uint8)
    if kind == "16 bit":
        Image.fromarray(grey.astype(np.uint16) * 257).save(path)
    elif kind == "rgba":
        Image.fromarray(np.dstack([grey, grey, grey, np.full_like(grey, 200)])).save(path)
    else:
        Image.fromarray(grey).save(path)
    return path


def rows_of(folder: Path) -> tuple[list[dict], list[dict]]:
    with (folder / "results.csv").open(newline="") as file:
        table = list(csv.DictReader(file))
    return table, [json.loads(line) for line in (folder / "results.jsonl").open()]


def finds(reason: str | None, score: float | None = 0.1) -> Callable[..., list[dict]]:
    """A check of the picture that says the same of every image."""
    found = {"score": score, "reason": reason, "message": "the file shows a hip"}

    def check(images: Tensor, predictions: Tensor, predict: Any) -> list[dict]:
        return [{"frontal": found} for _ in images]

    return check


@pytest.mark.parametrize("batch_size", [1, 3, 5])
def test_every_input_has_its_row_in_the_order_of_the_inputs(
    predict: Predict, tmp_path: Path, batch_size: int
) -> None:
    cut = image(tmp_path / "b.png")
    cut.write_bytes(cut.read_bytes()[:200])
    flat = tmp_path / "d.png"
    Image.new("L", (40, 40), 7).save(flat)
    good = [image(tmp_path / name) for name in ("a.png", "c.png", "e.png")]
    inputs = [good[0], cut, good[1], flat, good[2]]
    rows = predict(*inputs, batch_size=batch_size)
    assert [row["input"] for row in rows] == [str(path) for path in inputs]
    assert [row["status"] for row in rows] == ["ok", "refused", "ok", "refused", "ok"]
    assert "cannot be decoded" in rows[1]["message"] and "value 7" in rows[3]["message"]
    table, lines = rows_of(tmp_path / "out")
    assert [{column: line[column] for column in COLUMNS} for line in lines] == rows
    assert [list(row) for row in table] == [list(COLUMNS)] * 5
    assert [row["status"] for row in table] == [row["status"] for row in rows]
    assert table[1]["pneumonia_probability"] == table[1]["mask"] == ""


def test_rows_keep_their_order_when_the_first_case_takes_longest(
    predict: Predict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = case_folder.draw

    def slow(case: dict, **options: str) -> dict:
        time.sleep(0.2 if case[case_folder.Keys.PICTURE].shape == (41, 50) else 0)
        return drawn(case, **options)

    monkeypatch.setattr(case_folder, "draw", slow)
    monkeypatch.setattr(ResultsTable, "end", ResultsTable.close)  # it would sort them
    paths = [image(tmp_path / f"{n}.png", (41 if n == 0 else 40, 50)) for n in range(8)]
    predict(*paths)
    assert [row["input"] for row in rows_of(tmp_path / "out")[1]] == [str(path) for path in paths]


def test_what_waits_to_be_written_is_bounded(
    predict: Predict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alive, most = [0], [0]
    lock = threading.Lock()
    outcome = CaseFolder.__call__
    submit = case_writer.Threads.submit

    def counted_submit(threads: case_writer.Threads, case: dict) -> Any:
        with lock:
            alive[0] += 1
            most[0] = max(most[0], alive[0])
        return submit(threads, case)

    def counted_outcome(folder: CaseFolder, case: dict) -> dict:
        time.sleep(0.02)
        try:
            return outcome(folder, case)
        finally:
            with lock:
                alive[0] -= 1

    monkeypatch.setattr(case_writer.Threads, "submit", counted_submit)
    monkeypatch.setattr(CaseFolder, "__call__", counted_outcome)
    predict(*(image(tmp_path / f"{n}.png") for n in range(40)), batch_size=20, num_workers=0)
    assert 2 <= most[0] <= MAX_WAITING + 1


def test_no_file_is_decoded_twice(
    predict: Predict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from multimix_monai.transforms import loading

    read, paths = loading.read_radiograph, []
    monkeypatch.setattr(loading, "read_radiograph", lambda p: paths.append(p) or read(p))
    predict(*(image(tmp_path / name) for name in ("a.png", "b.png")))
    assert [path.name for path in paths] == ["a.png", "b.png"]


def test_a_batch_of_which_nothing_can_be_read_has_its_rows(
    predict: Predict, tmp_path: Path
) -> None:
    missing = [tmp_path / f"{name}.png" for name in "abc"]
    rows = predict(*missing, image(tmp_path / "d.png"))
    assert [row["status"] for row in rows] == ["refused"] * 3 + ["ok"]
    assert [row["reason"] for row in rows] == ["missing"] * 3 + [None]


@pytest.mark.parametrize("kind", ["grey", "16 bit", "rgba"])
@pytest.mark.parametrize("shape", [(75, 101), (133, 47)])
def test_pictures_have_the_rows_and_columns_of_the_input(
    predict: Predict, tmp_path: Path, shape: tuple[int, int], kind: str
) -> None:
    (row,) = predict(image(tmp_path / "scan.png", shape, kind))
    assert (row["rows"], row["columns"]) == shape
    mask = np.asarray(Image.open(tmp_path / "out" / row["mask"]))
    assert mask.shape == shape and mask.dtype == np.uint8
    assert set(np.unique(mask)) <= {0, 255}
    assert row["lung_area_px"] == np.count_nonzero(mask) > 0
    assert row["lung_area_mm2"] is None and row["spacing_source"] == "unknown"
    for name in ("overlay", "saliency"):
        assert np.asarray(Image.open(tmp_path / "out" / row[name])).shape == (*shape, 3)


def test_pictures_to_look_at_are_reduced_and_the_mask_is_not(
    predict: Predict, tmp_path: Path
) -> None:
    path = image(tmp_path / "scan.png", (300, 210))
    whole = predict(path, picture_side=None)[0]
    before = {kind: pixels(tmp_path / "out" / whole[kind]) for kind in ("mask", "overlay")}
    row = predict(path, picture_side=100)[0]
    assert {**row, "message": None} == {**whole, "message": None}
    assert np.array_equal(pixels(tmp_path / "out" / row["mask"]), before["mask"])
    for kind in ("overlay", "saliency"):
        assert pixels(tmp_path / "out" / row[kind]).shape == (100, 70, 3)
    line = is_coloured(pixels(tmp_path / "out" / row["overlay"]))
    for axis in (0, 1):  # the contour lies where it lies on the whole picture
        places, expected = (
            np.argwhere(drawn).mean(axis=0)[axis] / drawn.shape[axis]
            for drawn in (line, is_coloured(before["overlay"]))
        )
        assert places == pytest.approx(expected, abs=0.02)


def pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path))


def is_coloured(picture: np.ndarray) -> np.ndarray:
    return np.ptp(picture.astype(int), axis=-1) > 0


def test_the_threshold_decides_the_label_and_says_where_it_comes_from(
    predict: Predict, tmp_path: Path
) -> None:
    (row,) = predict(image(tmp_path / "scan.png"))
    prob = row["pneumonia_probability"]
    for threshold_prob, label in ((prob - 0.01, 1), (prob + 0.01, 0)):
        (row,) = predict(
            tmp_path / "scan.png", threshold_prob=threshold_prob, threshold_source="a study"
        )
        assert (row["threshold"], row["pneumonia_label"]) == (threshold_prob, label)
        assert row["threshold_source"] == "a study"


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({}, "pneumonia 0.43 >= 0.40"),
        ({"pneumonia_label": 0, "threshold": 0.5}, "pneumonia 0.43 < 0.50"),
        ({"quality": "review"}, "pneumonia 0.43 >= 0.40  review"),
        ({"quality": "pass", "flags": "a;forced:view"}, "pneumonia 0.43 >= 0.40  forced"),
    ],
)
def test_a_picture_says_what_its_row_says(changes: dict, text: str) -> None:
    row = {"pneumonia_probability": 0.43, "threshold": 0.4, "pneumonia_label": 1, "flags": ""}
    assert caption(row | changes) == text


def test_each_input_has_a_folder_of_its_own_that_names_nobody(
    predict: Predict, tmp_path: Path, tiny_dataset: Path
) -> None:
    names = ("a/Doe^John.png", "b/Doe^John.png", "b/DOE^JOHN.png", "results.csv.png", "___.png")
    paths = [image(tmp_path / name, (40, 41 + n)) for n, name in enumerate(names)]
    rows = predict(*paths, tiny_dataset / "dicom" / "dx_0001.dcm")
    assert [row["status"] for row in rows] == ["ok"] * 6
    folders = [row["mask"].split("/")[0] for row in rows]
    assert len(set(folders)) == 6
    assert all(re.fullmatch(r"case-[0-9a-f]{16}", folder) for folder in folders)
    for n, row in enumerate(rows[:5]):
        assert Image.open(tmp_path / "out" / row["mask"]).size == (41 + n, 40)


def test_the_lungs_have_an_area_in_mm2_where_the_file_tells_the_spacing(
    predict: Predict, tiny_dataset: Path
) -> None:
    from pydicom import dcmread

    path = tiny_dataset / "dicom" / "dx_0001.dcm"
    (row,) = predict(path)
    row_mm, column_mm = (float(mm) for mm in dcmread(path).ImagerPixelSpacing)
    assert row["lung_area_mm2"] == round(row["lung_area_px"] * row_mm * column_mm, 1) > 0
    assert row["spacing_source"].startswith("ImagerPixelSpacing")


def test_dicom_results_are_written_for_dicom_inputs_only(
    predict: Predict, tmp_path: Path, tiny_dataset: Path
) -> None:
    highdicom = pytest.importorskip("highdicom")
    algorithm = Algorithm("0" * 64, ("image_size=64",))
    dicom = tiny_dataset / "dicom" / "dx_0001.dcm"
    plain, row = predict(image(tmp_path / "a.png"), dicom, algorithm=algorithm)
    assert plain["sr"] is plain["seg"] is plain["sc_overlay"] is None
    mask = np.asarray(Image.open(tmp_path / "out" / row["mask"])) > 0
    segments = highdicom.seg.segread(tmp_path / "out" / row["seg"])
    assert np.array_equal(segments.pixel_array.reshape(-1, *mask.shape).any(axis=0), mask)
    assert (tmp_path / "out" / row["sr"]).is_file()
    assert predict(dicom)[0]["sr"] is None


def test_a_result_that_cannot_be_said_in_dicom_is_a_result_all_the_same(
    predict: Predict, tmp_path: Path, tiny_dataset: Path
) -> None:
    pytest.importorskip("highdicom")
    from pydicom import dcmread

    dataset = dcmread(tiny_dataset / "dicom" / "dx_0001.dcm")
    del dataset.StudyInstanceUID
    dataset.save_as(tmp_path / "a.dcm")
    (row,) = predict(tmp_path / "a.dcm", algorithm=Algorithm("0" * 64))
    assert row["status"] == "ok" and row["sr"] is None and row["mask"]
    assert row["flags"] == "no_dicom_results" and "no results as DICOM" in row["message"]


def test_what_by_its_picture_is_no_chest_is_refused_without_files(
    predict: Predict, tmp_path: Path
) -> None:
    (row,) = predict(image(tmp_path / "a.png"), checks=[finds("not_frontal_chest", 0.25)])
    assert (row["status"], row["reason"]) == ("refused", "not_frontal_chest")
    assert row["message"] == "the file shows a hip" and row["frontal_score"] == 0.25
    assert row["mask"] is row["pneumonia_probability"] is None
    assert [path.name for path in (tmp_path / "out").iterdir() if path.is_dir()] == []


def test_what_is_forced_is_scored_and_says_so(predict: Predict, tmp_path: Path) -> None:
    path = image(tmp_path / "a.png")
    (row,) = predict(path, checks=[finds("rotated_90")], force=True)
    assert row["status"] == "ok" and row["mask"] and row["flags"] == "forced:rotated_90"
    assert "--force" in row["message"] and "rotated_90" in row["message"]
    (row,) = predict(path, checks=[finds(None, 0.9)], force=True)
    assert (row["flags"], row["message"], row["frontal_score"]) == ("", None, 0.9)


def test_a_picture_that_could_not_be_checked_is_flagged(predict: Predict, tmp_path: Path) -> None:
    (row,) = predict(image(tmp_path / "a.png"), checks=[finds(None, None)])
    assert row["status"] == "ok" and row["frontal_score"] is None
    assert row["flags"] == "frontal_not_checked"


def test_the_quality_of_a_mask_is_pass_or_review_with_the_rules(
    predict: Predict, tmp_path: Path
) -> None:
    row = predict(image(tmp_path / "a.png"))[0]
    assert row["quality"] == ("review" if row["quality_rules"] else "pass")


@pytest.mark.parametrize("batch_size", [1, 3])
def test_what_nobody_expected_of_one_case_is_its_row_and_the_others_go_on(
    predict: Predict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batch_size: int
) -> None:
    drawn = case_folder.draw

    def fails(case: dict, **options: str) -> dict:
        if case[case_folder.Keys.PICTURE].shape == (40, 60):
            raise KeyError("Doe^John")
        return drawn(case, **options)

    def check(images: Tensor, predictions: Tensor, predict: Any) -> list[dict]:
        if (images[:, 0, 0].sum(dim=1) == 0).any():  # padded above: the wide one
            raise ZeroDivisionError("Doe^John")
        return [{} for _ in images]

    monkeypatch.setattr(case_folder, "draw", fails)
    shapes = {"a.png": (50, 40), "b.png": (40, 60), "c.png": (70, 40)}
    paths = [image(tmp_path / name, shape) for name, shape in shapes.items()]
    rows = predict(*paths, batch_size=batch_size)
    assert [row["reason"] for row in rows] == [None, "KeyError", None]
    rows = predict(*paths, batch_size=batch_size, checks=[check])
    assert [row["reason"] for row in rows] == [None, "ZeroDivisionError", None]
    assert [row["status"] for row in rows] == ["ok", "failed", "ok"]
    assert "Doe" not in str(rows) and "test_case_writer.py:" in rows[1]["message"]


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS])
def test_a_full_disk_ends_the_run_with_its_rows_and_the_remedy(
    predict: Predict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    drawn = case_folder.draw

    def full(case: dict, **options: str) -> dict:
        if case[case_folder.Keys.PICTURE].shape == (40, 60):
            raise OSError(code, "No space left on device")
        return drawn(case, **options)

    monkeypatch.setattr(case_folder, "draw", full)
    shapes = {"a.png": (40, 50), "b.png": (40, 60), "c.png": (40, 70)}
    paths = [image(tmp_path / name, shape) for name, shape in shapes.items()]
    with pytest.raises(OSError, match=r"No space left .*same command again to go on"):
        predict(*paths, batch_size=1)
    table, lines = rows_of(tmp_path / "out")
    assert [Path(row["input"]).name for row in table] == ["a.png"] and len(lines) == 1
    left = ResultsTable(tmp_path / "out", [{"image": str(path)} for path in paths])
    assert left.todo == [1, 2]


def test_a_run_that_cannot_begin_says_why(predict: Predict, tmp_path: Path) -> None:
    (tmp_path / "out").touch()
    with pytest.raises(FileExistsError, match="out"):
        predict(image(tmp_path / "a.png"))


def test_an_interrupted_run_keeps_its_rows(
    predict: Predict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*args: object, **options: object) -> np.ndarray:
        raise KeyboardInterrupt

    paths = [image(tmp_path / "a.png"), tmp_path / "gone.png", image(tmp_path / "b.png")]
    monkeypatch.setattr(case_folder, "draw", interrupt)
    with pytest.raises(KeyboardInterrupt):
        predict(tmp_path / "gone.png", *paths, batch_size=1)
    table, lines = rows_of(tmp_path / "out")
    assert [row["status"] for row in table] == [row["status"] for row in lines] == ["refused"]


def test_what_a_cut_short_run_left_in_a_folder_is_cleared_away(
    predict: Predict, tmp_path: Path
) -> None:
    (row,) = predict(image(tmp_path / "a.png"))
    folder = tmp_path / "out" / row["mask"].split("/")[0]
    (folder / "seg.dcm").touch()
    predict(tmp_path / "a.png")
    assert sorted(path.name for path in folder.iterdir()) == [
        "mask.png",
        "overlay.png",
        "saliency.png",
    ]


@pytest.mark.parametrize("threshold_prob", [-0.1, 1.1])
def test_a_threshold_outside_0_to_1_is_refused(tmp_path: Path, threshold_prob: float) -> None:
    with pytest.raises(ValueError, match="threshold_prob is"):
        CaseWriter(ResultsTable(tmp_path, []), threshold_prob=threshold_prob)


@pytest.mark.parametrize("num_workers", [0, 2])
def test_who_writes_changes_nothing(predict: Predict, tmp_path: Path, num_workers: int) -> None:
    paths = [image(tmp_path / f"{n}.png", (40 + n, 50)) for n in range(5)]
    rows = predict(*paths, tmp_path / "gone.png", num_workers=0)
    before = {path: path.read_bytes() for path in (tmp_path / "out").rglob("*.png")}
    assert predict(*paths, tmp_path / "gone.png", num_workers=num_workers) == rows
    assert {path: path.read_bytes() for path in (tmp_path / "out").rglob("*.png")} == before
    assert len(before) == 15 and multiprocessing.active_children() == []


def test_a_case_that_kills_its_writer_has_its_row_and_the_others_go_on(
    predict: Predict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = case_folder.draw

    def dies(case: dict, **options: str) -> dict:
        if case[case_folder.Keys.PICTURE].shape == (40, 60):
            os.kill(os.getpid(), signal.SIGKILL)
        return drawn(case, **options)

    monkeypatch.setattr(case_folder, "draw", dies)
    shapes = {"a.png": (40, 50), "b.png": (40, 60), "c.png": (40, 70)}
    paths = [image(tmp_path / name, shape) for name, shape in shapes.items()]
    rows = predict(*paths, num_workers=1)
    assert [row["status"] for row in rows] == ["ok", "failed", "ok"]
    assert rows[1]["reason"] == "writer_died" and rows[1]["input"] == str(paths[1])


def test_a_full_disk_ends_the_run_of_processes_too(
    predict: Predict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(case: dict, **options: str) -> dict:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(case_folder, "draw", full)
    with pytest.raises(OSError, match=r"No space left .*same command again to go on"):
        predict(image(tmp_path / "a.png"), num_workers=1)
    assert multiprocessing.active_children() == []


def test_a_number_of_processes_below_0_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="num_workers is -1"):
        CaseWriter(ResultsTable(tmp_path, []), num_workers=-1)
