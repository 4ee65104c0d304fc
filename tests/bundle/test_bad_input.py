"""What users get wrong is refused with the remedy, or left out by name, and nothing is lost."""

from __future__ import annotations

import csv
import json
import logging
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from multimix_monai.data.readers import read_folder
from multimix_monai.networks import MultiMix


@pytest.fixture
def data(tiny_dataset: Path, tmp_path: Path) -> Path:
    """A copy of the tiny dataset that a test may spoil."""
    return Path(shutil.copytree(tiny_dataset, tmp_path / "data"))


def items_of(data: Path, part: str, key: str) -> list[dict]:
    return [i for i in json.loads((data / "datalist.json").read_text())[part] if key in i]


def spoil(data: Path, how: str, item: dict) -> None:
    """Break an image, or the mask of one, in one of the ways that happen."""
    image, mask = data / item["image"], data / item.get("mask", [item["image"]])[0]
    if how == "truncated":
        image.write_bytes(image.read_bytes()[:500])
    elif how == "one value":
        Image.fromarray(np.full((74, 64), 9, np.uint8)).save(image)
    else:
        Image.open(mask).resize((50, 30)).save(mask)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("truncated", "cannot be decoded"),
        ("one value", "every pixel has the value 9"),
        ("mask of another size", "is 30x50 but its image"),
    ],
)
def test_training_goes_on_without_what_is_broken_and_says_so(
    data: Path,
    tmp_path: Path,
    run_bundle: Callable,
    caplog: pytest.LogCaptureFixture,
    how: str,
    message: str,
) -> None:
    spoil(data, how, items_of(data, "training", "mask")[0])
    with caplog.at_level(logging.ERROR):
        run_bundle("training", "train.json", dataset_dir=str(data), output_dir=str(tmp_path / "o"))
    assert (tmp_path / "o" / "models" / "last.pt").is_file()
    named = [r.getMessage() for r in caplog.records if message in r.getMessage()]
    assert len(named) == 1 and named[0].startswith("left out of training: ")


def test_training_on_masks_of_which_none_can_be_used_ends_with_a_reason(
    data: Path, tmp_path: Path, run_bundle: Callable
) -> None:
    for item in items_of(data, "training", "mask"):
        spoil(data, "mask of another size", item)
    with pytest.raises(ValueError, match="none of the 2 images of stream mask_labelled can be"):
        run_bundle("training", "train.json", dataset_dir=str(data), output_dir=str(tmp_path / "o"))


def test_evaluation_names_what_it_left_out(
    data: Path, tmp_path: Path, fresh_weights: Path, run_bundle: Callable
) -> None:
    first, second, _ = items_of(data, "test", "mask")
    spoil(data, "mask of another size", first)
    spoil(data, "truncated", second)
    run_bundle(
        "evaluating",
        *("train.json", "evaluate.json"),
        dataset_dir=str(data),
        report_dir=str(tmp_path),
        ckpt_path=str(fresh_weights),
        threshold_prob=0.5,
    )
    with (tmp_path / "refused.csv").open(newline="") as file:
        refused = {row["case"]: row["message"] for row in csv.DictReader(file)}
    assert set(refused) == {first["case"], second["case"]}
    assert "30x50" in refused[first["case"]]
    assert json.loads((tmp_path / "metrics.json").read_text())["n_cases"] == 1


@pytest.mark.parametrize(("broken", "message"), [(True, "refused.csv"), (False, "--part")])
def test_an_evaluation_of_nothing_says_why(
    data: Path,
    tmp_path: Path,
    fresh_weights: Path,
    run_bundle: Callable,
    broken: bool,
    message: str,
) -> None:
    datalist = json.loads((data / "datalist.json").read_text())
    for item in datalist["test"]:
        spoil(data, "truncated", item)
    datalist["test"] = datalist["test"] if broken else []
    (data / "datalist.json").write_text(json.dumps(datalist))
    with pytest.raises(ValueError, match=message):
        run_bundle(
            "evaluating",
            *("train.json", "evaluate.json"),
            dataset_dir=str(data),
            report_dir=str(tmp_path),
            ckpt_path=str(fresh_weights),
            threshold_prob=0.5,
        )


def test_a_patient_in_two_parts_is_refused(
    data: Path, tmp_path: Path, run_bundle: Callable
) -> None:
    datalist = json.loads((data / "datalist.json").read_text())
    datalist["test"][0]["patient"] = datalist["training"][0]["patient"]
    (data / "datalist.json").write_text(json.dumps(datalist))
    with pytest.raises(ValueError, match=r"is in training .* and test"):
        run_bundle("training", "train.json", dataset_dir=str(data), output_dir=str(tmp_path))


def test_a_datalist_of_files_that_are_gone_is_refused(
    data: Path, tmp_path: Path, run_bundle: Callable
) -> None:
    shutil.rmtree(data / "masks")
    with pytest.raises(ValueError, match=r"files are missing, .*--dataset-dir \(dataset_dir\)"):
        run_bundle("training", "train.json", dataset_dir=str(data), output_dir=str(tmp_path))


def test_a_csv_of_unknown_files_and_a_mask_without_image_are_refused(data: Path) -> None:
    with (data / "labels.csv").open("a") as file:
        file.write("gone.png,1,SYN-9999\n")
    with pytest.raises(ValueError, match=r"gone\.png"):
        read_folder(data)
    shutil.copyfile(next((data / "masks").iterdir()), data / "masks" / "alone.png")
    (data / "labels.csv").unlink()
    with pytest.raises(ValueError, match=r"alone\.png"):
        read_folder(data)


def test_an_empty_folder_is_refused(tmp_path: Path, run_bundle: Callable) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match=r"no radiograph in .*empty"):
        empty = {"dataset_dir": str(tmp_path / "empty"), "image_size": 160}
        run_bundle("inference", "inference.json", **empty)
    with pytest.raises(ValueError, match=r"datalist .* does not exist"):
        run_bundle("training", "train.json", dataset_dir=str(tmp_path / "empty"))


class Bomb:
    def __reduce__(self) -> tuple:
        return Path.touch, (Path("exploded"),)


def test_weights_that_hold_code_are_refused_and_not_run(
    tiny_dataset: Path, tmp_path: Path, run_bundle: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for write in (torch.save, lambda bomb, path: path.write_bytes(pickle.dumps(bomb))):
        write({"weight": Bomb()}, tmp_path / "bomb.pt")
        with pytest.raises(ValueError, match=r"bomb\.pt .* is not loaded"):
            run_bundle(
                "inference",
                "inference.json",
                dataset_dir=str(tiny_dataset / "dicom"),
                ckpt_path="bomb.pt",
            )
    assert not Path("exploded").exists()


def test_weights_of_another_width_are_refused_by_name(
    tiny_dataset: Path, tmp_path: Path, run_bundle: Callable
) -> None:
    torch.save(MultiMix(widths=(8, 16, 32, 64, 128)).state_dict(), tmp_path / "narrow.pt")
    with pytest.raises(ValueError, match=r"narrow\.pt does not fit the network.*widths"):
        run_bundle(
            "inference",
            "inference.json",
            dataset_dir=str(tiny_dataset / "dicom"),
            ckpt_path=str(tmp_path / "narrow.pt"),
        )
