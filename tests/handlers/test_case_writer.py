from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from multimix_monai.engines import (
    CaseDataset,
    MultiMixEvaluator,
    PackingInferer,
    collate_cases,
)
from multimix_monai.handlers import case_writer
from multimix_monai.handlers.case_writer import COLUMNS, CaseWriter
from multimix_monai.networks import PackedMultiMix
from multimix_monai.transforms import postprocessing, preprocessing


@pytest.fixture
def predict(tmp_path: Path) -> Callable[..., list[dict]]:
    """Writes results of an untrained, narrow network into tmp_path/out; gives back the rows."""
    torch.manual_seed(0)
    network = PackedMultiMix(widths=(4, 4, 4, 4, 4))
    chain = preprocessing(image_size=64)

    def call(*paths: Path, batch_size: int = 3, threshold_prob: float = 0.5) -> list[dict]:
        cases = [{"image": str(path), "case": path.stem} for path in paths]
        writer = CaseWriter(tmp_path / "out", threshold_prob=threshold_prob)
        MultiMixEvaluator(
            device="cpu",
            val_data_loader=torch.utils.data.DataLoader(
                CaseDataset(cases, chain), batch_size=batch_size, collate_fn=collate_cases
            ),
            network=network,
            inferer=PackingInferer(),
            postprocessing=postprocessing(preprocessing=chain),
            val_handlers=[writer],
        ).run()
        return writer.rows

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


@pytest.mark.parametrize("batch_size", [1, 3, 5])
def test_every_input_has_its_row_in_the_order_of_the_inputs(
    predict: Callable, tmp_path: Path, batch_size: int
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
    assert str(cut) in rows[1]["message"] and "value 7" in rows[3]["message"]
    table, lines = rows_of(tmp_path / "out")
    assert lines == rows
    assert [list(row) for row in table] == [list(COLUMNS)] * 5
    assert [row["status"] for row in table] == [row["status"] for row in rows]
    assert table[1]["pneumonia_probability"] == table[1]["mask"] == ""


def test_a_batch_of_which_nothing_can_be_read_has_its_rows(
    predict: Callable, tmp_path: Path
) -> None:
    missing = [tmp_path / f"{name}.png" for name in "abc"]
    rows = predict(*missing, image(tmp_path / "d.png"))
    assert [row["status"] for row in rows] == ["refused"] * 3 + ["ok"]


@pytest.mark.parametrize("kind", ["grey", "16 bit", "rgba"])
@pytest.mark.parametrize("shape", [(75, 101), (133, 47)])
def test_pictures_have_the_rows_and_columns_of_the_input(
    predict: Callable, tmp_path: Path, shape: tuple[int, int], kind: str
) -> None:
    (row,) = predict(image(tmp_path / "scan.png", shape, kind))
    assert (row["rows"], row["columns"]) == shape
    mask = np.asarray(Image.open(tmp_path / "out" / row["mask"]))
    assert mask.shape == shape and mask.dtype == np.uint8
    assert set(np.unique(mask)) <= {0, 255}
    assert row["lung_area_px"] == np.count_nonzero(mask) > 0
    for name in ("overlay", "saliency"):
        assert np.asarray(Image.open(tmp_path / "out" / row[name])).shape == (*shape, 3)


def test_the_threshold_decides_the_label(predict: Callable, tmp_path: Path) -> None:
    (row,) = predict(image(tmp_path / "scan.png"))
    prob = row["pneumonia_probability"]
    for threshold_prob, label in ((prob - 0.01, 1), (prob + 0.01, 0)):
        (row,) = predict(tmp_path / "scan.png", threshold_prob=threshold_prob)
        assert (row["threshold"], row["pneumonia_label"]) == (threshold_prob, label)


def test_inputs_of_one_name_do_not_overwrite_each_other(predict: Callable, tmp_path: Path) -> None:
    paths = [tmp_path / "a" / "x.png", tmp_path / "b" / "x.png", tmp_path / "b" / "X.png"]
    paths += [tmp_path / "results.csv.png", tmp_path / "x.png.png", tmp_path / "___.png"]
    rows = predict(*(image(path, (40, 41 + number)) for number, path in enumerate(paths)))
    assert [row["status"] for row in rows] == ["ok"] * 6
    assert len({str(row["mask"]).lower() for row in rows}) == 6
    for number, row in enumerate(rows):
        assert Image.open(tmp_path / "out" / row["mask"]).size == (41 + number, 40)
    assert len(rows_of(tmp_path / "out")[0]) == 6


def test_a_dicom_file_name_is_not_that_of_a_folder(
    predict: Callable, tiny_dataset: Path, tmp_path: Path
) -> None:
    (row,) = predict(tiny_dataset / "dicom" / "dx_0001.dcm")
    assert row["status"] == "ok"
    assert row["mask"].startswith("dicom-") and "dx_0001" not in row["mask"]


def test_a_case_that_cannot_be_written_fails_and_the_others_go_on(
    predict: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = case_writer.overlay

    def full(pixels: np.ndarray, *args: object, **options: object) -> np.ndarray:
        if pixels.shape == (40, 60):
            raise OSError("No space left on device")
        return drawn(pixels, *args, **options)

    monkeypatch.setattr(case_writer, "overlay", full)
    shapes = {"a.png": (40, 50), "b.png": (40, 60), "c.png": (40, 70)}
    rows = predict(*(image(tmp_path / name, shape) for name, shape in shapes.items()))
    assert [row["status"] for row in rows] == ["ok", "failed", "ok"]
    assert rows[1]["message"] == "No space left on device"


def test_an_interrupted_run_keeps_its_rows(
    predict: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*args: object, **options: object) -> np.ndarray:
        raise KeyboardInterrupt

    paths = [image(tmp_path / "a.png"), tmp_path / "gone.png", image(tmp_path / "b.png")]
    monkeypatch.setattr(case_writer, "overlay", interrupt)
    with pytest.raises(KeyboardInterrupt):
        predict(tmp_path / "gone.png", *paths, batch_size=1)
    table, lines = rows_of(tmp_path / "out")
    assert [row["status"] for row in table] == [row["status"] for row in lines] == ["refused"]


def test_a_second_run_replaces_the_rows_of_the_first(predict: Callable, tmp_path: Path) -> None:
    predict(image(tmp_path / "a.png"), image(tmp_path / "b.png"))
    predict(tmp_path / "b.png")
    table, lines = rows_of(tmp_path / "out")
    assert len(table) == len(lines) == 1


@pytest.mark.parametrize("threshold_prob", [-0.1, 1.1])
def test_a_threshold_outside_0_to_1_is_refused(tmp_path: Path, threshold_prob: float) -> None:
    with pytest.raises(ValueError, match="threshold_prob is"):
        CaseWriter(tmp_path, threshold_prob=threshold_prob)
