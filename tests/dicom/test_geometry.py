from __future__ import annotations

import pytest
from pydicom.dataset import Dataset

from multimix_monai.dicom.geometry import (
    AT_DETECTOR,
    CALIBRATED,
    ON_FILM,
    UNCALIBRATED,
    UNKNOWN,
    patient_orientation,
    spacing_mm,
)


def made(**attributes) -> Dataset:
    dataset = Dataset()
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    return dataset


ONE, TWO = ["0.2", "0.3"], ["0.19", "0.29"]
ROUNDED = ["0.2000001", "0.2995"]


@pytest.mark.parametrize(
    ("attributes", "spacing", "source"),
    [
        ({}, None, UNKNOWN),
        ({"ImagerPixelSpacing": ONE}, (0.2, 0.3), AT_DETECTOR),
        ({"ImagerPixelSpacing": ONE, "PixelSpacing": ONE}, (0.2, 0.3), AT_DETECTOR),
        ({"ImagerPixelSpacing": ONE, "PixelSpacing": TWO}, (0.19, 0.29), CALIBRATED),
        ({"ImagerPixelSpacing": ONE, "PixelSpacing": ROUNDED}, (0.2, 0.3), AT_DETECTOR),
        ({"ImagerPixelSpacing": ONE, "PixelSpacing": ["0.2", "0.29"]}, (0.2, 0.29), CALIBRATED),
        ({"PixelSpacing": TWO}, (0.19, 0.29), UNCALIBRATED),
        (
            {"PixelSpacing": TWO, "PixelSpacingCalibrationType": "FIDUCIAL"},
            (0.19, 0.29),
            CALIBRATED,
        ),
        (
            {
                "ImagerPixelSpacing": ONE,
                "PixelSpacing": ONE,
                "PixelSpacingCalibrationType": "GEOMETRY",
            },
            (0.2, 0.3),
            CALIBRATED,
        ),
        ({"NominalScannedPixelSpacing": ONE}, (0.2, 0.3), ON_FILM),
        ({"PixelSpacing": ["0", "0.3"]}, None, UNKNOWN),
        ({"PixelSpacing": ["-1", "0.3"], "ImagerPixelSpacing": ONE}, (0.2, 0.3), AT_DETECTOR),
        ({"PixelSpacing": "0.3"}, None, UNKNOWN),
        ({"PixelSpacing": ""}, None, UNKNOWN),
    ],
)
def test_spacing_comes_with_its_source(attributes, spacing, source) -> None:
    assert spacing_mm(made(**attributes)) == (spacing, source)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (["L", "F"], ("L", "F")),
        (["r ", "h"], ("R", "H")),
        (["LA", "FP"], ("LA", "FP")),
        ("L", None),
        ("", None),
        (["L", ""], None),
        (["LE", "V"], None),
        (["L", "F", "A"], None),
    ],
)
def test_orientation_is_two_directions_or_unknown(value, expected) -> None:
    assert patient_orientation(made(PatientOrientation=value)) == expected
    assert patient_orientation(made()) is None
