"""Path of data, from pixels to a DX object: the DICOM test images of the demo and the tests."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from multimix_monai.data.images import Radiograph

if TYPE_CHECKING:
    from pydicom.dataset import Dataset, FileDataset
    from pydicom.uid import UID

_BITS = 12


def write_dx(
    path: str | Path,
    radiograph: Radiograph,
    *,
    patient_name: str,
    patient_id: str,
    seed: int,
    view: str = "PA",
    photometric: str = "MONOCHROME2",
) -> None:
    """Writes a radiograph as Digital X-Ray Image - For Presentation: 12 bits in 16, uncompressed.

    Args:
        path: file to write.
        radiograph: pixels in [0, 1], bright = dense; its spacing is needed.
        patient_name: as in DICOM, `FAMILY^GIVEN`.
        patient_id: at most 64 characters.
        seed: with the patient's id and the view fixes all UIDs, so that a file can be repeated.
        view: PA or AP.
        photometric: MONOCHROME2, or MONOCHROME1 for stored values that are inverted.

    Raises:
        ValueError: pixels are not (H, W) in [0, 1], spacing is missing, or a choice is unknown.

    Source: PS3.3 A.26 (DX IOD) and PS3.5 section 9 (UIDs).
    """
    _check(radiograph, view=view, photometric=photometric)
    identity = [str(seed), patient_id]
    dataset = _new_file(path, [*identity, view, photometric])
    _add_patient_and_study(dataset, identity, patient_name=patient_name, patient_id=patient_id)
    _add_positioning(dataset, view=view)
    _add_pixels(dataset, radiograph, photometric=photometric)
    dataset.save_as(path)


def _check(radiograph: Radiograph, *, view: str, photometric: str) -> None:
    pixels = radiograph.pixels
    if pixels.ndim != 2 or pixels.size == 0:
        raise ValueError(f"pixels have shape {pixels.shape}; (H, W) is needed: pass one plane")
    # Written so that NaN fails it too.
    if not (pixels.min() >= 0 and pixels.max() <= 1):
        raise ValueError(
            f"pixels span {pixels.min()} to {pixels.max()}; [0, 1] is needed: scale them first"
        )
    if radiograph.spacing_mm is None:
        raise ValueError("spacing_mm is None; a DX object must state it: set Radiograph.spacing_mm")
    if view not in ("PA", "AP"):
        raise ValueError(f"view is {view!r}; PA or AP is allowed")
    if photometric not in ("MONOCHROME1", "MONOCHROME2"):
        raise ValueError(f"photometric is {photometric!r}; MONOCHROME1 or MONOCHROME2 is allowed")


def _new_file(path: str | Path, entropy: list[str]) -> FileDataset:
    """An empty object with its file meta information and SOP Common module."""
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import (
        PYDICOM_IMPLEMENTATION_UID,
        DigitalXRayImageStorageForPresentation,
        ExplicitVRLittleEndian,
    )

    meta = FileMetaDataset()
    meta.FileMetaInformationGroupLength = 0  # set by pydicom on writing
    meta.FileMetaInformationVersion = b"\x00\x01"
    meta.MediaStorageSOPClassUID = DigitalXRayImageStorageForPresentation
    meta.MediaStorageSOPInstanceUID = _uid("instance", entropy)
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = PYDICOM_IMPLEMENTATION_UID
    dataset = FileDataset(
        str(path),
        {},
        preamble=b"\0" * 128,
        file_meta=meta,
        is_implicit_VR=False,
        is_little_endian=True,
    )
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.SOPClassUID = meta.MediaStorageSOPClassUID
    dataset.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
    return dataset


def _add_patient_and_study(
    dataset: Dataset, identity: list[str], *, patient_name: str, patient_id: str
) -> None:
    """Patient, General Study, General Series, DX Series and General Equipment modules."""
    dataset.PatientName, dataset.PatientID = patient_name, patient_id
    dataset.PatientBirthDate, dataset.PatientSex = "", "O"
    dataset.StudyInstanceUID = _uid("study", identity)
    dataset.SeriesInstanceUID = _uid("series", identity)
    dataset.StudyDate = dataset.SeriesDate = dataset.ContentDate = "20000101"
    dataset.StudyTime = dataset.SeriesTime = dataset.ContentTime = "120000"
    dataset.AcquisitionDate, dataset.AcquisitionTime = "20000101", "120000"
    dataset.StudyID, dataset.AccessionNumber, dataset.ReferringPhysicianName = "1", "", ""
    dataset.StudyDescription = "Chest (synthetic)"
    dataset.SeriesNumber, dataset.InstanceNumber = 1, 1
    dataset.Modality, dataset.PresentationIntentType = "DX", "FOR PRESENTATION"
    dataset.Manufacturer = "MultiMix synthetic radiographs"


def _add_positioning(dataset: Dataset, *, view: str) -> None:
    """DX Anatomy Imaged, DX Detector, DX Positioning and Acquisition Context modules."""
    dataset.BodyPartExamined = "CHEST"
    dataset.ImageLaterality = "U"
    dataset.AnatomicRegionSequence = [_code("51185008", "SCT", "Chest")]
    dataset.ViewPosition = view
    dataset.PatientOrientation = ["L", "F"]
    dataset.DetectorType = "DIRECT"
    dataset.PositionerType = "NONE"
    dataset.AcquisitionContextSequence = []


def _add_pixels(dataset: Dataset, radiograph: Radiograph, *, photometric: str) -> None:
    """General Image, Image Pixel, DX Image and VOI LUT modules."""
    top = 2**_BITS - 1
    stored = np.rint(radiograph.pixels.astype(np.float64) * top).astype("<u2")
    inverted = photometric == "MONOCHROME1"
    dataset.ImageType = ["ORIGINAL", "PRIMARY", ""]
    dataset.Rows, dataset.Columns = stored.shape
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, photometric
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, _BITS, _BITS - 1
    dataset.PixelRepresentation = 0
    assert radiograph.spacing_mm is not None
    dataset.ImagerPixelSpacing = [f"{mm:.6g}" for mm in radiograph.spacing_mm]
    # Log processed; the sign says whether a high stored value means few X-rays arrived.
    dataset.PixelIntensityRelationship = "LOG"
    dataset.PixelIntensityRelationshipSign = 1 if inverted else -1
    dataset.RescaleIntercept, dataset.RescaleSlope, dataset.RescaleType = "0", "1", "US"
    dataset.PresentationLUTShape = "INVERSE" if inverted else "IDENTITY"
    dataset.WindowCenter, dataset.WindowWidth = str(2 ** (_BITS - 1)), str(2**_BITS)
    dataset.BurnedInAnnotation, dataset.LossyImageCompression = "NO", "00"
    dataset.PixelData = (top - stored if inverted else stored).astype("<u2").tobytes()


def _code(value: str, scheme: str, meaning: str) -> Dataset:
    from pydicom.dataset import Dataset

    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = value, scheme, meaning
    return code


def _uid(role: str, entropy: list[str]) -> UID:
    from pydicom.uid import generate_uid

    return generate_uid(entropy_srcs=["multimix-monai", role, *entropy])
