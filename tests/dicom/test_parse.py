from __future__ import annotations

import logging
import struct
import time
import tracemalloc
import warnings
import zlib
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import pydicom
import pytest

from multimix_monai.data.images import ImageError
from multimix_monai.data.sniff import starts_like_dicom
from multimix_monai.dicom import parse, read_dicom

DEFLATED_UID = "1.2.840.10008.1.2.1.99"


@pytest.mark.parametrize(
    "head",
    [
        bytes(128) + b"DICM",
        b"\x02\0\0\0UL\x04\0",  # file meta information without preamble
        b"\x08\0\x05\0CS\x0a\0",  # explicit little endian without it
        b"\0\x08\0\x05CS\0\x0a",  # big endian
        b"\x08\0\x16\0\x1a\0\0\0",  # implicit
        b"\x08\0\0\0\x04\0\0\0",  # the group's length, of old files
    ],
)
def test_dicom_is_known_by_its_first_bytes(head: bytes) -> None:
    assert starts_like_dicom(head)


@pytest.mark.parametrize(
    "head",
    [
        *(b"", b"DICM", bytes(200), b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0\0\x10JFIF"),
        *(
            b"PK\x03\x04\x14\0\0\0",
            b"II*\0\x08\0\0\0",
            b"%PDF-1.7",
            b"\x08\0\x16\0\xff\xff\xff\xff",
        ),
    ],
)
def test_other_formats_are_not_taken_for_dicom(head: bytes) -> None:
    assert not starts_like_dicom(head)


def test_a_stream_is_read_and_stays_open(radiograph_file: Callable[..., Path]) -> None:
    with radiograph_file().open("rb") as stream:
        first = read_dicom(stream, name="exam.zip/a.dcm")
        assert not stream.closed
        assert (read_dicom(stream).pixels == first.pixels).all()


def test_errors_have_the_name_that_was_given() -> None:
    with pytest.raises(ImageError, match=r"^exam\.zip/a\.dcm is not") as error:
        read_dicom(BytesIO(b"text" * 99), name="exam.zip/a.dcm")
    assert error.value.reason == "not_dicom"


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"gone\.dcm cannot be read \(No such file"):
        read_dicom(tmp_path / "gone.dcm")


@pytest.fixture
def deflated(radiograph_file: Callable[..., Path]) -> Callable[[bytes], bytes]:
    """A deflated file whose data set is the given bytes, deflated."""
    file = radiograph_file().read_bytes()
    end = 144 + int.from_bytes(file[140:144], "little")
    meta = file[:end].replace(b"1.2.840.10008.1.2.1\0", DEFLATED_UID.encode() + b"\0\0")
    at = meta.index(DEFLATED_UID.encode())
    meta = meta[: at - 2] + (22).to_bytes(2, "little") + meta[at : at + 22] + meta[at + 24 :]

    def make(data: bytes | None) -> bytes:
        packer = zlib.compressobj(9, zlib.DEFLATED, -15)
        return meta + packer.compress(file[end:] if data is None else data) + packer.flush()

    return make


def test_a_deflated_bomb_is_refused_in_little_memory(
    deflated: Callable[[bytes | None], bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert read_dicom(BytesIO(deflated(None))).steps[0].startswith("decoded (Deflated")
    monkeypatch.setattr(parse, "MAX_BYTES", 2**20)
    bomb = deflated(bytes(64 * 2**20))
    tracemalloc.start()
    with pytest.raises(ImageError, match="MiB or more") as error:
        read_dicom(BytesIO(bomb), name="a.dcm")
    assert error.value.reason == "too_large"
    assert tracemalloc.get_traced_memory()[1] < 8 * 2**20
    tracemalloc.stop()


def test_a_deflated_file_that_ends_early_says_so(
    deflated: Callable[[bytes | None], bytes],
) -> None:
    with pytest.raises(ImageError, match="ends too early") as error:
        read_dicom(BytesIO(deflated(None)[:-99]), name="a.dcm")
    assert error.value.reason == "truncated"


def test_a_file_larger_than_any_radiograph_is_not_read(
    radiograph_file: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parse, "MAX_BYTES", 1000)
    with pytest.raises(ImageError, match="a single radiograph at most"):
        read_dicom(radiograph_file())


def test_a_huge_declared_size_takes_no_memory(radiograph_file: Callable[..., Path]) -> None:
    path = radiograph_file(Rows=7999, Columns=7999)
    tracemalloc.start()
    with pytest.raises(ImageError, match="of 127968002 bytes are there"):
        read_dicom(path)
    assert tracemalloc.get_traced_memory()[1] < 2**20 * 8
    tracemalloc.stop()


def test_pydicom_is_kept_quiet_since_it_repeats_values(caplog: pytest.LogCaptureFixture) -> None:
    def element() -> pydicom.DataElement:
        return pydicom.DataElement("ViewPosition", "CS", "DOE^jane")  # no valid code string

    with pytest.warns(UserWarning, match=r"DOE\^jane"):
        element()
    caplog.clear()
    with warnings.catch_warnings(), caplog.at_level(logging.DEBUG):
        warnings.simplefilter("error")
        with parse.quiet():
            element()
            logging.getLogger("pydicom.pixels").warning("DOE^jane")
    assert "jane" not in caplog.text


def test_warnings_are_as_before_afterwards(radiograph_file: Callable[..., Path]) -> None:
    before = list(warnings.filters)
    read_dicom(radiograph_file())
    assert list(warnings.filters) == before


def test_millions_of_elements_are_no_radiograph(
    deflated: Callable[[bytes | None], bytes],
) -> None:
    """Zeros are elements without a value, to pydicom; 30 MiB of them take it half a minute."""
    started = time.process_time()
    with pytest.raises(ImageError, match="not a readable DICOM file"):
        read_dicom(BytesIO(deflated(bytes(30 * 2**20))), name="a.dcm")
    assert time.process_time() - started < 20


def test_sequences_in_sequences_without_end_are_refused() -> None:
    def tag(group: int, element: int) -> bytes:
        return struct.pack("<HHI", group, element, 0xFFFFFFFF)

    nested = (tag(0x0008, 0x1140) + tag(0xFFFE, 0xE000)) * 5000
    with pytest.raises(ImageError, match=r"a\.dcm"):
        read_dicom(BytesIO(b"\x08\0\x16\0\x04\0\0\x001.2\0" + nested), name="a.dcm")
