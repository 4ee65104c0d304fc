"""Broken files of every encoding: read, or refused with a reason, in bounded time and memory."""

from __future__ import annotations

import re
import resource
import time
from collections import Counter
from contextlib import suppress
from io import BytesIO

import numpy as np
import pydicom
import pytest
from pydicom.datadict import dictionary_VR, tag_for_keyword

from multimix_monai.data.images import ImageError, Radiograph
from multimix_monai.dicom import read_dicom

FILES = 2000
SECONDS_A_FILE = 20
MIB_IN_ALL = 600
HEADER = 900  # bytes: file meta information and most attributes
VRS = b"AE AS CS DA DS DT FD FL IS LO LT OB OW OF PN SH SL SQ SS ST TM UI UL UN US UT".split()
NUMBERS = [0, 1, 2, 7, 0x7F, 0x80, 0xFF, 0x100, 0x7FFF, 0x8000, 0xFFFF]
KEYWORDS = re.findall(
    r"\w+",
    """
    Rows Columns SamplesPerPixel PhotometricInterpretation BitsAllocated BitsStored HighBit
    PixelRepresentation PlanarConfiguration PixelPaddingValue PixelPaddingRangeLimit PixelSpacing
    WindowCenter WindowWidth VOILUTFunction RescaleSlope RescaleIntercept PresentationLUTShape
    NumberOfFrames VOILUTSequence ModalityLUTSequence PatientOrientation ImagerPixelSpacing
    ViewPosition BodyPartExamined Modality SOPClassUID AnatomicRegionSequence ViewCodeSequence
    RedPaletteColorLookupTableDescriptor RedPaletteColorLookupTableData PixelData
    """,
)
VALUES = [
    *(None, "", 0, 1, 3, 12, 13, 16, 255, 4095, 65535, -1, 1e308, -1e-300, "nan", "inf", "A\\B"),
    *([], ["1", "2"], [1, 2, 3], [0, 0, 0], b"", b"\0", b"\xff" * 99, "\u00e9", "RGB"),
    *("YBR_FULL_422", "PALETTE COLOR", "MONOCHROME1", "SIGMOID", "LINEAR_EXACT"),
]


def broken(file: bytes, rng: np.random.Generator) -> bytes:
    """The file with one to four mutations."""
    data = bytearray(file)
    for _ in range(rng.integers(1, 5)):
        mutate = MUTATIONS[rng.integers(len(MUTATIONS))]
        mutate(data, rng)
    return bytes(data)


def edited(file: bytes, rng: np.random.Generator) -> bytes:
    """The file with one to three attributes set to what they should not be, where it can be."""
    dataset = pydicom.dcmread(BytesIO(file), force=True)
    for _ in range(rng.integers(1, 4)):
        keyword, value = KEYWORDS[rng.integers(len(KEYWORDS))], VALUES[rng.integers(len(VALUES))]
        with suppress(Exception):  # pydicom refuses some
            dataset[keyword] = pydicom.DataElement(
                keyword, dictionary_VR(tag_for_keyword(keyword)), value
            )
    buffer = BytesIO()
    try:
        pydicom.dcmwrite(buffer, dataset)
    except Exception:  # what cannot be written cannot arrive
        return broken(file, rng)
    return buffer.getvalue()


def flip_in_header(data: bytearray, rng: np.random.Generator) -> None:
    data[rng.integers(min(len(data), HEADER))] = rng.integers(256)


def flip_anywhere(data: bytearray, rng: np.random.Generator) -> None:
    data[rng.integers(len(data))] ^= 1 << int(rng.integers(8))


def truncate(data: bytearray, rng: np.random.Generator) -> None:
    del data[rng.integers(1, len(data)) :]


def cut_out(data: bytearray, rng: np.random.Generator) -> None:
    at = rng.integers(len(data))
    if len(data) > 300:
        del data[at : at + rng.integers(1, 200)]


def repeat(data: bytearray, rng: np.random.Generator) -> None:
    at, size = rng.integers(len(data)), rng.integers(1, 200)
    data[at:at] = data[at : at + size]


def change_attribute(data: bytearray, rng: np.random.Generator) -> None:
    """Another element number, VR, length or value, of the Image Pixel and LUT modules."""
    group = [b"\x28\x00", b"\x00\x28"][rng.integers(2)]
    places = [at for at in range(len(data) - 12) if data[at : at + 2] == group]
    if not places:
        return
    at = places[rng.integers(len(places))]
    if rng.random() < 0.1:
        data[at + 4 : at + 6] = VRS[rng.integers(len(VRS))]
    else:
        place = at + [2, 6, 8, 8, 8, 8, 8, 8][rng.integers(8)]
        data[place : place + 2] = NUMBERS[rng.integers(11)].to_bytes(2, "little")


def change_word(data: bytearray, rng: np.random.Generator) -> None:
    at = rng.integers(min(len(data), HEADER))
    data[at : at + 2] = NUMBERS[rng.integers(11)].to_bytes(2, "little")


MUTATIONS = (
    *(flip_in_header, flip_anywhere, flip_anywhere, truncate, cut_out, repeat, change_word),
    *(change_attribute,) * 5,
)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # pydicom on what `edited` writes
def test_every_broken_file_is_read_or_refused_with_a_reason(tiny_encodings) -> None:
    """Seeded, so that a failure can be repeated: its number and encoding are in the message."""
    rng = np.random.default_rng(0)
    seeds = list(tiny_encodings.items())
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    outcomes: Counter[str] = Counter()
    for number in range(FILES):
        name, encoding = seeds[number % len(seeds)]
        file = (edited if number % 4 == 0 else broken)(encoding.file, rng)
        started = time.process_time()
        outcomes[outcome(file, f"{number} of {name}")] += 1
        assert time.process_time() - started < SECONDS_A_FILE, f"{number} of {name}"
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    assert grown < MIB_IN_ALL
    assert outcomes["read"] > FILES / 10 and len(outcomes) > 5, outcomes


def outcome(file: bytes, name: str) -> str:
    """What becomes of a file: "read", or the reason of its refusal."""
    try:
        radiograph = read_dicom(BytesIO(file), name=name)
    except ImageError as error:
        assert name in str(error) and error.reason.islower()
        return error.reason
    assert isinstance(radiograph, Radiograph)
    assert radiograph.pixels.dtype == np.float32 and radiograph.pixels.ndim == 2
    assert 0 <= radiograph.pixels.min() < radiograph.pixels.max() <= 1
    return "read"
