"""One drawn radiograph in every encoding: what is read must be the same picture each time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence
from pydicom.uid import UID

TOP = 4095  # 12 bits
IMPLICIT, EXPLICIT, BIG = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2"
DEFLATED, RLE, JPEG = "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.5", "1.2.840.10008.1.2.4."


@dataclass(frozen=True)
class Encoding:
    """A DICOM file, and by how much of the range [0, 1] its picture may differ."""

    file: bytes
    tolerance: float = 1e-6


@pytest.fixture(scope="session")
def picture() -> np.ndarray:
    """A drawn radiograph of odd rows and columns in 12 bits, uint16."""
    from multimix_monai.data.synthetic import draw_radiograph

    pixels = draw_radiograph(seed=3, pneumonia=True, size=(193, 169)).pixels
    return np.rint(pixels * TOP).astype(np.uint16)


@pytest.fixture(scope="session")
def dx_file() -> Callable[..., bytes]:
    """The bytes of a DX file: `dx_file(stored, syntax, frame=..., **attributes)`."""
    return dx


@pytest.fixture(scope="session")
def encodings(picture: np.ndarray) -> dict[str, Encoding]:
    """The picture, by the name of its encoding."""
    return encoded(picture)


@pytest.fixture(scope="session")
def tiny_encodings(picture: np.ndarray) -> dict[str, Encoding]:
    """The same with a few hundred pixels."""
    return encoded(np.ascontiguousarray(picture[::8, ::8]))


def encoded(picture: np.ndarray) -> dict[str, Encoding]:
    found = dict(uncompressed(picture)) | dict(compressed(picture))
    found |= dict(bits(picture)) | dict(grey_levels(picture)) | dict(colours(picture))
    return {k: v if isinstance(v, Encoding) else Encoding(v) for k, v in found.items()}


def dx(
    stored: np.ndarray,
    syntax: str = EXPLICIT,
    *,
    frame: bytes | None = None,
    fragments: int = 1,
    **attributes: Any,
) -> bytes:
    """A DX file of stored values (H, W) or (H, W, 3), or of a codestream of them."""
    order = ">" if syntax == BIG else "<"
    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.1.1", "1.2.3.4"
    dataset.Modality, dataset.BodyPartExamined, dataset.ViewPosition = "DX", "CHEST", "PA"
    dataset.PatientName, dataset.PatientOrientation = "SYNTHETIC^CASE", ["L", "F"]
    dataset.Rows, dataset.Columns = stored.shape[:2]
    dataset.SamplesPerPixel = 1 if stored.ndim == 2 else 3
    dataset.PhotometricInterpretation = "MONOCHROME2" if stored.ndim == 2 else "RGB"
    dataset.BitsAllocated = stored.dtype.itemsize * 8
    dataset.BitsStored = 12 if stored.dtype.itemsize == 2 else dataset.BitsAllocated
    dataset.HighBit = dataset.BitsStored - 1
    dataset.PixelRepresentation = int(stored.dtype.kind == "i")
    if stored.ndim == 3:
        dataset.PlanarConfiguration = 0
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    if frame is None:
        data = stored.astype(stored.dtype.newbyteorder(order)).tobytes()
        dataset.add_new("PixelData", "OW", data + b"\0" * (len(data) % 2))
    else:
        dataset.add_new("PixelData", "OB", encapsulate([frame], fragments_per_frame=fragments))
        dataset["PixelData"].is_undefined_length = True
    return written(dataset, syntax)


def written(dataset: Dataset, syntax: str) -> bytes:
    import pydicom

    meta = FileMetaDataset()
    meta.FileMetaInformationGroupLength = 0  # set by pydicom on writing
    meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    meta.TransferSyntaxUID = UID(syntax)
    meta.ImplementationClassUID = UID("1.2.3")
    encoding = {"is_implicit_VR": syntax == IMPLICIT, "is_little_endian": syntax != BIG}
    file = FileDataset("", dataset, preamble=bytes(128), file_meta=meta, **encoding)
    buffer = BytesIO()
    pydicom.dcmwrite(buffer, file)
    return buffer.getvalue()


def without_meta(file: bytes) -> bytes:
    """From the first element after the file meta information on."""
    return file[144 + int.from_bytes(file[140:144], "little") :]


def uncompressed(p: np.ndarray):
    yield "implicit little endian", dx(p, IMPLICIT)
    yield "explicit little endian", dx(p, EXPLICIT)
    yield "explicit big endian", dx(p, BIG)
    yield "deflated", dx(p, DEFLATED)
    yield "no preamble", dx(p)[132:]
    yield "no file meta, implicit", without_meta(dx(p, IMPLICIT))
    yield "no file meta, explicit", without_meta(dx(p, EXPLICIT))
    yield "no file meta, big endian", without_meta(dx(p, BIG))


def compressed(p: np.ndarray):
    import imagecodecs as codecs

    yield "RLE", dx(p, RLE, frame=run_lengths(p))
    lossless = {"lossless": True, "bitspersample": 12}
    for process, predictor in (("57", 4), ("70", 1)):
        frame = codecs.jpeg8_encode(p, predictor=predictor, **lossless)
        yield f"JPEG lossless {process}", dx(p, JPEG + process, frame=frame)
    frame = codecs.jpeg8_encode(p, level=95, bitspersample=12)
    yield "JPEG extended, 12 bits", Encoding(dx(p, JPEG + "51", frame=frame), 12 / TOP)
    small = np.rint(p / TOP * 255).astype(np.uint8)
    frame = codecs.jpeg8_encode(small, level=95)
    yield "JPEG baseline", Encoding(dx(small, JPEG + "50", frame=frame), 8 / 255)
    yield "JPEG-LS", dx(p, JPEG + "80", frame=codecs.jpegls_encode(p))
    frame = codecs.jpegls_encode(p, level=3)
    yield "JPEG-LS near lossless", Encoding(dx(p, JPEG + "81", frame=frame), 3.01 / TOP)
    frame = codecs.jpeg2k_encode(p, codecformat="j2k", level=0, reversible=True, bitspersample=12)
    yield "JPEG 2000 lossless", dx(p, JPEG + "90", frame=frame)
    yield "JPEG 2000 in four fragments", dx(p, JPEG + "90", frame=frame, fragments=4)
    frame = codecs.jpeg2k_encode(p, codecformat="j2k", level=60, bitspersample=12)
    yield "JPEG 2000", Encoding(dx(p, JPEG + "91", frame=frame), 40 / TOP)
    if hasattr(codecs, "HTJ2K") and codecs.HTJ2K.available:
        frame = codecs.htj2k_encode(p)
        for syntax in ("201", "202"):
            high = dx(p, JPEG + syntax, frame=frame)
            yield f"High-Throughput JPEG 2000 lossless {syntax}", high


def bits(p: np.ndarray):
    yield "16 bits stored", dx(p, BitsStored=16, HighBit=15)
    yield "high bit 15 of 12 stored", dx(p << 4, HighBit=15)
    yield "high bit 13 of 12 stored, overlays around", dx((p << 2) | 0xC003, HighBit=13)
    yield "overlay above 12 stored", dx(p | 0xF000)
    yield "32 bits", dx(p.astype(np.uint32), BitsStored=32, HighBit=31)
    small = np.rint(p / TOP * 255).astype(np.uint8)
    yield "8 bits", Encoding(dx(small), 0.8 / 255 + 1e-6)
    yield "8 bits in words, big endian", Encoding(dx(swapped(small), BIG), 0.8 / 255 + 1e-6)
    signed = (p.astype(np.int16) - 2048).astype(np.int16)
    above = {"RescaleSlope": "1", "RescaleIntercept": "2048"}
    yield "signed", dx(signed, **above)
    yield "signed, sign not extended", dx(signed & 0x0FFF, PixelRepresentation=1, **above)
    yield "signed, RLE", dx(signed, RLE, frame=run_lengths(signed), **above)


def grey_levels(p: np.ndarray):
    inverted = {"PhotometricInterpretation": "MONOCHROME1"}
    yield "MONOCHROME1", dx(TOP - p, **inverted)
    yield "MONOCHROME1 and INVERSE", dx(TOP - p, PresentationLUTShape="INVERSE", **inverted)
    yield "MONOCHROME2 and INVERSE", dx(TOP - p, PresentationLUTShape="INVERSE")
    yield "rescale", dx(p, RescaleSlope="2", RescaleIntercept="-1000")
    yield "rescale with a negative slope", dx(TOP - p, RescaleSlope="-1", RescaleIntercept="4095")
    table = lut(np.arange(TOP, -1, -1))
    yield "modality LUT", dx(TOP - p, ModalityLUTSequence=table)
    yield "VOI LUT and window", dx(TOP - p, VOILUTSequence=table, WindowCenter="1", WindowWidth="9")
    window = {"WindowCenter": ["2048", "9"], "WindowWidth": ["4096", "2"]}
    yield "two windows", dx(p, **window)
    exact = {"WindowCenter": "2047.5", "WindowWidth": "4095", "VOILUTFunction": "LINEAR_EXACT"}
    yield "exact window", dx(p, **exact)
    yield "degenerate window", dx(p, WindowCenter="2000", WindowWidth="0")
    yield "window beside the picture", dx(p, WindowCenter="60000", WindowWidth="10")
    empty = {"WindowCenter": "", "WindowWidth": "", "RescaleSlope": "", "RescaleIntercept": ""}
    yield "empty strings", dx(p, **empty)
    yield "VOI LUT in big endian", dx(TOP - p, BIG, VOILUTSequence=lut(np.arange(TOP, -1, -1), ">"))


def colours(p: np.ndarray):
    import imagecodecs as codecs

    small = np.rint(p / TOP * 255).astype(np.uint8)
    rgb = np.repeat(small[..., None], 3, axis=2)
    ybr = np.stack([small, np.full_like(small, 128), np.full_like(small, 128)], axis=2)
    half = 0.8 / 255 + 1e-6
    yield "RGB", Encoding(dx(rgb), half)
    planes = np.ascontiguousarray(np.moveaxis(rgb, -1, 0)).reshape(rgb.shape)
    yield "RGB in planes", Encoding(dx(planes, PlanarConfiguration=1), half)
    yield "RGB, RLE", Encoding(dx(rgb, RLE, frame=run_lengths(rgb)), half)
    yield "YBR_FULL", Encoding(dx(ybr, PhotometricInterpretation="YBR_FULL"), half)
    for subsampling in ("444", "422"):
        frame = codecs.jpeg8_encode(rgb, level=95, subsampling=subsampling)
        name = {"PhotometricInterpretation": f"YBR_FULL{'_422' * (subsampling == '422')}"}
        yield (
            f"JPEG, YBR {subsampling}",
            Encoding(dx(rgb, JPEG + "50", frame=frame, **name), 8 / 255),
        )
    frame = codecs.jpeg2k_encode(rgb, codecformat="j2k", level=0, reversible=True, mct=True)
    file = dx(rgb, JPEG + "90", frame=frame, PhotometricInterpretation="YBR_RCT")
    yield "JPEG 2000, YBR_RCT", Encoding(file, half)
    yield "palette", Encoding(dx(255 - small, **palette(np.arange(255, -1, -1))), half)


def run_lengths(stored: np.ndarray) -> bytes:
    """RLE Lossless by literal runs alone: one segment for each byte of each sample."""
    samples = np.moveaxis(np.atleast_3d(stored), -1, 0)
    planes = [
        sample.astype(stored.dtype.newbyteorder(">")).tobytes()[byte :: stored.dtype.itemsize]
        for sample in samples
        for byte in range(stored.dtype.itemsize)
    ]
    segments = []
    for plane in planes:
        runs = (plane[at : at + 128] for at in range(0, len(plane), 128))
        segment = b"".join(bytes([len(run) - 1]) + run for run in runs)
        segments.append(segment + b"\0" * (len(segment) % 2))
    starts = np.cumsum([64, *map(len, segments)])[: len(segments)]
    header = np.zeros(16, "<u4")
    header[0], header[1 : 1 + len(segments)] = len(segments), starts
    return header.tobytes() + b"".join(segments)


def swapped(small: np.ndarray) -> np.ndarray:
    """8 bit pixels swapped in pairs, as words of a big-endian file hold them."""
    flat = np.append(small.ravel(), np.zeros(small.size % 2, np.uint8))
    return flat.view(np.uint16).byteswap().view(np.uint8)[: small.size].reshape(small.shape)


def lut(entries: np.ndarray, order: str = "<") -> Sequence:
    item = Dataset()
    item.add_new("LUTDescriptor", "US", [len(entries), 0, 12])
    item.add_new("LUTData", "OW", entries.astype(f"{order}u2").tobytes())
    return Sequence([item])


def palette(entries: np.ndarray) -> dict[str, Any]:
    attributes: dict[str, Any] = {"PhotometricInterpretation": "PALETTE COLOR"}
    for colour in ("Red", "Green", "Blue"):
        name = f"{colour}PaletteColorLookupTable"
        attributes[f"{name}Descriptor"] = [len(entries), 0, 8]
        attributes[f"{name}Data"] = entries.astype(np.uint8).tobytes()
    return attributes
