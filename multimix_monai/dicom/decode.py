"""Path of data, from Pixel Data to stored values: whatever the transfer syntax."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from multimix_monai.data.images import ImageError
from multimix_monai.dicom.attributes import value
from multimix_monai.dicom.codestream import (
    END_OF_IMAGE,
    Codestream,
    jpeg2000_header,
    jpeg_header,
)
from multimix_monai.dicom.layout import Layout

if TYPE_CHECKING:
    from pydicom.dataset import FileDataset

Stored = NDArray[np.integer[Any]]

_NATIVE = {
    "1.2.840.10008.1.2": "<",
    "1.2.840.10008.1.2.1": "<",
    "1.2.840.10008.1.2.1.99": "<",
    "1.2.840.10008.1.2.2": ">",
}
_RLE = "1.2.840.10008.1.2.5"
_JPEG = "1.2.840.10008.1.2.4."  # and what follows:
_CODECS: dict[str, tuple[str, Callable[[bytes], Codestream]]] = {
    **dict.fromkeys(("50", "51", "57", "70"), ("jpeg8", jpeg_header)),
    **dict.fromkeys(("80", "81"), ("jpegls", jpeg_header)),
    **dict.fromkeys(("90", "91", "201", "202", "203"), ("jpeg2k", jpeg2000_header)),
}
_ITEM_TAG = b"\xfe\xff\x00\xe0"


@dataclass(frozen=True)
class Decoded:
    """Stored values of a picture.

    Attributes:
        values: whole numbers (H, W), or (H, W, 3) of a colour picture.
        bits: how many of them count, the sign included.
        step: what was done.
    """

    values: Stored
    bits: int
    step: str


def decode(dataset: FileDataset, layout: Layout, name: str) -> Decoded:
    """Pixel Data (7FE0,0010) to stored values, in whatever transfer syntax it is.

    Raises:
        ImageError: with reason no_decoder, undecodable or truncated; names the syntax.

    Source: PS3.5 section 8 and annex A.
    """
    uid, syntax = transfer_syntax(dataset)
    try:
        data = value(dataset, "PixelData")
        if not isinstance(data, bytes):
            raise ValueError("no bytes")
        if uid in _NATIVE:
            order = _NATIVE[uid]
            swapped = order == ">" and dataset["PixelData"].VR == "OW"
            values, bits = native(data, layout, order=order, swapped=swapped), layout.bits_stored
        else:
            values, bits = _compressed(fragments(data), uid, layout)
    except ImportError as error:
        raise ImageError(
            f"{name} is compressed ({syntax}), and no decoder is installed: pip install "
            '"multimix-monai[dicom]", or export it uncompressed',
            "no_decoder",
        ) from error
    except NotImplementedError as error:
        raise ImageError(
            f"{name} is in a transfer syntax without a decoder ({syntax}): pip install "
            '"multimix-monai[dicom]" brings those for radiographs; export it uncompressed',
            "no_decoder",
        ) from error
    except EOFError as error:
        raise ImageError(
            f"{name}: pixels cannot be decoded, {error}: copy or export it again", "truncated"
        ) from error
    except Exception as error:  # each decoder has its own
        raise ImageError(
            f"{name}: pixels cannot be decoded ({syntax}; {' '.join(str(error).split())[:150]}): "
            "the file is damaged; copy it again, or export it uncompressed",
            "undecodable",
        ) from error
    return Decoded(values, bits, f"decoded ({syntax})")


def can_decode(uid: str) -> bool:
    """Whether a transfer syntax is known and its decoder installed."""
    known = uid == _RLE or (uid.startswith(_JPEG) and uid.removeprefix(_JPEG) in _CODECS)
    return uid in _NATIVE or (known and find_spec("imagecodecs") is not None)


def transfer_syntax(dataset: FileDataset) -> tuple[str, str]:
    """Transfer Syntax UID (0002,0010), or what the data set was found to be, and its name."""
    from pydicom.uid import UID, ExplicitVRBigEndian, ImplicitVRLittleEndian

    meta = getattr(dataset, "file_meta", None)
    uid = value(meta, "TransferSyntaxUID") if meta is not None else None
    if not uid:
        found = getattr(dataset, "original_encoding", None)  # pydicom 3
        little = found[1] if found else getattr(dataset, "read_little_endian", True)
        uid = ImplicitVRLittleEndian if little else ExplicitVRBigEndian
    uid = UID(str(uid))
    return str(uid), uid.name


def native(data: bytes, layout: Layout, *, order: str, swapped: bool) -> Stored:
    """Uncompressed pixels.

    Args:
        data: rows after rows; YBR_FULL_422 as Y Y Cb Cr for each two pixels.
        layout: of the picture.
        order: of the bytes, "<" or ">".
        swapped: pixels of 8 bits were swapped in pairs, as words (OW in big endian).

    Returns:
        (H, W) or (H, W, 3); of YBR_FULL_422 the colour repeated for both pixels.

    Raises:
        EOFError: fewer bytes than rows, columns and bits need.
        ValueError: they are compressed.

    Source: PS3.5 sections 8.1.1, 8.2 and annexes A.1 to A.3, PS3.3 C.7.6.3.1.2 and C.7.6.3.1.3.
    """
    subsampled = layout.photometric == "YBR_FULL_422"
    size = layout.rows * layout.columns * (2 if subsampled else layout.samples)
    if swapped and layout.bits_allocated == 8:
        data = np.frombuffer(data[: len(data) // 2 * 2], "<u2").byteswap().tobytes()
    dtype = np.dtype(f"{order}u{layout.bits_allocated // 8}")
    if len(data) < size * dtype.itemsize and data[:4] == _ITEM_TAG:
        raise ValueError("compressed, but Transfer Syntax UID (0002,0010) is absent or denies it")
    if len(data) < size * dtype.itemsize:
        raise EOFError(f"{len(data)} of {size * dtype.itemsize} bytes are there")
    words = np.frombuffer(data, dtype, size).astype(dtype.newbyteorder("="), copy=False)
    if subsampled:
        pairs = words.reshape(-1, 4)
        words = pairs[:, (0, 2, 3, 1, 2, 3)].reshape(-1)
    return significant_bits(
        _shaped(words, layout, planar=layout.planar),
        bits=layout.bits_stored,
        high_bit=layout.high_bit,
        signed=layout.signed,
    )


def significant_bits(words: Stored, *, bits: int, high_bit: int, signed: bool) -> Stored:
    """The value within each word: without what lies above High Bit or below the bits stored.

    Other bits may hold anything, such as the overlays of old files.

    Args:
        words: unsigned, any shape.
        bits: Bits Stored (0028,0101), the sign included.
        high_bit: (0028,0102), the place of the highest of them.
        signed: two's complement, Pixel Representation (0028,0103) 1.

    Source: PS3.5 section 8.1.1.
    """
    width = words.dtype.itemsize * 8
    if signed:
        words = words.view(f"i{words.dtype.itemsize}")
    if bits == width:
        return words
    return (words << (width - 1 - high_bit)) >> (width - bits)


def fragments(data: bytes) -> bytes:
    """The one frame of encapsulated Pixel Data: all fragments after the Basic Offset Table.

    Raises:
        ValueError: there are none.

    Source: PS3.5 section A.4.
    """
    found, at = [], 0
    while at + 8 <= len(data):
        tag, length = struct.unpack_from("<4sI", data, at)
        if tag != _ITEM_TAG:
            break
        found.append(data[at + 8 : at + 8 + length])
        at += 8 + length
    if len(found) < 2:
        raise ValueError("no fragments")
    return b"".join(found[1:])


def _compressed(frame: bytes, uid: str, layout: Layout) -> tuple[Stored, int]:
    """A frame's values and how many bits of them count.

    A codestream without its end is refused here: libjpeg would fill what is missing with grey, and
    CharLS would look for it for many seconds.
    """
    if uid == _RLE:
        return run_lengths(frame, layout), layout.bits_stored
    known = _CODECS.get(uid.removeprefix(_JPEG)) if uid.startswith(_JPEG) else None
    if known is None:
        raise NotImplementedError(uid)
    codec, read_header = known
    header = read_header(frame)
    if END_OF_IMAGE not in frame[-16:]:
        raise EOFError("the codestream has no end")
    declared = (header.rows, header.columns, header.samples)
    if declared != (layout.rows, layout.columns, layout.samples):
        raise ValueError(
            f"rows, columns and samples are {declared} in the codestream, "
            f"{(layout.rows, layout.columns, layout.samples)} in the attributes"
        )
    return codestream(frame, header.precision, layout, codec=codec), header.precision


def run_lengths(frame: bytes, layout: Layout) -> Stored:
    """RLE Lossless, of bounded size. Source: PS3.5 annex G and section A.4.2."""
    import imagecodecs

    dtype = np.dtype(f"<u{layout.bits_allocated // 8}")
    size = layout.rows * layout.columns * layout.samples
    data = imagecodecs.dicomrle_decode(frame, dtype, out=size * dtype.itemsize)
    return significant_bits(
        _shaped(np.frombuffer(data, dtype, size), layout, planar=True),
        bits=layout.bits_stored,
        high_bit=layout.high_bit,
        signed=layout.signed,
    )


def codestream(frame: bytes, precision: int, layout: Layout, *, codec: str) -> Stored:
    """JPEG, JPEG-LS or JPEG 2000; the codestream's precision outranks Bits Stored.

    The signedness is that of Pixel Representation: of the three only JPEG 2000 knows any, and
    often says it wrongly. Colours stay as encoded, since grey is grey in each.

    Source: PS3.5 sections 8.2.1, 8.2.3, 8.2.4 and 8.2.14.
    """
    import imagecodecs

    # The same colour space in and out means no conversion.
    colours = {"colorspace": "RGB", "outcolorspace": "RGB"} if layout.samples == 3 else {}
    options = colours if codec == "jpeg8" else {}
    values = np.asarray(getattr(imagecodecs, f"{codec}_decode")(frame, **options))
    if values.dtype.kind not in "iu":
        raise ValueError(f"values of type {values.dtype}")
    return significant_bits(
        _shaped(values.view(f"u{values.dtype.itemsize}"), layout, planar=False),
        bits=precision,
        high_bit=precision - 1,
        signed=layout.signed,
    )


def _shaped(words: Stored, layout: Layout, *, planar: bool) -> Stored:
    """(H, W) or (H, W, 3); planar: colour planes follow each other."""
    shape = (layout.rows, layout.columns)
    if layout.samples == 1:
        return words.reshape(shape)
    if planar and layout.photometric != "YBR_FULL_422":
        return np.moveaxis(words.reshape(3, *shape), 0, -1)
    return words.reshape(*shape, 3)
