"""`multimix datalist`, from folders on disk to a JSON and a table."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom import dcmread
from typer.testing import CliRunner, Result

from multimix_monai.apps.cli import app
from multimix_monai.data import Radiograph
from multimix_monai.dicom.dx import write_dx

SHARED = Path(__file__).parents[3] / "shared" / "data"


def run(*arguments: str | Path | float) -> Result:
    return CliRunner().invoke(app, ["datalist", *(str(argument) for argument in arguments)])


def draw(path: Path, seed: int, size: tuple[int, int] = (6, 8)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, size, dtype=np.uint8)
    Image.fromarray(pixels).save(path)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A plain folder 'ward' of 10 and a merged Montgomery folder of 10 with masks."""
    for i in range(10):
        draw(tmp_path / f"ward/images/w{i}.png", seed=i)
        draw(tmp_path / f"mcu/images/MCUCXR_{i:04}_0.png", seed=100 + i)
        draw(tmp_path / f"mcu/masks/MCUCXR_{i:04}_0.png", seed=200 + i)
    rows = "".join(f"w{i}.png,{i % 2}\n" for i in range(10))
    (tmp_path / "ward/labels.csv").write_text("image,label\n" + rows)
    return tmp_path


def test_sources_are_mixed_counted_and_written(root: Path) -> None:
    output = root / "lists/datalist.json"
    options = ("--masks", 3, "--labels", 4, "--validation", 0.2, "--test", "montgomery=2")
    result = run("montgomery=mcu", root / "ward", "--dataset-dir", root, "--output", output,
                 *options, "--test", "ward=0.3")  # fmt: skip
    assert result.exit_code == 0, result.output
    stored = json.loads(output.read_text())
    assert stored["counts"]["test"]["montgomery"]["images"] == 2
    assert stored["counts"]["test"]["ward"]["images"] == 3
    assert sum("mask" in item for item in stored["training"]) == 3
    assert sum("label" in item for item in stored["training"]) == 4
    assert {item["image"].split("/")[0] for item in stored["training"]} == {"ward", "mcu"}
    assert "pneumonia" in result.output and stored["content_hash"][:12] in result.output


def test_images_without_a_patient_are_counted_by_source(root: Path) -> None:
    (root / "ward/labels.csv").write_text("image,patient\nw0.png,p\nw1.png,p\n")
    result = run("montgomery=mcu", "ward", "--dataset-dir", root, "--output", root / "a.json")
    notes = [line for line in result.output.splitlines() if line.startswith("note: ")]
    assert len(notes) == 1
    assert "ward: 8 of 10 images tell no patient, such as w2: each counts as" in notes[0]


def test_validation_may_be_a_number_of_patients(root: Path) -> None:
    result = run("ward", "--dataset-dir", root, "--validation", 3, "--output", root / "a.json")
    assert result.exit_code == 0, result.output
    assert len(json.loads((root / "a.json").read_text())["validation"]) == 3


@pytest.mark.parametrize(
    ("arguments", "warning"),
    [
        (["ward", "montgomery=mcu", "--validation", 0.5], None),
        (["ward", "--validation", 0.5], None),
        (["ward", "--validation", 0], "no labels of both classes: the best epoch is the last"),
        (
            ["ward", "montgomery=mcu", "--validation", 0.5, "--validation-labels", 1],
            "no labels of both classes: the best epoch is chosen by the masks alone",
        ),
        (
            ["ward", "montgomery=mcu", "--validation", 0.5, "--validation-masks", 0],
            "no masks: the best epoch is chosen by the labels of both classes alone",
        ),
        (
            ["ward", "montgomery=mcu", "--validation", 0],
            "no masks and no labels of both classes: the best epoch is the last",
        ),
    ],
)
def test_what_cannot_be_validated_is_warned_about(
    root: Path, arguments: list[str | float], warning: str | None
) -> None:
    result = run(*arguments, "--dataset-dir", root, "--output", root / "a.json")
    assert result.exit_code == 0, result.output
    lines = [line for line in result.output.splitlines() if line.startswith("warning: ")]
    assert lines == ([f"warning: validation has {warning}"] if warning else [])


def test_a_folder_may_have_an_equals_sign_in_its_name(root: Path) -> None:
    (root / "ward").rename(root / "ward=2")
    result = run(
        "ward=2", "--test", "ward=2=3", "--dataset-dir", root, "--output", root / "datalist.json"
    )
    assert result.exit_code == 0, result.output
    assert len(json.loads((root / "datalist.json").read_text())["test"]) == 3


