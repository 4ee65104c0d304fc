from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pydicom
import pytest

from multimix_monai.data.images import ImageError
from multimix_monai.dicom.codestream import Codestream, jpeg2000_header, jpeg_header
from multimix_monai.dicom.decode import decode, fragments, native, run_lengths, significant_bits
from multimix_monai.dicom.layout import Layout, layout_of


def layout(rows: int, columns: int, **changes) -> Layout:
    fields = {
        **{"rows": rows, "columns": columns, "samples": 1, "photometric": "MONOCHROME2"},
        **{"bits_allocated": 8, "bits_stored": 8, "high_bit": 7, "signed": False, "planar": False},
    }
    return Layout(**{**fields, **changes})


@pytest.mark.parametrize(
    ("word", "bits", "high_bit", "signed", "value"),
    [
        (0xFABC, 12, 11, False, 0xABC),
        (0xABCF, 12, 15, False, 0xABC),
        (0xFABC, 12, 11, True, 0xABC - 0x1000),
        (0xF7BC, 12, 11, True, 0x7BC),
        (0x2AF3, 12, 13, True, 0xABC - 0x1000),
        (0xFFFF, 16, 15, False, 65535),
        (0xFFFF, 16, 15, True, -1),
    ],
)
def test_the_value_is_what_lies_between_high_bit_and_the_bits_stored(
    word, bits, high_bit, signed, value
) -> None:
    words = np.array([word], np.uint16)
    found = significant_bits(words, bits=bits, high_bit=high_bit, signed=signed)
    assert found.tolist() == [value] and words[0] == word


def test_ybr_422_repeats_the_colour_for_both_pixels() -> None:
    shape = layout(1, 4, samples=3, photometric="YBR_FULL_422")
    found = native(bytes([1, 2, 100, 200, 3, 4, 101, 201]), shape, order="<", swapped=False)
    assert found.tolist() == [[[1, 100, 200], [2, 100, 200], [3, 101, 201], [4, 101, 201]]]


def test_bytes_that_are_missing_are_counted() -> None:
    with pytest.raises(EOFError, match="5 of 6 bytes"):
        native(bytes(5), layout(2, 3), order="<", swapped=False)


def test_fragments_are_joined_after_the_offset_table() -> None:
    def item(data: bytes) -> bytes:
        return struct.pack("<HHI", 0xFFFE, 0xE000, len(data)) + data

    end = struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)
    assert fragments(item(b"\0" * 4) + item(b"ab") + item(b"cd") + end) == b"abcd"
    assert fragments(item(b"") + item(b"ab")) == b"ab"
    with pytest.raises(ValueError, match="no fragments"):
        fragments(item(b"") + end)


def test_run_lengths_are_replicated_and_never_longer_than_the_picture() -> None:
    header = struct.pack("<16I", 1, 64, *[0] * 14)
    packed = bytes([256 - 3, 7, 1, 8, 9])  # 7 four times, then 8 and 9
    assert run_lengths(header + packed, layout(2, 3)).tolist() == [[7, 7, 7], [7, 8, 9]]
    bomb = header + bytes([129, 7]) * 10**5
    with pytest.raises(Exception, match="TOO_SMALL"):
        run_lengths(bomb, layout(2, 3))


def test_a_jpeg_header_is_found_behind_other_segments() -> None:
    start = b"\xff\xd8\xff\xe0\x00\x04ab\xff\xff\xfe\x00\x02"
    frame = b"\xff\xc3\x00\x0b\x0c\x00\x3d\x00\x2d\x01\x01\x11\x00"
    assert jpeg_header(start + frame) == Codestream(61, 45, samples=1, precision=12)
    for broken in (b"", b"\xff\xd8", start, start + frame[:6], start[:-4] + frame[2:]):
        with pytest.raises((ValueError, struct.error)):
            jpeg_header(broken)
    with pytest.raises(ValueError, match="FFC2"):
        jpeg_header(start + b"\xff\xc2" + frame[2:])


