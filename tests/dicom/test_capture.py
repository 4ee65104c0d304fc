from __future__ import annotations

import numpy as np
import pydicom
import pytest

pytest.importorskip("highdicom")

from multimix_monai.dicom.results import Algorithm, Findings, write_results

ALGORITHM = Algorithm("ab" * 32)
RNG = np.random.default_rng(0)
OVERLAY, SALIENCY = RNG.integers(0, 256, (2, 40, 50, 3), dtype=np.uint8)


def captures(source, folder):
    mask = np.ones((40, 50), dtype=np.uint8)
    findings = Findings(mask, 0.3, 0.5, ALGORITHM, overlay=OVERLAY, saliency=SALIENCY)
    files = write_results(source, folder, findings)
    return [pydicom.dcmread(folder / files[kind]) for kind in ("sc_overlay", "sc_saliency")]


def test_pictures_come_back_and_say_what_they_are(tmp_path, radiograph_file) -> None:
    overlay, saliency = captures(radiograph_file(), tmp_path)
    np.testing.assert_array_equal(overlay.pixel_array, OVERLAY)
    np.testing.assert_array_equal(saliency.pixel_array, SALIENCY)
    assert overlay.SeriesInstanceUID != saliency.SeriesInstanceUID
    for capture in (overlay, saliency):
        assert "research only, not a medical device" in capture.SeriesDescription
        assert "research only, not a medical device" in capture.ImageComments
        assert capture.ContentQualification == "RESEARCH"
        assert capture.PhotometricInterpretation == "RGB"


def test_they_name_the_image_they_were_drawn_on(tmp_path, radiograph_file) -> None:
    source = radiograph_file()
    for capture in captures(source, tmp_path):
        [item] = capture.SourceImageSequence
        assert item.ReferencedSOPInstanceUID == pydicom.dcmread(source).SOPInstanceUID
        assert capture.ImageType[:2] == ["DERIVED", "SECONDARY"]


@pytest.mark.parametrize("burned_in", ["YES", "NO", None])
def test_what_is_burned_into_the_source_is_burned_into_them(
    tmp_path, radiograph_file, burned_in
) -> None:
    for capture in captures(radiograph_file(BurnedInAnnotation=burned_in), tmp_path):
        assert capture.get("BurnedInAnnotation") == burned_in


@pytest.mark.parametrize("orientation", [["R", "H"], ["LH", "FA"], None])
def test_their_orientation_is_that_of_the_source(tmp_path, radiograph_file, orientation) -> None:
    for capture in captures(radiograph_file(PatientOrientation=orientation), tmp_path):
        assert capture["PatientOrientation"].value == (orientation or "")


def test_lossy_once_is_lossy_for_ever(tmp_path, radiograph_file) -> None:
    lossy = {"LossyImageCompression": "01", "LossyImageCompressionRatio": "9.5"}
    source = radiograph_file(**lossy, LossyImageCompressionMethod="ISO_10918_1")
    for capture in captures(source, tmp_path):
        assert capture.LossyImageCompression == "01"
        assert float(capture.LossyImageCompressionRatio) == 9.5
    assert pydicom.dcmread(tmp_path / "seg.dcm").LossyImageCompression == "01"
