"""Memory that is freed stays with the process, where the C library knows how."""

import platform
import subprocess
import sys

import pytest

COUNT_FAULTS = """
import resource, sys
import numpy as np
from multimix_monai.engines.memory import keep_freed_memory
assert keep_freed_memory(sys.argv[1] == "keep")
np.ones(2**24, dtype=np.uint8)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    np.ones(2**24, dtype=np.uint8)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(mode: str) -> int:
    """Pages that the system had to hand out for ten arrays of 16 MiB, one after the other."""
    command = [sys.executable, "-c", COUNT_FAULTS, mode]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


@pytest.mark.slow
@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="mallopt is glibc's")
def test_an_array_takes_the_pages_of_the_one_before() -> None:
    assert faults("keep") < faults("default") / 5
