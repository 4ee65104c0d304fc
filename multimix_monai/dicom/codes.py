"""Path of data, going back: the coded concepts in which results are written.

Standard codes where the standard has them; what is ours is in the private scheme 99MULTIMIX, which
every object with such a code describes (Coding Scheme Identification Sequence (0008,0110)).

Source: PS3.16 (DCM, SCT and UCUM codes), PS3.3 section 8.2 (private schemes begin with 99).
"""

from __future__ import annotations

from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from multimix_monai.dicom import geometry

SCHEME = "99MULTIMIX"
SCHEME_NAME = "MultiMix for MONAI"


def own(value: str, meaning: str) -> Code:
    """A code of our scheme; Code Meaning (0008,0104) has at most 64 characters."""
    return Code(value, SCHEME, meaning[:64])


ANATOMICAL_STRUCTURE = Code("91723000", "SCT", "Anatomical Structure")
LUNGS = {
    "lung": Code("39607008", "SCT", "Lung"),
    "right lung": Code("3341006", "SCT", "Right lung"),
    "left lung": Code("44029006", "SCT", "Left lung"),
}
PNEUMONIA = Code("233604007", "SCT", "Pneumonia")
CHEST_RADIOGRAPHY = Code("399208008", "SCT", "Plain chest X-ray")
ARTIFICIAL_INTELLIGENCE = codes.cid7162.ArtificialIntelligence

PROBABILITY = codes.DCM.Probability
THRESHOLD = codes.DCM.ThresholdValue
PRESENCE = codes.DCM.PresenceOfProperty
PRESENT, ABSENT = codes.SCT.Present, codes.SCT.Absent
AREA = codes.SCT.Area
COMMENT = codes.DCM.Comment
SOURCE_IMAGE = codes.DCM.SourceImageForImageProcessingOperation

NO_UNITS = codes.UCUM.NoUnits
PIXELS = Code("{pixels}", "UCUM", "pixels")
MM2 = codes.UCUM.SquareMillimeter

CALIBRATED = own("calibrated", "Calibrated on labelled cases")
UNCALIBRATED = own("uncalibrated", "Softmax of the network, not calibrated")
QUALITY = own("quality", "Quality of the result")
QUALITIES = {
    "pass": own("pass", "Passed every quality rule"),
    "review": own("review", "To be reviewed: a quality rule fired"),
}
QUALITY_RULE = own("quality-rule", "Quality rule that fired")
FLAG = own("flag", "To be known by who reads the result")
FORCED = own("forced", "Scored although the image was refused")
YES, NO = codes.SCT.Yes, codes.SCT.No

SPACINGS = {
    geometry.CALIBRATED: own("spacing-patient", "Pixel Spacing, calibrated"),
    geometry.AT_DETECTOR: own(
        "spacing-detector", "Imager Pixel Spacing: at the detector, magnified"
    ),
    geometry.UNCALIBRATED: own("spacing-unclear", "Pixel Spacing, calibration unknown"),
    geometry.ON_FILM: own("spacing-film", "Nominal Scanned Pixel Spacing: on the film"),
}
