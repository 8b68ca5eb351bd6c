"""glibc keeps what a tool frees, and what the user has set stays."""

import os
import subprocess
import sys

import pytest

CODE = """
import resource
from stl_backbones.cli.memory import set_up_memory
kept = set_up_memory()
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(3):
        b"x" * 2**26  # more than glibc's own limit, 32 MiB
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
faults()
print(kept, faults())
"""


@pytest.mark.skipif("CS_GNU_LIBC_VERSION" not in os.confstr_names, reason="needs glibc")
@pytest.mark.parametrize("own", [{}, {"GLIBC_TUNABLES": "glibc.malloc.check=0"}])
def test_freed_memory_is_taken_again_without_a_page_fault(own):
    done = subprocess.run(
        [sys.executable, "-c", CODE], env={**os.environ, **own}, capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    kept, faults = done.stdout.split()
    assert kept == str(not own)
    assert (int(faults) < 100) == (kept == "True")
