"""From a DICOM file to a radiograph, all steps together."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from multimix_monai.data.images import ImageError
from multimix_monai.dicom import read_dicom
from multimix_monai.transforms.load import read_radiograph

Write = Callable[..., Path]
RAMP = np.linspace(0, 1, 40 * 50, dtype=np.float32).reshape(40, 50)


def test_a_dx_file_becomes_a_radiograph(radiograph_file: Write) -> None:
    radiograph = read_dicom(radiograph_file())
    assert radiograph.pixels.dtype == np.float32 and radiograph.pixels.flags.c_contiguous
    np.testing.assert_allclose(radiograph.pixels, RAMP, atol=0.5 / 4095 + 1e-6)
    assert radiograph.spacing_mm == (0.2, 0.3)
    assert radiograph.spacing_source == "ImagerPixelSpacing, at the detector"
    assert radiograph.orientation == ("L", "F")
    assert radiograph.steps == ("decoded (Explicit VR Little Endian)", "window 2048/4096")
    assert radiograph.objections == radiograph.flags == ()


def test_a_cr_file_without_window_has_the_range_of_its_bits(radiograph_file: Write) -> None:
    path = radiograph_file(
        kind="CR", WindowCenter=None, WindowWidth=None, BitsStored=16, HighBit=15
    )
    radiograph = read_dicom(path)
    np.testing.assert_allclose(radiograph.pixels, RAMP, atol=0.5 / 4095 + 1e-6)
    assert radiograph.steps[1:] == ("range of 12 bits",)


def test_pixels_keep_rows_and_columns_as_stored(radiograph_file: Write) -> None:
    radiograph = read_dicom(radiograph_file(PatientOrientation=["R", "H"]))
    assert radiograph.orientation == ("R", "H")
    np.testing.assert_allclose(radiograph.pixels, RAMP, atol=1e-3)


def test_a_lateral_view_is_read_with_an_objection(radiograph_file: Write) -> None:
    path = radiograph_file(ViewPosition="LL", BurnedInAnnotation="YES")
    radiograph = read_dicom(path)
    assert [objection.reason for objection in radiograph.objections] == ["view"]
    assert str(path) in radiograph.objections[0].message
    assert radiograph.flags == ("burned_in_annotation",)
    np.testing.assert_allclose(radiograph.pixels, RAMP, atol=1e-3)


def test_a_coloured_picture_is_read_with_an_objection(radiograph_file: Write) -> None:
    colours = np.random.default_rng(0).integers(0, 256, (40, 50, 3)).astype(np.uint8)
    colour = {"PhotometricInterpretation": "RGB", "SamplesPerPixel": 3, "PlanarConfiguration": 0}
    depth = {"BitsAllocated": 8, "BitsStored": 8, "HighBit": 7}
    path = radiograph_file(PixelData=colours.tobytes(), **colour, **depth)
    (objection,) = read_dicom(path).objections
    assert objection.reason == "colour" and "% of its pixels" in objection.message


@pytest.mark.parametrize(
    ("attributes", "reason", "message"),
    [
        ({"PixelData": None}, "no_pixels", "no pixels"),
        ({"NumberOfFrames": 2}, "multi_frame", "2 frames"),
        ({"PhotometricInterpretation": "RGB"}, "photometric", "RGB of 1 samples"),
        ({"BitsStored": None}, "bad_attributes", "lacks BitsStored"),
        ({"RescaleSlope": "0"}, "bad_attributes", "RescaleSlope is 0"),
        ({"PixelData": b"\0" * 100}, "truncated", "100 of 4000 bytes"),
        ({"PixelData": b"\x07\0" * 2000}, "constant", "every stored pixel is 7"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.66.4"}, "not_an_image", "Segmentation Storage"),
    ],
)
def test_what_is_no_grey_picture_is_refused_by_name(
    radiograph_file: Write, attributes, reason, message
) -> None:
    path = radiograph_file(**attributes)
    with pytest.raises(ImageError, match=message) as error:
        read_dicom(path)
    assert error.value.reason == reason
    assert str(path) in str(error.value)


def test_a_file_of_another_format_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "noise.dcm"
    path.write_bytes(b"not a DICOM file" * 20)
    with pytest.raises(ImageError, match=r"noise\.dcm is not a readable DICOM file"):
        read_dicom(path)


def test_read_radiograph_knows_dicom_by_its_content(radiograph_file: Write) -> None:
    for kept in (0, 132):  # with and without the preamble
        path = radiograph_file(name="IM000001")
        path.write_bytes(path.read_bytes()[kept:])
        np.testing.assert_allclose(read_radiograph(path).pixels, RAMP, atol=1e-3)


def test_read_radiograph_refuses_folders_and_missing_files(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="is a folder"):
        read_radiograph(tmp_path)
    with pytest.raises(ImageError, match=r"gone\.png does not exist"):
        read_radiograph(tmp_path / "gone.png")
