"""Path of data, going back: a picture to look at becomes a secondary capture beside its source.

Needs highdicom; `results.write_results` says so where it is absent.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from highdicom.sc import ConversionTypeValues, SCImage
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian

from multimix_monai.dicom import codes
from multimix_monai.dicom.findings import Algorithm
from multimix_monai.dicom.identity import RESEARCH_ONLY, identity

DERIVATIONS = {
    "sc_overlay": "Contour of the lungs that the algorithm found",
    "sc_saliency": "Where the algorithm's class hangs on the pixels",
}
_LOSSY = ("LossyImageCompression", "LossyImageCompressionRatio", "LossyImageCompressionMethod")


def secondary_capture(
    header: Dataset,
    reference: Dataset,
    picture: NDArray[np.uint8],
    *,
    kind: str,
    algorithm: Algorithm,
) -> SCImage:
    """An RGB secondary capture, uncompressed, that names the image it was drawn on.

    What is burned into the source is in the picture too, so Burned In Annotation (0028,0301) and
    the Lossy Image Compression of the source hold for it. Patient Orientation is the source's.

    Args:
        header: the source's attributes, as of `carried.read_source`.
        reference: the same for highdicom, as of `carried.reference`.
        picture: uint8 (H, W, 3).
        kind: "sc_overlay" or "sc_saliency".
        algorithm: what the picture shows the results of.

    Source: PS3.3 A.8.1 (SC Image IOD), C.8.6 and C.7.6.1.1.4 (Source Image Sequence).
    """
    capture = SCImage.from_ref_dataset(
        reference,
        pixel_array=np.ascontiguousarray(picture),
        photometric_interpretation="RGB",
        bits_allocated=8,
        coordinate_system="PATIENT",
        patient_orientation=("L", "F"),  # highdicom takes no empty one; replaced below
        transfer_syntax_uid=ExplicitVRLittleEndian,
        **identity(kind, algorithm=algorithm, source_uid=str(reference.SOPInstanceUID)),
    )
    orientation: Any = header.get("PatientOrientation", None) or ""  # type 2C
    capture.PatientOrientation = orientation
    capture.BodyPartExamined = "CHEST"  # not paired, so that Laterality (0020,0060) may be absent
    capture.ConversionType = ConversionTypeValues.WSD.value
    capture.ImageComments = f"{DERIVATIONS[kind]}: {RESEARCH_ONLY}"
    capture.DerivationDescription = DERIVATIONS[kind]
    capture.SourceImageSequence = [_source_item(reference)]
    for keyword in ("BurnedInAnnotation", *_LOSSY):
        if keyword in header:
            capture.add(header[keyword])
    return capture


def _source_item(reference: Dataset) -> Dataset:
    purpose = Dataset()
    purpose.CodeValue = codes.SOURCE_IMAGE.value
    purpose.CodingSchemeDesignator = codes.SOURCE_IMAGE.scheme_designator
    purpose.CodeMeaning = codes.SOURCE_IMAGE.meaning
    item = Dataset()
    item.ReferencedSOPClassUID = reference.SOPClassUID
    item.ReferencedSOPInstanceUID = reference.SOPInstanceUID
    item.PurposeOfReferenceCodeSequence = [purpose]
    return item
