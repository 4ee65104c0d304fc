"""Path of data, going back: a mask that a person drew becomes a DICOM segmentation, and returns.

Needs highdicom; the error of `results.results` says so where it is absent.
"""

from __future__ import annotations

import hashlib
from datetime import datetime
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from multimix_monai.data.images import ImageError
from multimix_monai.dicom.attributes import items, text
from multimix_monai.dicom.carried import carry_over, read_source, reference
from multimix_monai.dicom.findings import Algorithm
from multimix_monai.dicom.geometry import patient_orientation
from multimix_monai.dicom.lungs import split_lungs

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

SERIES_NUMBER = 9011
DRAWN = (
    "MANUAL",
    "SEMIAUTOMATIC",
)  # Segment Algorithm Type (0062,0008) of what a person answers for


def annotation(
    source: str | PathLike[str] | BinaryIO | Dataset,
    mask: NDArray[np.uint8],
    *,
    saved: datetime | None = None,
) -> Dataset:
    """A manual segmentation of the lungs, in the study of its radiograph.

    Each is an object of its own, also of a mask that was there before: the newest one counts.

    Args:
        source: the radiograph.
        mask: uint8 (H, W), 1 is lung, on its rows and columns as stored, not empty.
        saved: when; now if absent.

    Raises:
        ImageError: the radiograph lacks an attribute that results need (a ValueError).
        ValueError: the mask has other rows and columns, or is empty.

    Source: PS3.3 C.8.20.2: of MANUAL segments neither Segment Algorithm Name (0062,0009) nor
    Segmentation Algorithm Identification Sequence (0062,0007) is told.
    """
    from multimix_monai.dicom.seg import segmentation

    header = read_source(source)
    saved = saved or datetime.now()
    content = mask.tobytes() + saved.isoformat().encode()
    drawn = Algorithm(hashlib.sha256(content).hexdigest(), name="MultiMix annotation")
    segments = split_lungs(mask, patient_orientation(header)) or {"lung": mask}
    result: Any = segmentation(header, reference(header), segments, algorithm=drawn)
    result.SeriesNumber = SERIES_NUMBER
    result.SeriesDescription = "Lungs, drawn or corrected by a person"
    result.ContentDescription = "Lungs, drawn or corrected by a person"
    result.ContentDate, result.ContentTime = f"{saved:%Y%m%d}", f"{saved:%H%M%S.%f}"
    result.DeviceSerialNumber = "none"
    for segment in result.SegmentSequence:
        segment.SegmentAlgorithmType = DRAWN[0]
        for keyword in ("SegmentAlgorithmName", "SegmentationAlgorithmIdentificationSequence"):
            if keyword in segment:
                delattr(segment, keyword)
    carry_over(header, result)
    return result


def is_annotation(dataset: Dataset) -> bool:
    """Whether a person answers for every segment, each of lung; a data set without pixels will do.

    Source: PS3.3 C.8.20.2 (Segment Algorithm Type (0062,0008), Segmented Property Type Code
    Sequence (0062,000F)).
    """
    segments = items(dataset, "SegmentSequence")
    return bool(segments) and all(
        text(segment, "SegmentAlgorithmType") in DRAWN and _is_lung(segment) for segment in segments
    )


def _is_lung(segment: Dataset) -> bool:
    from pydicom.sr.coding import Code

    from multimix_monai.dicom.codes import LUNGS

    kinds = items(segment, "SegmentedPropertyTypeCodeSequence")
    if not kinds:
        return False
    value, scheme = (str(kinds[0].get(n, "")) for n in ("CodeValue", "CodingSchemeDesignator"))
    return Code(value, scheme, "") in LUNGS.values()


def saved_at(dataset: Dataset) -> tuple[str, str]:
    """Content Date (0008,0023) and Content Time (0008,0033), of which the newest is the largest."""
    return text(dataset, "ContentDate"), text(dataset, "ContentTime")


def drawn_on(dataset: Dataset) -> str | None:
    """Series Instance UID (0020,000E) of the radiographs that a segmentation refers to."""
    series = items(dataset, "ReferencedSeriesSequence")
    return str(series[0].get("SeriesInstanceUID", "")) or None if series else None


def read_annotation(path: str | Path, source_uid: str) -> NDArray[np.uint8]:
    """The mask of a segmentation on one of its source images, uint8 (H, W), all segments united.

    Args:
        path: of the segmentation.
        source_uid: SOP Instance UID (0008,0018) of the radiograph.

    Raises:
        ImageError: it is no segmentation of that image.
    """
    import highdicom as hd

    try:
        planes = hd.seg.segread(path).get_pixels_by_source_instance(
            [source_uid], ignore_spatial_locations=True
        )
    except (ValueError, AttributeError, KeyError) as error:
        raise ImageError("no segmentation of this radiograph: leave it out", "not_seg") from error
    mask: NDArray[np.uint8] = (planes[0] > 0).any(axis=-1).astype(np.uint8)
    return mask
