from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from multimix_monai.data import archives
from multimix_monai.data.images import ImageError
from multimix_monai.data.inputs import find_cases
from multimix_monai.data.keys import Keys
from multimix_monai.transforms.load import read_radiograph

METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)


def picture(seed: int = 0, shape: tuple[int, int] = (30, 40)) -> bytes:
    grey = np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(grey).save(file, format="png")
    return file.getvalue()


def archive(path: Path, method: int = zipfile.ZIP_DEFLATED, **members: bytes) -> Path:
    with zipfile.ZipFile(path, "w", method) as file:
        for name, content in members.items():
            file.writestr(name.replace("__", "."), content)
    return path


def reason_of(path: Path) -> str:
    with pytest.raises(ImageError) as caught:
        read_radiograph(path)
    assert str(path) in str(caught.value)
    return caught.value.reason


@pytest.mark.parametrize("method", METHODS)
def test_a_member_reads_like_the_file_itself(tmp_path: Path, method: int) -> None:
    (tmp_path / "a.png").write_bytes(picture())
    exam = archive(tmp_path / "exam.zip", method, a__png=picture(), b__png=picture(1))
    ours = read_radiograph(exam / "a.png")
    assert np.array_equal(ours.pixels, read_radiograph(tmp_path / "a.png").pixels)
    assert not np.array_equal(ours.pixels, read_radiograph(exam / "b.png").pixels)


def test_a_dicom_member_reads_like_the_file_itself(tmp_path: Path, tiny_dataset: Path) -> None:
    path = tiny_dataset / "dicom" / "dx_0001.dcm"
    exam = archive(tmp_path / "exam.zip", IM1=path.read_bytes())
    ours, other = read_radiograph(exam / "IM1"), read_radiograph(path)
    assert np.array_equal(ours.pixels, other.pixels) and ours.spacing_mm == other.spacing_mm


def test_an_original_jsrt_file_is_read_from_an_archive(tmp_path: Path) -> None:
    values = (np.arange(2048 * 2048) % 4096).astype(">u2").tobytes()
    (tmp_path / "a.IMG").write_bytes(values)
    exam = archive(tmp_path / "exam.zip", a__IMG=values, b__IMG=values[:-2])
    ours = read_radiograph(exam / "a.IMG")
    assert np.array_equal(ours.pixels, read_radiograph(tmp_path / "a.IMG").pixels)
    assert reason_of(exam / "b.IMG") == "unreadable"


def test_nothing_is_unpacked_to_the_disk(tmp_path: Path) -> None:
    read_radiograph(archive(tmp_path / "exam.zip", a__png=picture()) / "a.png")
    assert [path.name for path in tmp_path.rglob("*")] == ["exam.zip"]


def test_what_is_no_radiograph_of_an_archive_is_refused_with_a_reason(tmp_path: Path) -> None:
    exam = archive(tmp_path / "exam.zip", inner__zip=b"PK", a__nii=b"x", b__png=b"", c__png=b"text")
    assert reason_of(exam / "inner.zip") == "nested_archive"
    assert reason_of(exam / "a.nii") == "nifti_in_archive"
    assert reason_of(exam / "gone.png") == "missing"
    assert reason_of(exam / "b.png") == reason_of(exam / "c.png") == "unreadable"
    assert reason_of(exam) == "archive"


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("other", ["a.png", "../a.png", "/a.png", "./a.png"])
def test_a_name_that_stands_for_two_files_is_refused_and_neither_lost(
    tmp_path: Path, other: str
) -> None:
    with zipfile.ZipFile(tmp_path / "exam.zip", "w") as file:
        for seed, name in enumerate(("a.png", other, "b.png")):
            file.writestr(name, picture(seed))
    cases = find_cases(tmp_path / "exam.zip")
    ambiguous, single = (Path(case[Keys.IMAGE]) for case in cases)
    assert reason_of(ambiguous) == "same_name"
    assert read_radiograph(single).pixels.shape == (30, 40)


def test_damaged_archives_are_refused(tmp_path: Path) -> None:
    exam = archive(tmp_path / "exam.zip", zipfile.ZIP_STORED, a__png=picture())
    content = exam.read_bytes()
    (tmp_path / "cut.zip").write_bytes(content[:-30])
    assert reason_of(tmp_path / "cut.zip") == "archive_damaged"
    (tmp_path / "flipped.zip").write_bytes(content[:200] + b"?????" + content[205:])
    assert reason_of(tmp_path / "flipped.zip" / "a.png") == "archive_damaged"  # by its checksum


def test_an_encrypted_member_is_refused(tmp_path: Path) -> None:
    exam = archive(tmp_path / "exam.zip", a__png=picture())
    content = bytearray(exam.read_bytes())
    for header, flags in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        content[content.index(header) + flags] |= 1
    exam.write_bytes(content)
    assert reason_of(exam / "a.png") == "encrypted"


def test_an_unknown_compression_is_refused(tmp_path: Path) -> None:
    exam = archive(tmp_path / "exam.zip", a__png=picture())
    content = bytearray(exam.read_bytes())
    for header, method in ((b"PK\3\4", 8), (b"PK\1\2", 10)):
        content[content.index(header) + method] = 9  # deflate64
    exam.write_bytes(content)
    assert reason_of(exam / "a.png") == "archive_damaged"


def test_a_bomb_is_refused_before_it_is_decompressed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exam = archive(tmp_path / "exam.zip", a__png=bytes(archives.FREE_BYTES + 1), b__png=bytes(99))
    assert reason_of(exam / "a.png") == "too_large"
    monkeypatch.setattr(archives, "MAX_BYTES", 50)
    assert reason_of(exam / "b.png") == "too_large"


def test_a_member_that_is_larger_than_it_says_is_not_read_to_its_end(tmp_path: Path) -> None:
    exam = archive(tmp_path / "exam.zip", a__png=bytes(2**20))
    content = bytearray(exam.read_bytes())
    for header, size in ((b"PK\3\4", 22), (b"PK\1\2", 24)):
        start = content.index(header) + size
        content[start : start + 4] = (100).to_bytes(4, "little")
    exam.write_bytes(content)
    assert reason_of(exam / "a.png") == "archive_damaged"


def test_an_archive_that_changes_is_read_anew(tmp_path: Path) -> None:
    exam = archive(tmp_path / "exam.zip", a__png=picture())
    first = read_radiograph(exam / "a.png").pixels
    archive(exam, a__png=picture(1, (50, 60)))
    assert read_radiograph(exam / "a.png").pixels.shape != first.shape
