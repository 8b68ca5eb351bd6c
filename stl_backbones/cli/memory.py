"""How memory is given to networks on the CPU: their layers want the same again at once."""

from __future__ import annotations

import ctypes
import os

_GLIBC = "CS_GNU_LIBC_VERSION"
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # malloc.h
_LARGEST = 2**30  # bytes; glibc before 2.35 takes at most half a heap, 32 MiB
_HUGE_PAGES = "THP_MEM_ALLOC_ENABLE"  # of torch, for tensors of 2 MiB and more
_USERS_OWN = ("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_", "GLIBC_TUNABLES", "LD_PRELOAD")


def set_up_memory() -> bool:
    """Have this process keep what it frees for its next allocation, on Linux with glibc.

    Else each large tensor is mapped anew, and each of its pages is a page fault: up to half of the
    time of a network on the CPU (benchmarks/allocation.py). Large tensors also get huge pages where
    the system gives them to who asks; the peak of memory grows by an eighth at most in what was
    measured. Call it before torch is imported.

    Returns:
        Whether it does; not where the user has set the allocator up.
    """
    names = getattr(os, "confstr_names", {})
    if _GLIBC not in names or not (os.confstr(_GLIBC) or "").startswith("glibc"):
        return False
    if any(name in os.environ for name in _USERS_OWN):
        return False
    os.environ.setdefault(_HUGE_PAGES, "1")
    set_option = ctypes.CDLL(None).mallopt
    taken = set_option(_MMAP_THRESHOLD, _LARGEST) or set_option(_MMAP_THRESHOLD, 2**25)
    return bool(taken and set_option(_TRIM_THRESHOLD, _LARGEST))


__all__ = ["set_up_memory"]
