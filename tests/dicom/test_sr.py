from __future__ import annotations

import numpy as np
import pydicom
import pytest

pytest.importorskip("highdicom")

from multimix_monai.dicom import codes
from multimix_monai.dicom.results import Algorithm, Findings, write_results

ALGORITHM = Algorithm("0123456789abcdef" * 4, ("image_size=256",))
MASK = np.zeros((40, 50), dtype=np.uint8)
MASK[5:25, 5:15] = 1  # 200 px on the low side
MASK[5:15, 30:40] = 1  # 100 px on the high side


def report(source, folder, *, mask=MASK, prob=0.8, **findings):
    from highdicom.sr import srread

    files = write_results(source, folder, Findings(mask, prob, 0.5, ALGORITHM, **findings))
    return srread(folder / files["sr"])


def pneumonia(sr):
    [group] = sr.content.get_image_measurement_groups(finding_type=codes.PNEUMONIA)
    return group


def numbers(group) -> list[tuple[str, float, str, str | None]]:
    return [
        (m.name.meaning, float(m.value), m.unit.value, m.method and m.method.value)
        for m in group.get_measurements()
    ]


def evaluations(group) -> list[tuple[str, str]]:
    return [(e.name.value, e.value.value) for e in group.get_qualitative_evaluations()]


def areas(sr, lung: str) -> list[tuple[str, float, str, str | None]]:
    [group] = sr.content.get_planar_roi_measurement_groups(finding_type=codes.LUNGS[lung])
    return numbers(group)


def test_probabilities_threshold_and_label_come_back(tmp_path, radiograph_file) -> None:
    group = pneumonia(report(radiograph_file(), tmp_path, prob=0.8123456, raw_prob=0.9))
    assert numbers(group) == [
        ("Probability", 0.812346, "1", "calibrated"),
        ("Probability", 0.9, "1", "uncalibrated"),
        ("Threshold Value", 0.5, "1", None),
    ]
    assert ("121052", "52101004") in evaluations(group)  # presence: present


@pytest.mark.parametrize("raw_prob", [None, 0.4])
def test_without_calibration_there_is_one_probability_that_says_so(
    tmp_path, radiograph_file, raw_prob
) -> None:
    group = pneumonia(report(radiograph_file(), tmp_path, prob=0.4, raw_prob=raw_prob))
    assert numbers(group)[0] == ("Probability", 0.4, "1", "uncalibrated")
    assert len(numbers(group)) == 2
    assert ("121052", "272519000") in evaluations(group)  # presence: absent


def test_quality_rules_flags_and_force_come_back(tmp_path, radiograph_file) -> None:
    sr = report(
        radiograph_file(),
        tmp_path,
        quality="review",
        quality_rules=("left_right", "entropy"),
        flags=("burned_in_annotation", "forced:not_frontal_chest"),
        forced=True,
    )
    assert evaluations(pneumonia(sr))[-6:] == [
        ("quality", "review"),
        ("quality-rule", "left_right"),
        ("quality-rule", "entropy"),
        ("forced", "373066001"),
        ("flag", "burned_in_annotation"),
        ("flag", "forced:not_frontal_chest"),
    ]


def test_areas_are_of_the_patients_lungs_in_pixels_and_mm2(tmp_path, radiograph_file) -> None:
    sr = report(radiograph_file(PatientOrientation=["R", "F"]), tmp_path)  # seen from behind
    assert areas(sr, "left lung") == [
        ("Area", 200, "{pixels}", None),
        ("Area", 12.0, "mm2", "spacing-detector"),  # 200 x 0.2 mm x 0.3 mm
    ]
    assert areas(sr, "right lung")[1] == ("Area", 6.0, "mm2", "spacing-detector")


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({"ImagerPixelSpacing": None}, None),
        ({"ImagerPixelSpacing": ["0.5", "0.1"]}, (10.0, "spacing-detector")),
        (
            {"PixelSpacing": ["0.1", "0.2"], "PixelSpacingCalibrationType": "GEOMETRY"},
            (4.0, "spacing-patient"),
        ),
        ({"ImagerPixelSpacing": None, "PixelSpacing": ["0.1", "0.2"]}, (4.0, "spacing-unclear")),
        (
            {"ImagerPixelSpacing": None, "NominalScannedPixelSpacing": ["0.1", "0.1"]},
            (2.0, "spacing-film"),
        ),
    ],
)
def test_mm2_only_where_the_source_of_the_spacing_is_named(
    tmp_path, radiograph_file, attributes, expected
) -> None:
    found = areas(report(radiograph_file(kind="CR", **attributes), tmp_path), "right lung")
    assert found[0][:3] == ("Area", 200, "{pixels}")
    mm2 = [(value, method) for _, value, unit, method in found if unit == "mm2"]
    assert mm2 == ([] if expected is None else [expected])


