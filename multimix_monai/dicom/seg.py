"""Path of data, going back: a lung mask becomes a DICOM segmentation on the source's own grid.

Needs highdicom; `results.write_results` says so where it is absent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import highdicom as hd
import numpy as np
from highdicom.color import CIELabColor
from highdicom.seg import (
    SegmentAlgorithmTypeValues,
    Segmentation,
    SegmentationTypeValues,
    SegmentDescription,
)
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian

from multimix_monai.dicom import codes
from multimix_monai.dicom.findings import Algorithm
from multimix_monai.dicom.identity import identity
from multimix_monai.dicom.objects import OWN_MANUFACTURER

_LAB = {  # CIELab of the colours of Okabe and Ito, which colour-blind readers tell apart too
    "lung": (70.3, 20.9, 74.3),  # orange
    "right lung": (70.3, 20.9, 74.3),  # orange
    "left lung": (72.0, -17.0, -39.0),  # sky blue
}


def segmentation(
    header: Dataset,
    reference: Dataset,
    segments: Mapping[str, NDArray[np.uint8]],
    *,
    algorithm: Algorithm,
) -> Segmentation:
    """A binary segmentation, one frame and segment for each lung, uncompressed (1 bit a pixel).

    Explicit VR Little Endian, since 1 bit pixels have no compression that every viewer reads.
    Without a Frame of Reference, for the source has none: the frames lie on its rows and columns.

    Args:
        header: the source's attributes, as of `carried.read_source`.
        reference: the same for highdicom, as of `carried.reference`.
        segments: masks uint8 (H, W) by name, as of `lungs.split_lungs`; at least one.
        algorithm: what made the masks.

    Raises:
        ValueError: a mask is not of the source's rows and columns, or is empty.

    Source: PS3.3 A.51 (Segmentation IOD) and C.8.20.
    """
    shape = (int(reference.Rows), int(reference.Columns))
    for name, mask in segments.items():
        if mask.shape != shape or not mask.any():
            raise ValueError(
                f"segment {name} has shape {mask.shape} and {np.count_nonzero(mask)} px; the "
                f"source's {shape} and at least 1 px are needed: give the mask on the source's grid"
            )
    source_uid = str(reference.SOPInstanceUID)
    result = Segmentation(
        source_images=[reference],
        pixel_array=_labelled(list(segments.values()))[None],
        segmentation_type=SegmentationTypeValues.BINARY,
        segment_descriptions=[
            _description(number, name, algorithm=algorithm, source_uid=source_uid)
            for number, name in enumerate(segments, start=1)
        ],
        transfer_syntax_uid=ExplicitVRLittleEndian,
        content_label="LUNGS",
        content_description="Lungs found by a research algorithm",
        **identity("seg", algorithm=algorithm, source_uid=source_uid),
    )
    for item in (*result.DimensionOrganizationSequence, *result.DimensionIndexSequence):
        item.DimensionOrganizationUID = algorithm.uid("dimensions", source_uid)  # not a random one
    result.PatientOrientation = header.get("PatientOrientation", None) or ""
    return result


def _labelled(masks: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Masks (H, W) that do not overlap -> the number of each pixel's segment, 0 for none.

    highdicom takes a quarter of the time that it takes for a stack of masks.
    """
    labels = np.zeros_like(masks[0])
    for number, mask in enumerate(masks, start=1):
        labels += np.uint8(number) * mask
    return labels


def _description(
    number: int, name: str, *, algorithm: Algorithm, source_uid: str
) -> SegmentDescription:
    description = SegmentDescription(
        segment_number=number,
        segment_label=name,
        segmented_property_category=codes.ANATOMICAL_STRUCTURE,
        segmented_property_type=codes.LUNGS[name],
        algorithm_type=SegmentAlgorithmTypeValues.AUTOMATIC,
        algorithm_identification=hd.AlgorithmIdentificationSequence(
            name=algorithm.name,
            family=codes.ARTIFICIAL_INTELLIGENCE,
            version=algorithm.version,
            source=OWN_MANUFACTURER,
            parameters=dict(setting.split("=", 1) for setting in algorithm.parameters),
        ),
        tracking_id=name,
        tracking_uid=algorithm.uid(f"track {name}", source_uid),
    )
    # Not by an argument, which highdicom 0.22 does not have.
    description.RecommendedDisplayCIELabValue = list(CIELabColor(*_LAB[name]).value)
    return description
