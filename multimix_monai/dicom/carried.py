"""Path of data, going back: what a result takes over from the radiograph it was made from.

Patient and study are taken over as they are, empty values and person names in several scripts
included. Private attributes are not, nor anything of the acquisition but what is listed here.
"""

from __future__ import annotations

from copy import deepcopy
from fractions import Fraction
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from multimix_monai.data.images import ImageError
from multimix_monai.dicom.attributes import integer, numbers
from multimix_monai.dicom.geometry import spacing_mm
from multimix_monai.dicom.parse import opened, quiet, read_header

if TYPE_CHECKING:
    from pydicom.dataelem import DataElement
    from pydicom.dataset import Dataset
    from pydicom.tag import BaseTag

NO_RESULTS = "no_dicom_results"
NEEDED = {
    "SOPClassUID": "(0008,0016)",
    "SOPInstanceUID": "(0008,0018)",
    "StudyInstanceUID": "(0020,000D)",
    "SeriesInstanceUID": "(0020,000E)",
}
TYPE_2 = (
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyDate",
    "StudyTime",
    "StudyID",
    "AccessionNumber",
    "ReferringPhysicianName",
)
_IMAGE = (
    *NEEDED,
    "Modality",
    "Rows",
    "Columns",
    "LossyImageCompression",
    "LossyImageCompressionRatio",
    "LossyImageCompressionMethod",
)
_EQUIPMENT = ("Manufacturer", "ManufacturerModelName", "SoftwareVersions", "StationName")
RADIOGRAPHS = (  # no multi-frame class: highdicom wants functional groups of them
    "ComputedRadiographyImageStorage",
    "DigitalXRayImageStorageForPresentation",
    "DigitalXRayImageStorageForProcessing",
    "SecondaryCaptureImageStorage",  # digitised films
)
_TEXTS = ("LO", "LT", "SH", "ST", "UC", "UT")  # a person's name keeps its bytes by itself
_PADDING = b" \0"
_GROUPS = range(0x0008, 0x0060)  # attributes of images; above are pixels and what is drawn on them


def read_source(source: str | PathLike[str] | BinaryIO | Dataset) -> Dataset:
    """The attributes of a radiograph without its pixels and without private attributes.

    Args:
        source: a file, its path or opened for reading, with or without file meta information; or
            a data set, which stays as it is.

    Raises:
        ImageError: it is not DICOM, an attribute that results need is absent, no valid UID, or of
            no radiograph; a ValueError, with reason `no_dicom_results`.
    """
    from pydicom.dataset import Dataset

    dataset = source if isinstance(source, Dataset) else _read(source)
    header = Dataset()
    for tag in sorted(tag for tag in dataset.keys() if tag.group in _GROUPS):  # noqa: SIM118
        if not tag.is_private:
            header.add(_element(dataset, tag))
    header.remove_private_tags()  # those within sequences
    _check(header)
    return header


def reference(header: Dataset) -> Dataset:
    """What highdicom needs to know of the image: identity, size, equipment; nobody's name.

    No Frame of Reference, though a file may have one: a projection has no position in it.
    """
    from pydicom.dataset import Dataset

    dataset = Dataset()
    for keyword in (*_IMAGE, *_EQUIPMENT):
        if keyword in header:
            dataset.add(header[keyword])
    for keyword in TYPE_2:
        setattr(dataset, keyword, "")
    return dataset


def carry_over(header: Dataset, result: Dataset) -> None:
    """Put patient, study, character set and a pixel's shape of the source into a result.

    Modules Patient, Clinical Trial Subject, General Study, Patient Study and Clinical Trial Study;
    what the standard wants at least empty (type 2) and the source lacks is empty.

    Args:
        result: an object of highdicom, changed in place.

    Source: PS3.3 C.7.1, C.7.2, C.7.6.3.1.7 (Pixel Aspect Ratio (0028,0034)) and C.12.1.1.2
    (Specific Character Set (0008,0005)).
    """
    from pydicom.dataset import Dataset
    from pydicom.uid import DigitalXRayImageStorageForPresentation

    known = Dataset()
    known.update(header)
    known.SOPClassUID = DigitalXRayImageStorageForPresentation  # has all of these modules
    result.copy_patient_and_study_information(known)
    if "SpecificCharacterSet" in header:
        result.add(header["SpecificCharacterSet"])
    elif "SpecificCharacterSet" in result:
        del result.SpecificCharacterSet
    height, width = _pixel_shape(header)
    if height != width and "Rows" in result:
        result.PixelAspectRatio = [height, width]


