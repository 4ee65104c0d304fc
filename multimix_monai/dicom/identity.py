"""Path of data, going back: who made a result, and by which UIDs, numbers and words it is found."""

from __future__ import annotations

from typing import Any

from highdicom import ContentQualificationValues
from highdicom.coding_schemes import CodingSchemeIdentificationItem

from multimix_monai.dicom import codes
from multimix_monai.dicom.findings import Algorithm
from multimix_monai.dicom.objects import OWN_MANUFACTURER

RESEARCH_ONLY = "research only, not a medical device"
SERIES = {  # kind: Series Number, behind those that a modality gives, and what it is
    "seg": (9001, "lungs"),
    "sr": (9002, "report"),
    "sc_overlay": (9003, "lung contour"),
    "sc_saliency": (9004, "saliency"),
}


def identity(kind: str, *, algorithm: Algorithm, source_uid: str) -> dict[str, Any]:
    """UIDs, series and equipment of a result, as arguments of every class of highdicom.

    Each source image has a series of its own for each kind: a series has the description of one
    picture's result, and viewers that open only one segmentation of a series miss none.

    Source: PS3.3 C.7.3.1 (General Series), C.7.5.1 (General Equipment), C.12.1 (SOP Common, with
    Content Qualification (0018,9004) RESEARCH).
    """
    number, what = SERIES[kind]
    return {
        "sop_instance_uid": algorithm.uid(kind, source_uid),
        "series_instance_uid": algorithm.uid(f"series {kind}", source_uid),
        "series_number": number,
        "instance_number": 1,
        "series_description": f"MultiMix {what}: {RESEARCH_ONLY}",
        "manufacturer": OWN_MANUFACTURER,
        "manufacturer_model_name": algorithm.name,
        "software_versions": algorithm.version,
        "device_serial_number": algorithm.weights_digest[:16],
        "content_qualification": ContentQualificationValues.RESEARCH,
        "coding_schemes": [CodingSchemeIdentificationItem(codes.SCHEME, codes.SCHEME_NAME)],
    }
