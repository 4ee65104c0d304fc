"""Path of data, what a compressed picture declares of itself, before any decoder believes it."""

from __future__ import annotations

import struct
from dataclasses import dataclass

MAX_TILES = 4096  # of JPEG 2000; each costs the decoder kilobytes, whatever it holds
END_OF_IMAGE = b"\xff\xd9"  # of JPEG, JPEG-LS and JPEG 2000 alike
_SEQUENTIAL = {0xC0, 0xC1, 0xC3, 0xF7}  # baseline, extended, lossless, JPEG-LS
_WITHOUT_LENGTH = {0x01, *range(0xD0, 0xD9)}


@dataclass(frozen=True)
class Codestream:
    """Size and precision that the header of a codestream declares.

    Attributes:
        rows, columns: in pixels.
        samples: components a pixel.
        precision: bits a sample.
    """

    rows: int
    columns: int
    samples: int
    precision: int


def jpeg_header(frame: bytes) -> Codestream:
    """The frame header of a sequential JPEG or JPEG-LS.

    Raises:
        ValueError: there is none, or it is of another process.

    Source: ISO 10918-1 B.2.2, ISO 14495-1 C.2.2; PS3.5 sections 8.2.1 and 8.2.3.
    """
    at = frame.find(b"\xff\xd8") + 2
    while at >= 2 and at + 4 <= len(frame) and frame[at] == 0xFF:
        marker = frame[at + 1]
        if marker in _SEQUENTIAL:
            precision, rows, columns, samples = struct.unpack_from(">BHHB", frame, at + 4)
            return Codestream(rows, columns, samples, precision)
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            raise ValueError(f"JPEG process of marker FF{marker:02X}, which DICOM has retired")
        fill = marker == 0xFF
        bare = marker in _WITHOUT_LENGTH
        at += 1 if fill else 2 if bare else 2 + struct.unpack_from(">H", frame, at + 2)[0]
    raise ValueError("no JPEG frame header")


def jpeg2000_header(frame: bytes) -> Codestream:
    """The SIZ segment of a JPEG 2000 or High-Throughput JPEG 2000 codestream.

    Raises:
        ValueError: there is none, or it asks for more than MAX_TILES tiles, or components differ.

    Source: ISO 15444-1 A.5.1; PS3.5 sections 8.2.4 and 8.2.14.
    """
    at = frame.find(b"\xff\x4f\xff\x51")
    if at < 0:
        raise ValueError("no JPEG 2000 header")
    width, height, left, top, tile_width, tile_height, tile_left, tile_top, samples = (
        struct.unpack_from(">8IH", frame, at + 8)
    )
    if not (tile_width and tile_height and left < width and top < height):
        raise ValueError("an empty JPEG 2000 grid")
    tiles = -(-(width - tile_left) // tile_width) * -(-(height - tile_top) // tile_height)
    if tiles > MAX_TILES:
        raise ValueError(f"{tiles} JPEG 2000 tiles, more than {MAX_TILES}")
    sizes = {struct.unpack_from("3B", frame, at + 42 + 3 * n) for n in range(min(samples, 4))}
    if len({(depth & 0x7F, across, down) for depth, across, down in sizes}) != 1:
        raise ValueError("JPEG 2000 components of different kinds")
    depth, across, down = sizes.pop()
    if (across, down) != (1, 1):
        raise ValueError("subsampled JPEG 2000 components")
    return Codestream(height - top, width - left, samples, (depth & 0x7F) + 1)
