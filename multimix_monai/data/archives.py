"""Path of data, from an archive to bytes: members of a zip are read in memory, one at a time.

A member goes by a path through its archive, `exam.zip/a/b.dcm`. Nothing is ever unpacked, so that
no name in an archive becomes a place on the disk.
"""

from __future__ import annotations

import lzma
import os
import zipfile
import zlib
from functools import lru_cache
from pathlib import Path, PurePosixPath

from multimix_monai.data.images import ImageError

# A name may stand for several files: `a.png` also for `../a.png`, and a zip may repeat it.
Members = dict[str, list[zipfile.ZipInfo]]
ARCHIVE_SUFFIX = ".zip"
MAX_BYTES = 2**29  # decompressed; the largest detectors give 100 MB
MAX_RATIO = 200  # radiographs shrink to a half, a black picture to a 1000th
FREE_BYTES = 2**22  # so small a member may shrink as it likes
_ZIP_ERRORS = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    OSError,
    ValueError,
    RuntimeError,  # a password is needed
    NotImplementedError,  # of a compression such as deflate64
)


def is_archive(path: Path) -> bool:
    """Whether a path is that of a zip archive on the disk, by its name."""
    return path.suffix.lower() == ARCHIVE_SUFFIX and path.is_file()


def archive_of(path: Path) -> Path | None:
    """The archive through which a path leads; None for a place on the disk."""
    return next((parent for parent in path.parents if is_archive(parent)), None)


def members_of(archive: Path) -> list[str]:
    """Names of an archive's files, sorted, as they stand in paths through it.

    Raises:
        ImageError: it is no zip archive, or cut short.
    """
    return sorted(_open(archive)[1])


def read_member(archive: Path, name: str, *, size: int = -1) -> bytes:
    """One file of an archive, decompressed in memory, or its first `size` bytes.

    Raises:
        ImageError: there is no such member, or more than one, or it is encrypted, an archive
            itself, damaged, or larger than any radiograph.
    """
    path = archive / name
    opened, members = _open(archive)
    found = members.get(name, [])
    if not found:
        raise ImageError(f"{path} does not exist: the archive has no such file", "missing")
    if len(found) > 1:
        raise ImageError(
            f"{path} stands for {len(found)} files of the archive: give each a name of its own",
            "same_name",
        )
    (member,) = found
    _refuse_unsafe(member, path)
    try:
        with opened.open(member) as file:
            return file.read(size)
    except _ZIP_ERRORS as error:
        raise ImageError(
            f"{path} cannot be read from its archive ({error}): copy or export the archive again",
            "archive_damaged",
        ) from error


def _refuse_unsafe(member: zipfile.ZipInfo, path: Path) -> None:
    if member.flag_bits & 0x1:
        raise ImageError(f"{path} is encrypted: unpack the archive with its password", "encrypted")
    if path.suffix.lower() == ARCHIVE_SUFFIX:
        raise ImageError(f"{path} is an archive in an archive: unpack the outer", "nested_archive")
    ratio = member.file_size / max(member.compress_size, 1)
    is_bomb = ratio > MAX_RATIO and member.file_size > FREE_BYTES
    if member.file_size > MAX_BYTES or is_bomb:
        raise ImageError(
            f"{path} has {member.file_size} bytes, {ratio:.0f} times its compressed size: no "
            f"radiograph has more than {MAX_BYTES}, or shrinks {MAX_RATIO} times; leave it out",
            "too_large",
        )


def _open(archive: Path) -> tuple[zipfile.ZipFile, Members]:
    """An archive and its files by name.

    Raises:
        ImageError: it is no zip archive, or cut short.
    """
    try:
        status = archive.stat()
        # A forked process must not move the read position of its parent, so it opens its own.
        return _opened(archive, status.st_mtime_ns, status.st_size, os.getpid())
    except _ZIP_ERRORS as error:
        raise ImageError(
            f"{archive} cannot be opened as a zip archive ({error}): copy or export it again",
            "archive_damaged",
        ) from error


@lru_cache(maxsize=2)  # a table of contents has to be read only once for all of its members
def _opened(
    archive: Path, mtime_ns: int, size: int, process: int
) -> tuple[zipfile.ZipFile, Members]:
    opened = zipfile.ZipFile(archive)
    members: Members = {}
    for member in opened.infolist():
        if not member.is_dir():
            members.setdefault(_name(member.filename), []).append(member)
    return opened, members


def _name(name: str) -> str:
    """A member's name as a path below its archive has it: no root, and nothing that goes up."""
    return "/".join(part for part in PurePosixPath(name).parts if part not in ("/", "//", ".."))
