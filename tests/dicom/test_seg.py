from __future__ import annotations

import numpy as np
import pydicom
import pytest

pytest.importorskip("highdicom")

from multimix_monai.dicom.results import Algorithm, Findings, write_results

ALGORITHM = Algorithm("0123456789abcdef" * 4, ("image_size=256", "temperature=1.3"))
RIGHT, LEFT = "right lung", "left lung"


def two_lungs(shape: tuple[int, int]) -> np.ndarray:
    """Two unlike lungs, in no way symmetric, for a patient who faces the viewer."""
    height, width = shape
    mask = np.zeros(shape, dtype=np.uint8)
    mask[height // 6 : height // 2, width // 9 : width // 3] = 1
    mask[height // 4 : height - height // 5, width // 2 : width - width // 7] = 1
    mask[height // 3, width // 2] = 0
    return mask


def stored(source, folder, mask):
    """The segmentation as another program reads it, and frames (segments, H, W) of the source."""
    from highdicom.seg import segread

    files = write_results(source, folder, Findings(mask, 0.3, 0.5, ALGORITHM))
    seg = segread(folder / files["seg"])
    uid = pydicom.dcmread(source, stop_before_pixels=True).SOPInstanceUID
    frames = seg.get_pixels_by_source_instance([uid])  # (1, H, W, segments)
    return seg, np.moveaxis(frames[0], -1, 0)


def labels(seg) -> list[str]:
    return [item.SegmentLabel for item in seg.SegmentSequence]


@pytest.mark.parametrize("kind", ["DX", "CR"])
@pytest.mark.parametrize("shape", [(40, 50), (31, 27), (7, 9)])
def test_an_asymmetric_mask_comes_back_pixel_by_pixel(
    tmp_path, radiograph_file, kind, shape
) -> None:
    mask = two_lungs(shape)
    seg, frames = stored(radiograph_file(shape=shape, kind=kind), tmp_path / "out", mask)
    np.testing.assert_array_equal(frames.sum(axis=0), mask)
    assert (seg.Rows, seg.Columns) == shape
    assert labels(seg) == [RIGHT, LEFT]


@pytest.mark.slow
def test_an_odd_full_size_comes_back_pixel_by_pixel(tmp_path, radiograph_file) -> None:
    rng = np.random.default_rng(0)
    mask = two_lungs((1955, 1841)) * (rng.random((1955, 1841)) > 0.2).astype(np.uint8)
    source = radiograph_file(shape=mask.shape, PatientOrientation=None)
    seg, frames = stored(source, tmp_path / "out", mask)
    np.testing.assert_array_equal(frames[0], mask)
    assert labels(seg) == ["lung"]


@pytest.mark.parametrize("orientation", ["LF", "RF", "LH", "RH", "FL", "FR", "HL", "HR"])
def test_sides_are_the_patients_in_flipped_and_rotated_files(
    tmp_path, radiograph_file, orientation
) -> None:
    upright = two_lungs((41, 50))
    right = upright * (np.arange(50) < 20).astype(np.uint8)
    turned = [a.T if orientation[0] in "FH" else a for a in (upright, right)]
    turned = [a[:, ::-1] if orientation[0] in "RH" else a for a in turned]
    mask, right = (a[::-1] if orientation[1] in "RH" else a for a in turned)
    source = radiograph_file(shape=mask.shape, PatientOrientation=list(orientation))
    seg, frames = stored(source, tmp_path / "out", np.ascontiguousarray(mask))
    assert labels(seg) == [RIGHT, LEFT]
    np.testing.assert_array_equal(frames[0], right)
    np.testing.assert_array_equal(frames[1], mask - right)
    assert list(seg.PatientOrientation) == list(orientation)


def test_segments_are_coded_and_say_which_algorithm_made_them(tmp_path, radiograph_file) -> None:
    seg, _ = stored(radiograph_file(), tmp_path, two_lungs((40, 50)))
    types = [item.SegmentedPropertyTypeCodeSequence[0] for item in seg.SegmentSequence]
    assert [(t.CodeValue, t.CodingSchemeDesignator) for t in types] == [
        ("3341006", "SCT"),
        ("44029006", "SCT"),
    ]
    item = seg.SegmentSequence[0]
    algorithm = item.SegmentationAlgorithmIdentificationSequence[0]
    assert (item.SegmentAlgorithmType, algorithm.AlgorithmName) == ("AUTOMATIC", "MultiMix")
    assert algorithm.AlgorithmFamilyCodeSequence[0].CodeValue == "123110"
    assert algorithm.AlgorithmParameters == (
        "weights=0123456789abcdef,image_size=256,temperature=1.3"
    )


def test_without_an_orientation_there_is_one_segment_of_both_lungs(
    tmp_path, radiograph_file
) -> None:
    seg, _ = stored(radiograph_file(PatientOrientation=None), tmp_path, two_lungs((40, 50)))
    assert labels(seg) == ["lung"]
    assert seg.SegmentSequence[0].SegmentedPropertyTypeCodeSequence[0].CodeValue == "39607008"


def test_it_refers_to_the_source_and_invents_no_frame_of_reference(
    tmp_path, radiograph_file
) -> None:
    source = radiograph_file(FrameOfReferenceUID="1.2.3")  # of no use without a position in it
    seg, _ = stored(source, tmp_path, two_lungs((40, 50)))
    image = pydicom.dcmread(source)
    assert "FrameOfReferenceUID" not in seg
    [series] = seg.ReferencedSeriesSequence
    assert series.SeriesInstanceUID == image.SeriesInstanceUID
    frame = seg.PerFrameFunctionalGroupsSequence[0].DerivationImageSequence[0]
    for item in (series.ReferencedInstanceSequence[0], frame.SourceImageSequence[0]):
        assert item.ReferencedSOPInstanceUID == image.SOPInstanceUID
        assert item.ReferencedSOPClassUID == image.SOPClassUID
    assert frame.SourceImageSequence[0].SpatialLocationsPreserved == "YES"


def test_a_mask_of_another_grid_is_refused(tmp_path, radiograph_file) -> None:
    findings = Findings(two_lungs((50, 40)), 0.3, 0.5, ALGORITHM)
    with pytest.raises(ValueError, match=r"mask is \(50, 40\) and the source \(40, 50\)"):
        write_results(radiograph_file(), tmp_path / "out", findings)
    assert not (tmp_path / "out").exists()
