from __future__ import annotations

import pytest
from pydicom.dataset import Dataset

from multimix_monai.data.images import ImageError
from multimix_monai.dicom.layout import layout_of


def image(**changes) -> Dataset:
    attributes = {
        **{"Rows": 40, "Columns": 50, "SamplesPerPixel": 1, "BitsAllocated": 16, "BitsStored": 12},
        **{"HighBit": 11, "PixelRepresentation": 0, "PhotometricInterpretation": "MONOCHROME2"},
    }
    dataset = Dataset()
    for keyword, value in {**attributes, **changes}.items():
        if value is not None:
            setattr(dataset, keyword, value)
    return dataset


def test_what_is_absent_and_can_be_told_is_told() -> None:
    layout = layout_of(image(HighBit=None, SamplesPerPixel=None), "a.dcm")
    assert (layout.high_bit, layout.samples, layout.planar) == (11, 1, False)
    colour = {"PhotometricInterpretation": "RGB", "SamplesPerPixel": 3, "PixelRepresentation": 1}
    assert not layout_of(image(**colour), "a.dcm").signed, "colours never are"


@pytest.mark.parametrize(
    ("changes", "reason", "message"),
    [
        ({"Rows": None, "BitsStored": None}, "bad_attributes", "lacks Rows, BitsStored"),
        ({"PhotometricInterpretation": None}, "bad_attributes", "lacks PhotometricInterpretation"),
        ({"Columns": 0}, "bad_attributes", "40 rows x 0 columns"),
        ({"Rows": [40, 41]}, "bad_attributes", "lacks Rows"),
        ({"Rows": 65535, "Columns": 65535}, "too_large", "65535 rows x 65535 columns"),
        ({"SamplesPerPixel": 3}, "photometric", "MONOCHROME2 of 3 samples"),
        ({"SamplesPerPixel": 4}, "photometric", "4 samples"),
        ({"PhotometricInterpretation": "CMYK"}, "photometric", "CMYK"),
        ({"BitsAllocated": 1, "BitsStored": 1, "HighBit": 0}, "odd_bits", r"\(1, 1, 0\)"),
        ({"BitsAllocated": 12}, "odd_bits", r"\(12, 12, 11\)"),
        ({"BitsAllocated": 64, "BitsStored": 64, "HighBit": 63}, "odd_bits", "64"),
        ({"BitsAllocated": 8}, "odd_bits", r"\(8, 12, 11\)"),
        ({"HighBit": 16}, "odd_bits", r"\(16, 12, 16\)"),
        ({"HighBit": 9}, "odd_bits", r"\(16, 12, 9\)"),
    ],
)
def test_what_no_radiograph_has_is_refused_by_name(changes, reason, message) -> None:
    with pytest.raises(ImageError, match=message) as error:
        layout_of(image(**changes), "a.dcm")
    assert error.value.reason == reason and str(error.value).startswith("a.dcm")
