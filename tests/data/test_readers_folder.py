"""A user's own folder: images, and masks and a csv if there are any."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import numpy as np
import pytest

from multimix_monai.data import Radiograph
from multimix_monai.data.patient import digest
from multimix_monai.data.readers import read_folder
from multimix_monai.dicom.dx import write_dx


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def test_images_alone_are_enough(tmp_path: Path) -> None:
    touch(tmp_path, "a.png", "ward/b.JPG", "ward/c.nii.gz", "d.dcm", "notes.txt", ".hidden.png")
    touch(tmp_path, "masks/a.png")
    cases = read_folder(tmp_path)
    assert [case.case for case in cases] == ["a", "d", "ward/b", "ward/c"]
    assert [bool(case.mask) for case in cases] == [True, False, False, False]
    assert all(case.label is None and case.patient is None for case in cases)


def test_linked_folders_are_followed_once_and_never_in_a_circle(tmp_path: Path) -> None:
    touch(tmp_path, "store/a.png", "store/deep/b.png", "set/images/c.png", "set/masks/c.png")
    images = tmp_path / "set/images"
    (images / "linked").symlink_to(tmp_path / "store")
    (images / "again").symlink_to(tmp_path / "store/deep")
    (tmp_path / "store/deep/circle").symlink_to(tmp_path / "store")
    (images / "above").symlink_to(tmp_path / "set")
    cases = read_folder(tmp_path / "set")
    assert sorted(case.image.name for case in cases) == ["a.png", "b.png", "c.png"]


def test_dicom_is_known_by_its_magic_when_the_name_is_a_uid(tmp_path: Path) -> None:
    for name in ("1.2.840.1", "1.2.840.2", "IM0001"):
        (tmp_path / name).write_bytes(bytes(128) + b"DICM")
    (tmp_path / "README").write_text("no image")
    assert [case.case for case in read_folder(tmp_path)] == ["1.2.840.1", "1.2.840.2", "IM0001"]


def test_csv_gives_labels_and_patients(tmp_path: Path) -> None:
    touch(tmp_path, "images/a.png", "images/b.png", "images/c.png", "images/d.png")
    (tmp_path / "labels.csv").write_text(
        "image,label,patient\na.png,1,p1\nb.png, normal,p1\nc.png,,\n", encoding="utf-8-sig"
    )
    cases = read_folder(tmp_path)
    assert [case.label for case in cases] == [1, 0, None, None]
    assert [case.patient for case in cases] == ["p1", "p1", None, None]


def write_dicom(path: Path, *, patient: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.linspace(0, 1, 16, dtype=np.float32).reshape(4, 4)
    radiograph = Radiograph(pixels, spacing_mm=(0.2, 0.2))
    write_dx(path, radiograph, patient_name="A^B", patient_id=patient, seed=0)


def test_dicom_tells_the_patient_that_the_csv_does_not(tmp_path: Path) -> None:
    for name, patient in {"a": "MRN-1", "b": "MRN-1", "c": "MRN-2", "d": "MRN-2", "e": ""}.items():
        write_dicom(tmp_path / f"images/{name}.dcm", patient=patient)
    touch(tmp_path, "images/f.png")
    (tmp_path / "labels.csv").write_text("image,patient\nc.dcm,p2\n")
    first = digest("MRN-1")
    patients = [case.patient for case in read_folder(tmp_path)]
    assert patients == [first, first, "p2", "p2", None, None]
    assert "MRN" not in first


@pytest.mark.parametrize("mark", [";", "\t"])
def test_csv_of_a_spreadsheet_without_commas_is_read(tmp_path: Path, mark: str) -> None:
    touch(tmp_path, "a.png")
    (tmp_path / "labels.csv").write_text(f"image{mark}label\na.png{mark}Pneumonia\n")
    assert read_folder(tmp_path)[0].label == 1


@pytest.mark.parametrize("name", ["labels.csv", "Labels.CSV"])
@pytest.mark.parametrize(
    "header", ["image, label, patient", "Image,Label,PATIENT", "patient ,image,label"]
)
def test_columns_are_known_in_any_case_and_with_spaces(
    tmp_path: Path, name: str, header: str
) -> None:
    touch(tmp_path, "a.png")
    values = {"image": "a.png", "label": "1", "patient": "p1"}
    row = ",".join(values[column.strip().lower()] for column in header.split(","))
    (tmp_path / name).write_text(f"{header},\n{row},\n,,\n")
    (case,) = read_folder(tmp_path)
    assert (case.label, case.patient) == (1, "p1")


@pytest.mark.parametrize("encoding", ["cp1252", "utf-16"])
def test_csv_of_another_encoding_is_refused_with_the_remedy(tmp_path: Path, encoding: str) -> None:
    touch(tmp_path, "é.png")
    (tmp_path / "labels.csv").write_text("image,label\né.png,1\n", encoding=encoding)
    with pytest.raises(ValueError, match=r'labels\.csv: is not UTF-8 .*save it as "CSV UTF-8"'):
        read_folder(tmp_path)


def test_names_are_compared_however_their_accents_are_spelt(tmp_path: Path) -> None:
    one, two = (unicodedata.normalize(form, "é") for form in ("NFC", "NFD"))
    touch(tmp_path, f"images/{one}.png", f"masks/{two}.png")
    (tmp_path / "labels.csv").write_text(f"image,label\n{two}.png,1\n", encoding="utf-8")
    (case,) = read_folder(tmp_path)
    assert case.label == 1 and case.mask == (tmp_path / f"masks/{two}.png",)


def test_two_csv_whose_names_differ_by_case_are_refused(tmp_path: Path) -> None:
    touch(tmp_path, "a.png", "labels.csv", "Labels.csv")
    if len(list(tmp_path.iterdir())) < 3:
        pytest.skip("this file system knows one name in any case")
    with pytest.raises(ValueError, match=r"has Labels\.csv and labels\.csv: remove one"):
        read_folder(tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("image,label,patient_id\na.png,1,p\n", "column 'patient_id' is unknown; the columns are"),
        ("image,label,Label\na.png,1,0\n", "column 'label' occurs twice"),
        ("image,label\na.png,1,p\n", "line 2: has 3 values but the header has 2"),
        ("image,label\n,1\n", "line 2: names no image"),
        ("image,label\na.png,1\nz.png,0\ny.png,0\n", "names 2 files.*z.png, y.png"),
        ("image,label\na.png,1\na.png,0\n", "line 3: a.png occurs twice"),
        ("image,label\na.png,2\n", "line 2: label is '2'; allowed are"),
        ("file,label\na.png,1\n", "column 'image' is missing"),
    ],
)
def test_wrong_csv_is_refused_by_line(tmp_path: Path, text: str, message: str) -> None:
    touch(tmp_path, "images/a.png")
    (tmp_path / "labels.csv").write_text(text)
    with pytest.raises(ValueError, match=message):
        read_folder(tmp_path)


def test_errors_name_the_subfolder_where_a_file_of_the_name_is(tmp_path: Path) -> None:
    touch(tmp_path, "images/ward/a.png", "images/b.png", "images/ward/b.png", "images/x/b.png")
    (tmp_path / "labels.csv").write_text("image,label\na.png,1\nx/ward/b.png,1\n")
    with pytest.raises(
        ValueError, match=r"a\.png \(found in ward: write ward/a\.png\), x/ward/b\.p"
    ):
        read_folder(tmp_path)
    touch(tmp_path, "masks/a.png", "masks/b.png")
    with pytest.raises(ValueError, match=r"1 masks .*a\.png \(its image is ward/a: masks/ has the"):
        read_folder(tmp_path)


def test_left_and_right_lung_may_be_two_files(tmp_path: Path) -> None:
    touch(tmp_path, "images/a.png", "images/w/b.png", "images/w/b_left.png", "images/w/b_right.png")
    touch(tmp_path, "masks/a_left.png", "masks/a_right.png")
    touch(tmp_path, "masks/w/b_left.png", "masks/w/b_right.png")
    names = {case.case: [path.name for path in case.mask] for case in read_folder(tmp_path)}
    assert names == {
        "a": ["a_left.png", "a_right.png"],
        "w/b": [],
        "w/b_left": ["b_left.png"],
        "w/b_right": ["b_right.png"],
    }
    (tmp_path / "masks/a_right.png").unlink()
    with pytest.raises(ValueError, match=r"masks without an image.*a_left\.png"):
        read_folder(tmp_path)


def test_empty_folder_orphan_mask_and_twin_names_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no images found"):
        read_folder(tmp_path)
    touch(tmp_path, "images/a.png", "masks/b.png")
    with pytest.raises(ValueError, match=r"masks without an image.*b\.png"):
        read_folder(tmp_path)
    touch(tmp_path, "images/b.png", "images/b.jpg")
    with pytest.raises(ValueError, match=r"b\.png and .*b\.jpg have the same name"):
        read_folder(tmp_path)
    with pytest.raises(ValueError, match="no such folder"):
        read_folder(tmp_path / "gone")
