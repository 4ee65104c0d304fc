"""Kermany and NIH, whose images carry a label."""

from __future__ import annotations

from pathlib import Path

import pytest

from multimix_monai.data.readers import read_kermany, read_nih

SHARED = Path(__file__).parents[3] / "shared" / "data"
needs_shared = pytest.mark.skipif(
    not SHARED.is_dir(), reason="the real data sets are not beside the project"
)
HEADER = (
    "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
    "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y]\n"
)


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


@pytest.mark.parametrize("parent", ["", "chest_xray"])
def test_kermany_patient_is_person_and_type_or_the_im_number(tmp_path: Path, parent: str) -> None:
    base = tmp_path / parent
    touch(base, "train/PNEUMONIA/person1000_bacteria_2931.jpeg")
    touch(base, "train/PNEUMONIA/person1000_virus_1681.jpeg", "train/NORMAL/IM-0115-0001.jpeg")
    touch(base, "val/NORMAL/NORMAL2-IM-0115-0001-0002.jpeg", "test/NORMAL/IM-0001-0001.jpeg")
    cases = {case.patient: case for case in read_kermany(tmp_path)}
    assert set(cases) == {
        "person1000_bacteria",
        "person1000_virus",
        "IM-0115",
        "NORMAL2-IM-0115",
        "IM-0001",
    }
    assert cases["person1000_virus"].label == 1 and cases["IM-0115"].label == 0


def test_kermany_patient_of_the_mendeley_release_is_the_first_number(tmp_path: Path) -> None:
    touch(tmp_path, "train/PNEUMONIA/BACTERIA-1008087-0001.jpeg", "test/NORMAL/other-1-0001.jpeg")
    touch(tmp_path, "train/PNEUMONIA/VIRUS-1008087-0002.jpeg", "test/NORMAL/NORMAL-7-0001.jpeg")
    patients = {case.case: case.patient for case in read_kermany(tmp_path)}
    assert patients == {
        "BACTERIA-1008087-0001": "1008087",
        "VIRUS-1008087-0002": "1008087",
        "NORMAL-7-0001": "7",
        "other-1-0001": None,
    }


def test_kermany_val_joins_the_training_pool(tmp_path: Path) -> None:
    touch(tmp_path, "train/NORMAL/IM-0115-0001.jpeg", "val/PNEUMONIA/person1946_bacteria_4.jpeg")
    touch(tmp_path, "test/NORMAL/IM-0001-0001.jpeg")
    assert [case.part for case in read_kermany(tmp_path)] == ["train", "train", "test"]


def test_kermany_empty_or_foreign_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="none of the folders train"):
        read_kermany(tmp_path)
    (tmp_path / "train/NORMAL").mkdir(parents=True)
    with pytest.raises(ValueError, match="no images found"):
        read_kermany(tmp_path)


@needs_shared
def test_real_kermany_has_no_patient_across_official_parts() -> None:
    cases = read_kermany(SHARED / "chest_xray")
    patients = {part: {c.patient for c in cases if c.part == part} for part in ("train", "test")}
    assert len(cases) == 5856 and sum(case.part == "test" for case in cases) == 624
    assert not patients["train"] & patients["test"]
    assert None not in patients["train"] | patients["test"]


def test_nih_labels_pneumonia_no_finding_and_nothing_else(tmp_path: Path) -> None:
    touch(tmp_path, "images_001/images/00000001_000.png", "images_002/images/00000001_001.png")
    touch(tmp_path, "images_002/images/00000002_000.png")
    (tmp_path / "Data_Entry_2017.csv").write_text(
        HEADER
        + "00000001_000.png,Pneumonia|Edema,0,1,58,M,AP,2682,2749,0.143,0.143\n"
        + "00000001_001.png,No Finding,1,1,58,M,PA,2682,2749,0.143,0.143\n"
        + "00000002_000.png,Hernia,0,2,81,F,PA,2500,2048,0.171,0.171\n"
        + "00000003_000.png,Pneumonia,0,3,81,F,PA,2500,2048,0.171,0.171\n"
    )
    cases = read_nih(tmp_path)
    assert [case.label for case in cases] == [1, 0, None]
    assert [case.patient for case in cases] == ["1", "1", "2"]
    person = {"sex": "M", "age": "58", "view": "AP", "follow_up": "0"}
    assert cases[0].info == person | {"original_rows": "2749", "original_columns": "2682"}
    (tmp_path / "test_list.txt").write_text("00000002_000.png\n")
    assert [case.part for case in read_nih(tmp_path)] == [None, None, "test"]


def test_nih_without_csv_column_or_image_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"Data_Entry_2017\.csv is missing"):
        read_nih(tmp_path)
    (tmp_path / "Data_Entry_2017.csv").write_text("Image Index,Patient ID\na.png,1\n")
    with pytest.raises(ValueError, match="'Finding Labels' is missing"):
        read_nih(tmp_path)
    (tmp_path / "Data_Entry_2017.csv").write_text(HEADER + "a.png,Hernia,0,1,5,M,PA,1,1,1,1\n")
    with pytest.raises(ValueError, match="no images found"):
        read_nih(tmp_path)


@needs_shared
def test_real_nih_part_has_263_pneumonia_and_274_without_finding() -> None:
    labels = [case.label for case in read_nih(SHARED / "nih_pneumonia")]
    assert (labels.count(1), labels.count(0), len(labels)) == (263, 274, 537)
