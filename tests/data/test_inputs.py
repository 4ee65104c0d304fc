from __future__ import annotations

import os
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from multimix_monai.data import inputs
from multimix_monai.data.inputs import find_cases
from multimix_monai.data.results import case_folder

DICOM = bytes(128) + b"DICM"


def touch(*paths: Path, content: bytes = b"x") -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def names(cases: list[dict]) -> list[str]:
    return [Path(case["image"]).name for case in cases]


def below(folder: Path, cases: list[dict]) -> list[str]:
    return [Path(case["image"]).relative_to(folder).as_posix() for case in cases]


def archive(path: Path, *members: str, content: bytes = DICOM) -> Path:
    with zipfile.ZipFile(path, "w") as file:
        for member in members:
            file.writestr(member, content)
    return path


def dicomdir(folder: Path, *records: tuple[str, tuple[str, ...] | str]) -> Path:
    """A DICOMDIR with records of (type, file's parts)."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, MediaStorageDirectoryStorage

    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.MediaStorageSOPClassUID = MediaStorageDirectoryStorage
    dataset.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.DirectoryRecordSequence = []
    for kind, parts in records:
        record = Dataset()
        record.DirectoryRecordType = kind
        if parts:
            record.ReferencedFileID = parts if isinstance(parts, str) else list(parts)
        dataset.DirectoryRecordSequence.append(record)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "DICOMDIR"
    try:
        dataset.save_as(path, enforce_file_format=True)
    except TypeError:  # pydicom 2
        dataset.is_little_endian, dataset.is_implicit_VR = True, False
        dataset.save_as(path, write_like_original=False)
    return path


def test_radiographs_of_folders_are_found_in_order_and_files_as_named(tmp_path: Path) -> None:
    touch(*(tmp_path / "in" / name for name in ("b.png", "a.jpg", "sub/c.nii.gz", "notes.txt")))
    touch(tmp_path / "in" / ".hidden.png", tmp_path / "odd.name")
    (tmp_path / "in" / "1.2.840").write_bytes(bytes(128) + b"DICM")
    found = find_cases([tmp_path / "odd.name", tmp_path / "in", tmp_path / "in" / "b.png"])
    assert names(found) == ["odd.name", "1.2.840", "a.jpg", "b.png", "c.nii.gz"]
    assert [case["case"] for case in found] == ["odd", "1.2.840", "a", "b", "c"]


def test_masks_beside_images_are_no_radiographs(tmp_path: Path) -> None:
    touch(tmp_path / "images" / "a.png", tmp_path / "masks" / "a.png", tmp_path / "dicom" / "b.dcm")
    touch(tmp_path / "other" / "masks" / "c.png")
    assert names(find_cases(tmp_path)) == ["b.dcm", "a.png", "c.png"]


def test_what_a_run_has_written_is_no_radiograph(tmp_path: Path) -> None:
    written = tmp_path / "out" / case_folder("a.png")
    touch(tmp_path / "a.png", tmp_path / "case-report" / "b.png", tmp_path / "out" / "c.png")
    touch(written / "mask.png", written / "overlay.png", tmp_path / "out" / "results.jsonl")
    assert names(find_cases(tmp_path)) == ["a.png", "b.png", "c.png"]
    (tmp_path / "out" / "results.jsonl").unlink()
    assert len(find_cases(tmp_path)) == 5


def test_a_broken_link_and_one_missing_file_are_cases_to_be_refused(tmp_path: Path) -> None:
    touch(tmp_path / "a.png")
    (tmp_path / "b.png").symlink_to(tmp_path / "gone.png")
    (tmp_path / "c").symlink_to(tmp_path / "gone")
    found = find_cases([tmp_path, tmp_path / "missing.png"])
    assert names(found) == ["a.png", "b.png", "missing.png"]


def test_linked_folders_are_followed_once_and_in_no_circle(tmp_path: Path) -> None:
    staged, archive = tmp_path / "staged", tmp_path / "archive"
    touch(staged / "a.png", archive / "exam" / "b.png")
    (staged / "today").symlink_to(archive)
    (staged / "yesterday").symlink_to(archive)
    (archive / "up").symlink_to(staged)
    found = find_cases(staged)
    assert [case["image"] for case in found] == [
        str(staged / "a.png"),
        str(staged / "today" / "exam" / "b.png"),
    ]


def test_a_file_that_cannot_be_opened_is_a_case_to_be_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    touch(tmp_path / "locked")

    def locked(path: Path) -> bool:
        raise inputs.ImageError(f"{path} cannot be opened")

    monkeypatch.setattr(inputs, "is_dicom", locked)
    assert names(find_cases(tmp_path)) == ["locked"]


def test_nothing_to_find_is_an_error_that_names_the_option(tmp_path: Path) -> None:
    touch(tmp_path / "notes.txt")
    with pytest.raises(FileNotFoundError, match=r"no radiograph in .*--dataset_dir"):
        find_cases(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"gone does not exist: .*--dataset_dir"):
        find_cases(tmp_path / "gone")


def test_a_folder_that_cannot_be_listed_is_a_case_to_be_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    touch(tmp_path / "in" / "a.png", tmp_path / "in" / "locked" / "b.png")
    walk, locked = os.walk, tmp_path / "in" / "locked"

    def deny(folder: Path, onerror, **options) -> Iterator:  # type: ignore[no-untyped-def]
        yield from (step for step in walk(folder, **options) if Path(step[0]) != locked)
        onerror(PermissionError(13, "Permission denied", str(locked)))

    monkeypatch.setattr(os, "walk", deny)
    assert names(find_cases(tmp_path / "in")) == ["a.png", "locked"]


def test_an_archive_is_searched_like_a_folder(tmp_path: Path) -> None:
    touch(tmp_path / "in" / "z.png")
    members = ("b/IM0001", "a.PNG", "notes.txt", "b/.hidden.png", "__MACOSX/._a.PNG", "b/2.dcm")
    archive(tmp_path / "in" / "exam.ZIP", *members[:2], *members[3:])
    with zipfile.ZipFile(tmp_path / "in" / "exam.ZIP", "a") as file:
        file.writestr("notes.txt", "not a radiograph")
    expected = ["exam.ZIP/a.PNG", "exam.ZIP/b/2.dcm", "exam.ZIP/b/IM0001"]
    assert below(tmp_path / "in", find_cases(tmp_path / "in")) == [*expected, "z.png"]
    assert below(tmp_path / "in", find_cases(tmp_path / "in" / "exam.ZIP")) == expected
    one = tmp_path / "in" / "exam.ZIP" / "b" / "IM0001"
    assert find_cases(one) == [{"image": str(one), "case": "IM0001"}]


def test_a_folder_named_like_an_archive_is_a_folder(tmp_path: Path) -> None:
    touch(tmp_path / "exam.zip" / "a.png")
    assert below(tmp_path, find_cases(tmp_path)) == ["exam.zip/a.png"]


def test_names_in_an_archive_lead_nowhere_else(tmp_path: Path) -> None:
    archive(tmp_path / "evil.zip", "../../up.png", "/etc/root.png", "a/../b.png", "./c.png")
    paths = [case["image"] for case in find_cases(tmp_path / "evil.zip")]
    found = [Path(path).relative_to(tmp_path / "evil.zip").as_posix() for path in paths]
    assert sorted(found) == ["a/b.png", "c.png", "etc/root.png", "up.png"]


def test_what_cannot_be_opened_as_an_archive_is_a_case_to_be_refused(tmp_path: Path) -> None:
    whole = archive(tmp_path / "whole.zip", "a.png", content=bytes(5000))
    touch(tmp_path / "cut.zip", content=whole.read_bytes()[:2500])
    touch(tmp_path / "text.zip", tmp_path / "empty.zip", content=b"")
    archive(tmp_path / "nested.zip", "inner.zip", "notes.txt")
    expected = ["cut.zip", "empty.zip", "nested.zip/inner.zip", "nested.zip/notes.txt"]
    expected += ["text.zip", "whole.zip/a.png"]
    assert below(tmp_path, find_cases(tmp_path)) == expected


def test_a_dicomdir_stands_for_the_images_that_it_names(tmp_path: Path) -> None:
    touch(tmp_path / "cd" / "DICOM" / "IM1", tmp_path / "cd" / "DICOM" / "SR1", content=DICOM)
    touch(tmp_path / "cd" / "dicom2" / "im2", tmp_path / "cd" / "other.png", content=DICOM)
    path = dicomdir(
        tmp_path / "cd",
        ("PATIENT", ()),
        ("IMAGE", ("DICOM2", "IM2")),
        ("IMAGE", ("DICOM", "IM1")),
        ("SR DOCUMENT", ("DICOM", "SR1")),
        ("IMAGE", ("DICOM", "GONE")),
        ("IMAGE", "ALONE"),
        ("IMAGE", ("..", "..", "up")),
    )
    expected = ["dicom2/im2", "DICOM/IM1", "DICOM/GONE", "ALONE", "up"]
    assert below(tmp_path / "cd", find_cases(path)) == expected
    found = {"ALONE", "DICOM/GONE", "DICOM/IM1", "DICOM/SR1", "dicom2/im2", "other.png", "up"}
    assert set(below(tmp_path / "cd", find_cases(tmp_path / "cd"))) == found


def test_a_dicomdir_that_cannot_be_read_is_a_case_to_be_refused(tmp_path: Path) -> None:
    touch(tmp_path / "DICOMDIR", content=DICOM + b"garbage")
    assert names(find_cases(tmp_path)) == names(find_cases(tmp_path / "DICOMDIR")) == ["DICOMDIR"]


def test_an_archive_of_a_medium_shows_what_it_lacks(tmp_path: Path) -> None:
    path = dicomdir(tmp_path / "cd", ("IMAGE", ("D", "IM1")), ("IMAGE", ("D", "GONE")))
    with zipfile.ZipFile(tmp_path / "cd.zip", "w") as file:
        file.write(path, "CD/DICOMDIR")
        file.writestr("CD/d/im1", DICOM)
    found = below(tmp_path / "cd.zip", find_cases(tmp_path / "cd.zip"))
    assert found == ["CD/D/GONE", "CD/d/im1"]
