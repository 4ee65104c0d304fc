"""Path of data, from DICOM attributes to geometry: how large a pixel is, and which way is up."""

from __future__ import annotations

from math import isclose
from typing import TYPE_CHECKING

from multimix_monai.dicom.attributes import numbers, text

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

CALIBRATED = "PixelSpacing, calibrated"
AT_DETECTOR = "ImagerPixelSpacing, at the detector"
UNCALIBRATED = "PixelSpacing, calibration unknown"
ON_FILM = "NominalScannedPixelSpacing, on the film"
UNKNOWN = "unknown"
ROUNDING = 0.005  # relative: of 0.1 mm to three decimals; a thorax is magnified by more


def spacing_mm(dataset: Dataset) -> tuple[tuple[float, float] | None, str]:
    """Distance of rows and of columns in mm, and where it comes from.

    Pixel Spacing (0028,0030) is a size in the patient only where Pixel Spacing Calibration Type
    (0028,0A02) says so, or where it differs from Imager Pixel Spacing (0018,1164); equal to it but
    for rounding, it only repeats the size at the detector, where the thorax appears larger than it
    is. A digitised film has Nominal Scanned Pixel Spacing (0018,2010).

    Returns:
        The spacing, None where the file does not tell, and one of this module's constants.

    Source: PS3.3 sections 10.7.1.1 and 10.7.1.3, table 10-10 and C.8.6.2 (film).
    """
    pixel = _pair(dataset, "PixelSpacing")
    imager = _pair(dataset, "ImagerPixelSpacing")
    if pixel and (_is_calibrated(dataset) or (imager and not _repeats(pixel, imager))):
        return pixel, CALIBRATED
    if imager:
        return imager, AT_DETECTOR
    if pixel:
        return pixel, UNCALIBRATED
    film = _pair(dataset, "NominalScannedPixelSpacing")
    return (film, ON_FILM) if film else (None, UNKNOWN)


def patient_orientation(dataset: Dataset) -> tuple[str, str] | None:
    """Directions of a row (left to right) and of a column (top to bottom) as letters.

    Patient Orientation (0020,0020): A, P, R, L, H and F, of an oblique direction up to three, the
    dominant first. None where it is absent, has not two values, or has other letters.

    Source: PS3.3 C.7.6.1.1.1.
    """
    directions = text(dataset, "PatientOrientation").split("\\")
    known = all(d and len(d) <= 3 and set(d) <= set("APRLHF") for d in directions)
    return (directions[0], directions[1]) if known and len(directions) == 2 else None


def _is_calibrated(dataset: Dataset) -> bool:
    return text(dataset, "PixelSpacingCalibrationType") in ("GEOMETRY", "FIDUCIAL")


def _repeats(pixel: tuple[float, float], imager: tuple[float, float]) -> bool:
    return all(isclose(p, i, rel_tol=ROUNDING) for p, i in zip(pixel, imager, strict=True))


def _pair(dataset: Dataset, keyword: str) -> tuple[float, float] | None:
    """Two positive numbers, else None."""
    found = numbers(dataset, keyword)
    return (found[0], found[1]) if len(found) == 2 and min(found) > 0 else None