def test_each_lung_refers_to_its_segment_and_to_the_source(tmp_path, radiograph_file) -> None:
    source = radiograph_file()
    sr = report(source, tmp_path)
    image, seg = pydicom.dcmread(source), pydicom.dcmread(tmp_path / "seg.dcm")
    for number, lung in enumerate(("right lung", "left lung"), start=1):
        [group] = sr.content.get_planar_roi_measurement_groups(finding_type=codes.LUNGS[lung])
        segment = group.referenced_segmentation_frame
        assert segment.referenced_sop_instance_uid == seg.SOPInstanceUID
        assert segment.referenced_segment_numbers in (number, [number])
        origin = segment.source_image_for_segmentation
        assert origin.referenced_sop_instance_uid == image.SOPInstanceUID
        description = seg.SegmentSequence[number - 1]
        assert description.SegmentLabel == group.tracking_identifier == lung
        assert description.TrackingUID == group.tracking_uid
    [study] = sr.CurrentRequestedProcedureEvidenceSequence
    evidence = {
        item.ReferencedSOPSequence[0].ReferencedSOPInstanceUID
        for item in study.ReferencedSeriesSequence
    }
    assert evidence == {image.SOPInstanceUID, seg.SOPInstanceUID}


def test_no_lung_is_reported_without_a_segmentation(tmp_path, radiograph_file) -> None:
    sr = report(radiograph_file(), tmp_path, mask=np.zeros_like(MASK))
    assert not (tmp_path / "seg.dcm").exists()
    [group] = sr.content.get_image_measurement_groups(finding_type=codes.LUNGS["lung"])
    assert numbers(group) == [("Area", 0, "{pixels}", None)]
    assert "No lung was found" in sr.ContentSequence[-1].TextValue


def test_lungs_that_cannot_be_told_apart_are_one_region(tmp_path, radiograph_file) -> None:
    sr = report(radiograph_file(PatientOrientation=None), tmp_path)
    assert areas(sr, "lung")[0] == ("Area", 300, "{pixels}", None)
    assert "not told apart" in sr.ContentSequence[-1].TextValue


def test_it_is_complete_and_verified_by_nobody(tmp_path, radiograph_file) -> None:
    sr = report(radiograph_file(), tmp_path, threshold_source="Youden, 120 cases")
    assert (sr.CompletionFlag, sr.VerificationFlag) == ("COMPLETE", "UNVERIFIED")
    assert sr.PreliminaryFlag == "PRELIMINARY"
    names = {
        item.ConceptNameCodeSequence[0].CodeMeaning: item
        for item in sr.ContentSequence
        if "ConceptNameCodeSequence" in item
    }
    assert names["Observer Type"].ConceptCodeSequence[0].CodeMeaning == "Device"
    assert names["Device Observer Serial Number"].TextValue == "0123456789abcdef"
    language = names["Language of Content Item and Descendants"]
    assert language.ConceptCodeSequence[0].CodeValue == "en-US"
    assert "research only, not a medical device" in names["Comment"].TextValue
    [container] = pneumonia(sr)
    texts = [item.TextValue for item in container.ContentSequence if item.ValueType == "TEXT"]
    assert "threshold_source=Youden, 120 cases" in texts and "image_size=256" in texts


@pytest.mark.parametrize(
    ("charset", "expected"),
    [
        ("ISO_IR 192", "東京 und Köln"),
        ("ISO_IR 100", r"\u6771\u4eac und Köln"),
        (["ISO 2022 IR 6", "ISO 2022 IR 87"], r"\u6771\u4eac und K\xf6ln"),
        ("ISO_IR 13", r"\u6771\u4eac und K\xf6ln"),
        (None, r"\u6771\u4eac und K\xf6ln"),
    ],
)
def test_what_the_sources_character_set_lacks_is_escaped(
    tmp_path, radiograph_file, charset, expected
) -> None:
    source = radiograph_file(SpecificCharacterSet=charset)
    sr = report(source, tmp_path, threshold_source="東京 und Köln")
    texts = [element.value for element in sr.iterall() if element.keyword == "TextValue"]
    assert f"threshold_source={expected}" in texts
