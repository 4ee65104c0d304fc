"""pydicom's own test files: read or refused with a reason, and none taken for a chest."""

from __future__ import annotations

from pathlib import Path

import pydicom.data
import pytest

from multimix_monai.data.images import ImageError
from multimix_monai.dicom import read_dicom

FOLDER = Path(pydicom.data.__file__).parent / "test_files"
FILES = sorted(path for path in FOLDER.rglob("*") if path.is_file())
NOT_CHESTS = {"modality", "sop_class", "body_part", "view", "colour"}
# Pictures of nothing in particular: letters and noise, in a secondary capture or without a class.
UNTOLD = ("JPEGLSNearLossless", "SC_jpeg_no_color", "SC_rgb_jpeg", "image_dfl")
EXPECTED = {
    "CT_small.dcm": {"modality", "sop_class"},
    "MR_small.dcm": {"modality", "sop_class"},
    "MR_small_RLE.dcm": {"modality", "sop_class"},
    "examples_palette.dcm": {"modality", "sop_class", "colour"},
    "examples_rgb_color.dcm": {"modality", "sop_class", "colour"},
    "6154": {"body_part", "view"},  # a lateral CR of a knee
    "test-SR.dcm": "not_an_image",
    "liver_1frame.dcm": "not_an_image",
    "rtdose.dcm": "not_an_image",
    "rtplan.dcm": "not_an_image",
    "waveform_ecg.dcm": "not_an_image",
    "reportsi.dcm": "not_an_image",
    "DICOMDIR": "not_an_image",
    "SC_rgb_rle_2frame.dcm": "multi_frame",
    "MR_truncated.dcm": "truncated",
    "JPEG2000-embedded-sequence-delimiter.dcm": "undecodable",
    "README.txt": "not_dicom",
    "crayons.icc": "not_dicom",
}


def said(path: Path) -> set[str] | str:
    """Objections to a picture, or the reason of its refusal."""
    try:
        return {objection.reason for objection in read_dicom(path).objections}
    except ImageError as error:
        assert str(path) in str(error)
        return error.reason


@pytest.mark.parametrize("name", EXPECTED)
def test_what_a_file_is_decides_what_is_said_of_it(name: str) -> None:
    paths = [path for path in FILES if path.name == name]
    if not paths:
        pytest.skip(f"this version of pydicom has no {name}")
    assert said(paths[0]) == EXPECTED[name]


def test_no_file_is_taken_for_a_chest_radiograph() -> None:
    for path in FILES:
        result = said(path)
        refused = isinstance(result, str) and result != "unreadable"
        objected = isinstance(result, set) and bool(result) and result <= NOT_CHESTS
        assert refused or objected or path.name.startswith(UNTOLD), path.name
