"""Path of data, from a file or stream to a DICOM data set, whatever its name."""

from __future__ import annotations

import logging
import warnings
import zlib
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from io import SEEK_END, BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from multimix_monai.data.images import ImageError
from multimix_monai.data.sniff import HEAD_BYTES, starts_like_dicom

if TYPE_CHECKING:
    from pydicom.dataset import FileDataset

MAX_BYTES = 256 * 2**20  # more than the largest radiograph, uncompressed
MAX_READS = 200_000  # of pydicom, three an element: a radiograph has hundreds of elements
NOT_DICOM = "{} is not a readable DICOM file: export it again"
DEFLATED = b"1.2.840.10008.1.2.1.99"
_META_BYTES = 2**16  # more than any file meta information
_INFLATED = b"1.2.840.10008.1.2.1\0\0\0"  # explicit little endian in the room of DEFLATED


@contextmanager
def opened(source: str | Path | BinaryIO, name: str) -> Iterator[BinaryIO]:
    """A seekable stream of a path or of a stream, which may be one of a zip archive's.

    Raises:
        ImageError: it cannot be opened, does not begin like DICOM, or is larger than MAX_BYTES.
    """
    try:
        with _stream(source) as stream:
            size = stream.seek(0, SEEK_END)
            stream.seek(0)
            _refuse_size(size, name)
            if not starts_like_dicom(stream.read(HEAD_BYTES)):
                raise ImageError(NOT_DICOM.format(name), "not_dicom")
            yield stream
    except OSError as error:
        raise ImageError(
            f"{name} cannot be read ({error.strerror or error}): check path and permissions",
            "locked",
        ) from error


def read_header(stream: BinaryIO, name: str) -> FileDataset:
    """All attributes before the pixel data.

    Raises:
        ImageError: it is not DICOM.
        ImportError: pydicom is not installed.
    """
    header = _read(stream, name, stop_before_pixels=True)
    if not len(header) and not len(header.file_meta):
        raise ImageError(NOT_DICOM.format(name), "not_dicom")
    return header


def read_whole(stream: BinaryIO, name: str) -> FileDataset:
    """The whole data set; raises as `read_header`."""
    return _read(stream, name, stop_before_pixels=False)


@contextmanager
def quiet() -> Iterator[None]:
    """Keeps pydicom's warnings and log to itself: they repeat values, which may name a patient.

    A level of pydicom's logger other than its default stays.
    """
    log = logging.getLogger("pydicom")
    if log.level in (logging.NOTSET, logging.WARNING):
        log.setLevel(logging.CRITICAL)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="pydicom")
        yield


def _read(stream: BinaryIO, name: str, *, stop_before_pixels: bool) -> FileDataset:
    try:
        import pydicom
        from pydicom.uid import UID
    except ImportError as error:
        raise ImportError(
            f'{name} is DICOM, for which pydicom is needed: pip install "multimix-monai[dicom]"'
        ) from error
    try:
        stream.seek(0)
        plain = _inflated(stream, name)
        counted = CountedReads(plain)
        dataset = pydicom.dcmread(counted, stop_before_pixels=stop_before_pixels, force=True)
        if plain is not stream:
            dataset.file_meta.TransferSyntaxUID = UID(DEFLATED.decode())
        return dataset
    except ImageError:
        raise
    except Exception as error:  # pydicom raises many kinds on broken files
        raise ImageError(NOT_DICOM.format(name), "not_dicom") from error


class CountedReads:
    """A stream that can be read MAX_READS times: a file of millions of elements has no end.

    Raises:
        ValueError: on the read after those.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self.seek, self.tell, self._read = stream.seek, stream.tell, stream.read
        self.left = MAX_READS

    def read(self, size: int = -1) -> bytes:
        """As of any stream."""
        self.left -= 1
        if self.left < 0:
            raise ValueError(f"more than {MAX_READS} reads")
        return self._read(size)


def _inflated(stream: BinaryIO, name: str) -> BinaryIO:
    """The stream itself, or, if its data set is deflated, one that is not, of bounded size.

    Deflated Explicit VR Little Endian: all that follows the file meta information is one deflate
    stream. pydicom would inflate it to any size.

    Source: PS3.5 section A.5.
    """
    head = stream.read(_META_BYTES)
    stream.seek(0)
    if DEFLATED not in head:
        return stream
    from pydicom.filereader import read_dataset, read_preamble

    read_preamble(stream, force=True)
    meta = read_dataset(stream, False, True, stop_when=lambda tag, vr, length: tag >> 16 != 2)
    if meta.get("TransferSyntaxUID") != DEFLATED.decode():
        stream.seek(0)
        return stream
    start = stream.tell()
    stream.seek(0)
    plain = stream.read(start).replace(DEFLATED, _INFLATED, 1)
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    data = inflater.decompress(stream.read(), MAX_BYTES)
    _refuse_size(len(data) + len(inflater.unconsumed_tail), name)
    if not inflater.eof:
        raise ImageError(f"{name} ends too early: copy or export it again", "truncated")
    return BytesIO(plain + data)


def _stream(source: str | Path | BinaryIO) -> AbstractContextManager[BinaryIO]:
    """A seekable stream; one that was given stays open."""
    if isinstance(source, (str, Path)):
        return open(source, "rb")
    return nullcontext(source if source.seekable() else BytesIO(source.read(MAX_BYTES + 1)))


def _refuse_size(size: int, name: str) -> None:
    if size > MAX_BYTES:
        raise ImageError(
            f"{name} has {size / 2**20:.0f} MiB or more, a single radiograph at most "
            f"{MAX_BYTES / 2**20:.0f}: export it as one frame",
            "too_large",
        )
