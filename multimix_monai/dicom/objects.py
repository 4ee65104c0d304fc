"""Path of data, what kind of DICOM object a file is: only single images have pixels to look at."""

from __future__ import annotations

from typing import TYPE_CHECKING

from multimix_monai.data.images import ImageError
from multimix_monai.dicom.attributes import integer, items, text

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

OWN_MANUFACTURER = "MultiMix for MONAI"  # of every result that this package writes
_GROUPS = ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence")
_PIXELS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")


def refuse_other_objects(header: Dataset, name: str) -> None:
    """Refuses by name what is not one image: reports, segmentations, waveforms, own results.

    Every Storage SOP class of images has "Image" in its name. The enhanced ones describe their
    frames in functional groups, also where there is only one.

    Raises:
        ImageError: with reason own_result, not_an_image, enhanced or multi_frame.

    Source: PS3.6 annex A (names), PS3.3 C.7.6.16 (functional groups), C.7.6.6 (Number of Frames
    (0028,0008)).
    """
    kind = class_name(header)
    if text(header, "Manufacturer") == OWN_MANUFACTURER.upper():
        raise ImageError(f"{name} is a result of MultiMix: give the image it is of", "own_result")
    if kind and "Image" not in kind:
        raise ImageError(
            f"{name} is no image but of the class {kind}: give the image object itself",
            "not_an_image",
        )
    if any(items(header, keyword) for keyword in _GROUPS):
        raise ImageError(
            f"{name} is an enhanced object ({kind or 'class unknown'}): export it as a classic DX, "
            "CR or secondary capture",
            "enhanced",
        )
    frames = integer(header, "NumberOfFrames")
    if frames is not None and frames != 1:
        raise ImageError(
            f"{name} has {frames} frames, one is needed: export frames one by one", "multi_frame"
        )


def refuse_without_pixels(dataset: Dataset, name: str) -> None:
    """Raises ImageError with reason no_pixels or float_pixels where Pixel Data is missing."""
    present = [keyword for keyword in _PIXELS if keyword in dataset]
    if not present:
        kind = class_name(dataset) or text(dataset, "Modality") or "class unknown"
        raise ImageError(f"{name} has no pixels ({kind}): give the image itself", "no_pixels")
    if present != ["PixelData"]:
        raise ImageError(
            f"{name} has {' and '.join(present)}; a radiograph has PixelData of whole numbers: "
            "export it as DX or CR",
            "float_pixels",
        )


def class_name(dataset: Dataset) -> str:
    """Name of the SOP Class UID (0008,0016) in the standard; "" where it is absent or private.

    A medium's directory has it in Media Storage SOP Class UID (0002,0002) alone.
    """
    from pydicom.uid import UID

    meta = getattr(dataset, "file_meta", None) or dataset
    uid = UID(text(dataset, "SOPClassUID") or text(meta, "MediaStorageSOPClassUID"))
    return "" if uid.name == uid else uid.name
