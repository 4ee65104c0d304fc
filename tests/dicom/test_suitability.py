from __future__ import annotations

import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from multimix_monai.dicom.suitability import flags, objections

STORAGE = "1.2.840.10008.5.1.4.1.1."
CHEST = {"SOPClassUID": f"{STORAGE}1.1", "Modality": "DX", "BodyPartExamined": "CHEST"}


def made(**attributes) -> Dataset:
    dataset = Dataset()
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    return dataset


def code(value: str, meaning: str) -> Sequence:
    return Sequence([made(CodeValue=value, CodingSchemeDesignator="SCT", CodeMeaning=meaning)])


def reasons(**attributes) -> list[str]:
    return [o.reason for o in objections(made(**{**CHEST, **attributes}), "a.dcm")]


@pytest.mark.parametrize(
    "attributes",
    [
        {},
        {"SOPClassUID": f"{STORAGE}1", "Modality": "CR"},
        {"SOPClassUID": f"{STORAGE}1.1.1"},
        {"SOPClassUID": f"{STORAGE}7", "Modality": "OT"},
        {"SOPClassUID": f"{STORAGE}7", "Modality": ""},
        {"SOPClassUID": "1.3.46.670589.2.4.1.1"},  # private
        {"SOPClassUID": ""},
        {"BodyPartExamined": ""},
        {"BodyPartExamined": "Thorax"},
        {"BodyPartExamined": "PORT CHEST"},
        {"BodyPartExamined": "TÓRAX"},
        {"BodyPartExamined": "LUNG"},
        {"BodyPartExamined": "UNKNOWN"},
        {"BodyPartExamined": "ABDOMEN", "AnatomicRegionSequence": code("51185008", "Chest")},
        {"BodyPartExamined": "", "AnatomicRegionSequence": code("T-D3000", "")},
        {"ViewPosition": "PA"},
        {"ViewPosition": "AP"},
        {"ViewPosition": ""},
        {"ViewPosition": "AP SUPINE"},
        {"ViewCodeSequence": code("399348003", "antero-posterior")},
        {"PatientOrientation": ["L", "F"]},
        {"PatientOrientation": ["F", "R"]},
        {"PatientOrientation": ["LA", "F"]},
        {"SeriesDescription": "CHEST PA AND LATERAL"},
        {"SeriesDescription": "Chest 2 views (lateral)"},
        {"SeriesDescription": "Thorax lateral", "ViewPosition": "PA"},
        {"PatientSpeciesDescription": "Homo sapiens"},
    ],
)
def test_a_frontal_chest_radiograph_of_any_pacs_is_not_objected_to(attributes) -> None:
    assert reasons(**attributes) == []


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({"Modality": "CT", "SOPClassUID": f"{STORAGE}2"}, ["modality", "sop_class"]),
        ({"Modality": "MG", "SOPClassUID": f"{STORAGE}1.2"}, ["modality", "sop_class"]),
        ({"Modality": "US"}, ["modality"]),
        ({"Modality": "PX"}, ["modality"]),
        ({"Modality": "", "SOPClassUID": f"{STORAGE}4"}, ["sop_class"]),
        ({"BodyPartExamined": "ABDOMEN"}, ["body_part"]),
        ({"BodyPartExamined": "THORACIC SPINE"}, ["body_part"]),
        ({"BodyPartExamined": "TSPINE"}, ["body_part"]),
        ({"BodyPartExamined": "RIBS"}, ["body_part"]),
        (
            {"BodyPartExamined": "", "AnatomicRegionSequence": code("29836001", "Hip")},
            ["body_part"],
        ),
        *(
            ({"ViewPosition": view}, ["view"])
            for view in ("LL", "RL", "LATERAL", "L LAT", "LLD", "RLO", "Oblique", "LAT_DECUB")
        ),
        ({"ViewCodeSequence": code("399173006", "left lateral")}, ["view"]),
        ({"ViewCodeSequence": code("R-10232", "")}, ["view"]),
        ({"ViewCodeSequence": code("", "Lateral oblique")}, ["view"]),
        ({"PatientOrientation": ["A", "F"]}, ["view"]),
        ({"PatientOrientation": ["P", "F"]}, ["view"]),
        ({"PatientOrientation": ["PL", "F"]}, ["view"]),
        ({"PatientOrientation": ["L", "P"]}, ["view"]),
        ({"SeriesDescription": "Chest lateral"}, ["view"]),
        ({"SeriesDescription": "W THORAX LAT"}, ["view"]),
        ({"PatientSpeciesDescription": "Canis lupus familiaris"}, ["species"]),
        ({"AnatomicalOrientationType": "QUADRUPED"}, ["species"]),
    ],
)
def test_what_attributes_say_against_it_is_objected_with_a_reason(attributes, expected) -> None:
    assert reasons(**attributes) == expected


def test_an_objection_names_file_value_and_remedy() -> None:
    (objection,) = objections(made(**CHEST, ViewPosition="LL"), "a.dcm")
    assert objection.message.startswith("a.dcm has the view position LL")
    assert "--force" in objection.message


def test_burned_in_annotation_and_raw_images_are_flagged() -> None:
    assert flags(made(**CHEST)) == ()
    assert flags(made(BurnedInAnnotation="NO", PresentationIntentType="FOR PRESENTATION")) == ()
    assert flags(made(BurnedInAnnotation="YES")) == ("burned_in_annotation",)
    assert flags(made(PresentationIntentType="FOR PROCESSING")) == ("for_processing",)
    assert flags(made(SOPClassUID=f"{STORAGE}1.1.1")) == ("for_processing",)