def test_check_leaves_out_what_is_no_good_by_name(root: Path) -> None:
    (root / "ward/images/w0.png").write_bytes((root / "ward/images/w0.png").read_bytes()[:60])
    Image.fromarray(np.full((6, 8), 7, np.uint8)).save(root / "ward/images/w1.png")
    draw(root / "mcu/masks/MCUCXR_0002_0.png", seed=1, size=(8, 6))
    Image.fromarray(np.zeros((6, 8), np.uint8)).save(root / "mcu/masks/MCUCXR_0003_0.png")
    Image.fromarray(np.full((6, 8), 255, np.uint8)).save(root / "mcu/masks/MCUCXR_0004_0.png")
    result = run("montgomery=mcu", "ward", "--dataset-dir", root, "--check",
                 "--output", root / "a.json")  # fmt: skip
    assert result.exit_code == 0, result.output
    for name, reason in {
        "w0.png": "cannot be decoded",
        "w1.png": "every pixel has the value 7",
        "MCUCXR_0002_0.png": "mask is 8x6 but the image is 6x8",
        "MCUCXR_0003_0.png": "mask has no lung",
        "MCUCXR_0004_0.png": "mask is lung everywhere",
    }.items():
        assert any(name in line and reason in line for line in result.output.splitlines())
    stored = json.loads((root / "a.json").read_text())
    assert sum(len(stored[part]) for part in ("training", "validation", "test")) == 15


def test_check_leaves_out_what_says_that_it_is_no_frontal_radiograph(root: Path) -> None:
    pixels = np.linspace(0, 1, 48, dtype=np.float32).reshape(6, 8)
    path = root / "ward/images/lateral.dcm"
    write_dx(path, Radiograph(pixels, (0.2, 0.2)), patient_name="A", patient_id="1", seed=0)
    dataset = dcmread(path)
    dataset.ViewPosition = "LL"
    dataset.save_as(path)
    result = run("ward", "--dataset-dir", root, "--check", "--output", root / "a.json")
    assert result.exit_code == 0, result.output
    assert "lateral.dcm has the view position LL" in result.output
    assert "--force" not in result.output
    assert "lateral" not in (root / "a.json").read_text()


def test_check_keeps_patients_with_the_same_picture_together(root: Path) -> None:
    draw(root / "ward/images/w7.png", seed=3)
    result = run("ward", "--dataset-dir", root, "--check", "--output", root / "a.json")
    assert result.exit_code == 0, result.output
    stored = json.loads((root / "a.json").read_text())
    items = [item for part in ("training", "validation") for item in stored[part]]
    assert {item["patient"] for item in items if item["case"] in ("w3", "w7")} == {"w3"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["kermanny=mcu"], "no reader 'kermanny'"),
        (["gone"], "no such folder"),
        (["montgomery=mcu", "mcu"], "occurs twice, in mcu and montgomery"),
        (["ward", "folder=ward/../ward", "ward"], "two sources are named ward"),
        (["ward", "--labels", "99"], "training: 99 labels asked for, but there are 9"),
        (["ward", "--masks", "many"], "--masks is 'many'"),
        (["ward", "--test", "ward"], "--test is 'ward'; use SOURCE=N"),
        (["ward", "--test", "ward=-1"], "--test is 'ward=-1'"),
        (["ward", "--develop", "ward="], "--develop is 'ward='; use SOURCE=N"),
        (["ward", "--develop", "ward=nobody"], "no image has a name like 'nobody'"),
        (["ward", "--validation", "2.5"], "validation: share is 2.5"),
        (["ward", "--validation", "11"], "validation: 11 patients asked for, but there are 10"),
        (["ward", "--validation", "some"], "--validation is 'some'; use 10 patients"),
        (
            ["montgomery=mcu", "--masks", "9", "--test", "montgomery=2"],
            "there are 7: ask for at most 7, or 'all' (validation has masks: 1, labels: 0; test "
            "has masks: 2, labels: 0)",
        ),
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_1(
    root: Path, arguments: list[str], message: str
) -> None:
    result = run(*arguments, "--dataset-dir", root, "--output", root / "a.json")
    assert result.exit_code == 1 and result.output.startswith("error: ")
    assert message in result.output and len(result.output.splitlines()) == 1
    assert not (root / "a.json").exists()


def test_missing_dataset_dir_names_the_option(tmp_path: Path) -> None:
    result = run("ward", "--dataset-dir", tmp_path / "gone")
    assert result.exit_code == 1 and "set it with --dataset-dir" in result.output


@pytest.mark.skipif(not SHARED.is_dir(), reason="the real data sets are not beside the project")
def test_real_data_gives_the_cohort_of_the_model_card(tmp_path: Path) -> None:
    result = run("montgomery=montgomery", "kermany=chest_xray", "--dataset-dir", SHARED,
                 "--masks", 10, "--labels", 1000, "--test", "montgomery=45",
                 "--output", tmp_path / "a.json")  # fmt: skip
    assert result.exit_code == 0, result.output
    counts = json.loads((tmp_path / "a.json").read_text())["counts"]
    assert counts["test"]["montgomery"]["patients"] == 45
    assert counts["test"]["kermany"]["images"] == 624
    assert counts["training"]["montgomery"]["masks"] == 10
    assert (
        counts["training"]["kermany"]["label_0"] + counts["training"]["kermany"]["label_1"] == 1000
    )
