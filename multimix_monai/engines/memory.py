"""Engines: freed memory stays with the process, since the next step asks for the same again."""

from __future__ import annotations

import ctypes

# Parameters of mallopt, as glibc's malloc.h numbers them.
M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4
_DEFAULTS = {M_TRIM_THRESHOLD: 128 * 1024, M_MMAP_MAX: 65536}
_KEEP = {M_TRIM_THRESHOLD: 2**31 - 1, M_MMAP_MAX: 0}


def keep_freed_memory(keep: bool = True) -> bool:
    """Ask the C library not to give freed memory back to the system between training steps.

    Each step frees and asks again for buffers of many megabytes, and a fresh page costs more than
    the arithmetic on it: a step takes about 0.9 of the time (tests/benchmarks/test_memory.py).
    The process keeps its peak; the numbers are the same.

    Args:
        keep: False goes back to the library's own settings.

    Returns:
        Whether it was done: with glibc, and nowhere else.

    Source: mallopt(3).
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # musl, macOS; Windows has no CDLL(None)
        return False
    return all(mallopt(name, value) == 1 for name, value in (_KEEP if keep else _DEFAULTS).items())
