from __future__ import annotations

import shutil
import subprocess

import numpy as np
import pydicom
import pytest

from multimix_monai.data.images import Radiograph
from multimix_monai.dicom import read_dicom
from multimix_monai.dicom.dx import write_dx

RADIOGRAPH = Radiograph(np.linspace(0, 1, 300, dtype=np.float32).reshape(20, 15), (0.4, 0.4))


def write(path, *, radiograph=RADIOGRAPH, seed=0, **options):
    identity = {"patient_name": "SYNTHETIC^CASE 0001", "patient_id": "SYN-0001"}
    write_dx(path, radiograph, seed=seed, **{**identity, **options})
    return path


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_pixels_return_to_within_half_a_grey_level(tmp_path, photometric) -> None:
    again = read_dicom(write(tmp_path / "a.dcm", photometric=photometric))
    np.testing.assert_allclose(again.pixels, RADIOGRAPH.pixels, atol=0.5 / 4095 + 1e-6)
    assert again.spacing_mm == RADIOGRAPH.spacing_mm


def test_monochrome1_stores_dense_tissue_low(tmp_path) -> None:
    dataset = pydicom.dcmread(write(tmp_path / "a.dcm", photometric="MONOCHROME1"))
    assert dataset.pixel_array[0, 0] == 4095 and dataset.pixel_array[-1, -1] == 0
    assert dataset.PresentationLUTShape == "INVERSE"


def test_same_arguments_give_the_same_bytes_and_other_seeds_other_uids(tmp_path) -> None:
    first, again = write(tmp_path / "a.dcm"), write(tmp_path / "b.dcm")
    assert first.read_bytes() == again.read_bytes()
    one, other = (pydicom.dcmread(p) for p in (first, write(tmp_path / "c.dcm", seed=1)))
    for keyword in ("SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID"):
        assert one[keyword].value != other[keyword].value
    assert len({one.SOPInstanceUID, one.SeriesInstanceUID, one.StudyInstanceUID}) == 3


def test_the_standards_validator_finds_no_errors(tmp_path) -> None:
    if shutil.which("dciodvfy") is None:
        pytest.skip("dciodvfy is absent: it comes with the Debian package dicom3tools")
    for view, photometric in (("PA", "MONOCHROME2"), ("AP", "MONOCHROME1")):
        path = write(tmp_path / f"{view}.dcm", view=view, photometric=photometric)
        report = subprocess.run(["dciodvfy", path], capture_output=True, text=True, check=False)
        text = report.stdout + report.stderr
        assert "DXImageForPresentation" in text
        assert "Error" not in text, text


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"view": "LL"}, "PA or AP"),
        ({"photometric": "RGB"}, "MONOCHROME1 or MONOCHROME2"),
        ({"radiograph": Radiograph(RADIOGRAPH.pixels)}, "spacing_mm is None"),
        ({"radiograph": Radiograph(RADIOGRAPH.pixels * 2, (1.0, 1.0))}, "scale them first"),
        ({"radiograph": Radiograph(RADIOGRAPH.pixels * np.nan, (1.0, 1.0))}, "scale them first"),
        ({"radiograph": Radiograph(RADIOGRAPH.pixels[None], (1.0, 1.0))}, "one plane"),
    ],
)
def test_bad_arguments_raise(tmp_path, options, message) -> None:
    with pytest.raises(ValueError, match=message):
        write(tmp_path / "a.dcm", **options)
    assert not (tmp_path / "a.dcm").exists()
