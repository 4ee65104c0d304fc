from __future__ import annotations

import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from multimix_monai.data.images import ImageError
from multimix_monai.dicom.objects import (
    OWN_MANUFACTURER,
    refuse_other_objects,
    refuse_without_pixels,
)

STORAGE = "1.2.840.10008.5.1.4.1.1."


def made(**attributes) -> Dataset:
    dataset = Dataset()
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    return dataset


@pytest.mark.parametrize(
    ("header", "reason", "message"),
    [
        (made(SOPClassUID=f"{STORAGE}88.33"), "not_an_image", "Comprehensive SR Storage"),
        (made(SOPClassUID=f"{STORAGE}66.4", Rows=9), "not_an_image", "Segmentation Storage"),
        (made(SOPClassUID=f"{STORAGE}104.1"), "not_an_image", "Encapsulated PDF Storage"),
        (made(SOPClassUID=f"{STORAGE}11.1"), "not_an_image", "Presentation State"),
        (made(SOPClassUID=f"{STORAGE}9.1.1"), "not_an_image", "ECG Waveform"),
        (made(SOPClassUID=f"{STORAGE}481.2", Rows=9), "not_an_image", "RT Dose"),
        (made(SOPClassUID="1.2.840.10008.1.3.10"), "not_an_image", "Media Storage Directory"),
        (
            made(SOPClassUID=f"{STORAGE}2.1", SharedFunctionalGroupsSequence=Sequence([Dataset()])),
            "enhanced",
            "Enhanced CT Image Storage",
        ),
        (made(NumberOfFrames=30, SOPClassUID=f"{STORAGE}3.1"), "multi_frame", "30 frames"),
        (made(NumberOfFrames=0), "multi_frame", "0 frames"),
        (made(Manufacturer=OWN_MANUFACTURER, Rows=9), "own_result", "result of MultiMix"),
    ],
)
def test_what_is_not_one_image_is_refused_by_name(header, reason, message) -> None:
    with pytest.raises(ImageError, match=message) as error:
        refuse_other_objects(header, "a.dcm")
    assert error.value.reason == reason and str(error.value).startswith("a.dcm")


@pytest.mark.parametrize(
    "header",
    [
        made(SOPClassUID=f"{STORAGE}1.1"),
        made(SOPClassUID=f"{STORAGE}7.2", NumberOfFrames=1),
        made(SOPClassUID="1.3.46.670589.2.4.1.1"),
        made(NumberOfFrames=""),
        made(Manufacturer="MultiMix synthetic radiographs"),
        made(),
    ],
)
def test_an_image_of_one_frame_passes(header) -> None:
    refuse_other_objects(header, "a.dcm")


@pytest.mark.parametrize(
    ("dataset", "reason"),
    [
        (made(SOPClassUID=f"{STORAGE}2"), "no_pixels"),
        (made(FloatPixelData=b"\0" * 8), "float_pixels"),
        (made(PixelData=b"", DoubleFloatPixelData=b"\0" * 8), "float_pixels"),
    ],
)
def test_an_object_without_whole_numbers_for_pixels_is_refused(dataset, reason) -> None:
    with pytest.raises(ImageError, match=r"give the image|export it as DX") as error:
        refuse_without_pixels(dataset, "a.dcm")
    assert error.value.reason == reason