def writable(text: str, header: Dataset) -> str:
    """A text of ours as the source's character set can hold it; other characters are escaped.

    As in \\u6771. Without a Specific Character Set (0008,0005), and beside half-width katakana,
    only ASCII is sure. Source: PS3.3 C.12.1.1.2.
    """
    from pydicom.charset import convert_encodings, default_encoding

    with quiet():
        first = convert_encodings(header.get("SpecificCharacterSet"))[0]
    encoding = "ascii" if first in (default_encoding, "shift_jis") else first
    return text.encode(encoding, "backslashreplace").decode(encoding)


def _pixel_shape(header: Dataset) -> tuple[int, int]:
    """Height and width of a pixel as small whole numbers; 1 and 1 where the file does not tell."""
    shape = spacing_mm(header)[0] or numbers(header, "PixelAspectRatio")
    if len(shape) != 2 or min(shape) <= 0:
        return 1, 1
    ratio = Fraction(shape[0] / shape[1]).limit_denominator(1000)
    return (ratio.numerator, ratio.denominator) if ratio else (1, 1)


def _element(dataset: Dataset, tag: BaseTag) -> DataElement:
    """An element of its own, decoded; of a text that would not be encoded as it was, the bytes.

    pydicom would write question marks for half-width katakana beside Latin characters (ISO_IR 13)
    and for what is not of the character set, and escape sequences of its own.
    """
    from pydicom.config import IGNORE
    from pydicom.dataelem import DataElement

    stored = dataset.get_item(tag).value  # bytes, if no one has asked for it before
    element = deepcopy(dataset[tag])  # decoded by the data set's character set
    if element.VR not in _TEXTS or element.keyword in _EQUIPMENT or not isinstance(stored, bytes):
        return element
    if _encoded(element, dataset).rstrip(_PADDING) == stored.rstrip(_PADDING):
        return element
    return DataElement(tag, element.VR, stored, validation_mode=IGNORE)


def _encoded(element: DataElement, dataset: Dataset) -> bytes:
    """A text's bytes in the data set's character set."""
    from pydicom.charset import convert_encodings
    from pydicom.filebase import DicomBytesIO
    from pydicom.filewriter import write_text

    buffer = DicomBytesIO()
    with quiet():
        write_text(buffer, element, convert_encodings(dataset.get("SpecificCharacterSet")))
    return bytes(buffer.getvalue())


def _read(source: str | PathLike[str] | BinaryIO) -> Dataset:
    file = Path(source) if isinstance(source, (str, PathLike)) else source
    with opened(file, "the source") as stream:
        return read_header(stream, "the source")


def _check(header: Dataset) -> None:
    from pydicom.config import IGNORE
    from pydicom.uid import UID

    for keyword, tag in NEEDED.items():
        uid = UID(str(header.get(keyword) or ""), validation_mode=IGNORE)
        if not uid.is_valid:  # not quoted, for it may be anything
            fault = "is no valid UID" if uid else "is missing"
            raise ImageError(
                f"the source's {keyword} {tag} {fault}: no result can refer to it; export it again",
                NO_RESULTS,
            )
    sop_class = UID(header.SOPClassUID)
    if sop_class.keyword not in RADIOGRAPHS:
        raise ImageError(
            f"the source's SOPClassUID (0008,0016) is {sop_class.name}; results as DICOM are made "
            f"for {', '.join(RADIOGRAPHS)}",
            NO_RESULTS,
        )
    if integer(header, "Rows") is None or integer(header, "Columns") is None:
        raise ImageError(
            "the source has no Rows (0028,0010) or Columns (0028,0011): export it again", NO_RESULTS
        )
