"""Before the path of data begins: what a file is, by its first bytes."""

from __future__ import annotations

import struct

HEAD_BYTES = 132
_VRS = frozenset(b"AE AS CS DA DS IS LO LT OB OW PN SH ST TM UI UL UN US".split())


def starts_like_dicom(head: bytes) -> bool:
    """Whether the first HEAD_BYTES of a file are DICOM: by the prefix, or by a first element.

    Files without preamble and file meta information begin with an element of group 0008, or of
    0002, in one of three encodings; older ones with the length of the group.

    Source: PS3.10 section 7.1, PS3.5 section 7.1.
    """
    if head[128:132] == b"DICM":
        return True
    if len(head) < 8:
        return False
    for order in "<>":
        group, _, vr = struct.unpack_from(f"{order}HH2s", head)
        if group in (0x0002, 0x0008) and vr in _VRS:
            return True
    group, element, length = struct.unpack_from("<HHI", head)
    return bool(group == 0x0008 and element <= 0x0100 and length <= 256 and length % 2 == 0)