def jpeg2000(width=45, height=61, tile=(45, 61), components=((11, 1, 1),), offset=(0, 0)) -> bytes:
    sizes = (width, height, *offset, *tile, 0, 0)
    header = b"\xff\x4f\xff\x51" + struct.pack(">HH8IH", 0, 0, *sizes, len(components))
    return header + b"".join(bytes(component) for component in components)


def test_a_jpeg_2000_header_declares_its_grid() -> None:
    assert jpeg2000_header(b"box" + jpeg2000()) == Codestream(61, 45, samples=1, precision=12)
    assert jpeg2000_header(jpeg2000(offset=(5, 1))) == Codestream(60, 40, 1, 12)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tile": (0, 1)}, "empty"),
        ({"offset": (45, 0)}, "empty"),
        ({"tile": (1, 1), "width": 999, "height": 999}, "998001 JPEG 2000 tiles"),
        ({"components": ((11, 1, 1), (7, 1, 1))}, "different kinds"),
        ({"components": ((11, 2, 2),)}, "subsampled"),
        ({"components": ()}, "different kinds"),
    ],
)
def test_a_jpeg_2000_grid_that_no_radiograph_has_is_refused(changes, message) -> None:
    with pytest.raises(ValueError, match=message):
        jpeg2000_header(jpeg2000(**changes))


FOLDER = Path(pydicom.data.__file__).parent / "test_files"
COMPRESSED = [
    *("693_J2KI", "J2K_pixelrep_mismatch", "JPEG-lossy", "JPEG2000", "JPEGLSNearLossless_08"),
    *("JPEGLSNearLossless_16", "JPGExtended", "MR_small_RLE", "MR_small_jp2klossless"),
    *("MR_small_bigendian", "MR_small_jpeg_ls_lossless", "SC_rgb_rle_16bit", "image_dfl"),
    *("SC_rgb_small_odd_big_endian", "SC_rgb_jpeg_gdcm", "SC_ybr_full_422_uncompressed"),
]


@pytest.mark.parametrize("name", COMPRESSED)
def test_pydicoms_own_files_are_decoded_as_pydicom_does(name: str) -> None:
    if not (FOLDER / f"{name}.dcm").is_file():
        pytest.skip("this version of pydicom has no such file")
    dataset = pydicom.dcmread(FOLDER / f"{name}.dcm")
    values = decode(dataset, layout_of(dataset, name), name).values
    if hasattr(dataset, "pixel_array_options"):
        dataset.pixel_array_options(raw=True)
    try:
        expected = dataset.pixel_array
    except Exception as error:
        pytest.skip(f"pydicom itself cannot decode it: {error}")
    lossy = name == "JPEG2000"  # another rounding of the wavelet
    assert np.abs(values.astype(int) - expected.astype(int)).max() <= lossy


@pytest.mark.parametrize("syntax", ["50", "57", "70", "51", "80", "81", "90", "91", "201"])
def test_a_codestream_without_its_end_is_truncated(syntax: str) -> None:
    import imagecodecs

    pixels = np.random.default_rng(0).integers(0, 255, (16, 16)).astype(np.uint8)
    codec = "jpeg2k" if syntax in ("90", "91", "201") else "jpegls" if syntax[0] == "8" else "jpeg8"
    frame = getattr(imagecodecs, f"{codec}_encode")(pixels)
    dataset = pydicom.dcmread(FOLDER / "JPEG2000.dcm")
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.UID(f"1.2.840.10008.1.2.4.{syntax}")
    dataset.PixelData = pydicom.encaps.encapsulate([frame])
    assert decode(dataset, layout(16, 16), "a").bits == 8
    dataset.PixelData = pydicom.encaps.encapsulate([frame[:-40]])
    with pytest.raises(ImageError, match="the codestream has no end") as error:
        decode(dataset, layout(16, 16), "a")
    assert error.value.reason == "truncated"


def test_compressed_pixels_without_a_transfer_syntax_are_named() -> None:
    with pytest.raises(ValueError, match=r"compressed, but Transfer Syntax UID \(0002,0010\)"):
        native(b"\xfe\xff\x00\xe0" + bytes(8), layout(20, 30), order="<", swapped=False)
