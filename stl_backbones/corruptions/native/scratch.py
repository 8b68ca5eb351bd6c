"""Work arrays that a thread uses again for the next image.

A fresh array of many megabytes costs a page fault per 4 KiB, at 2048x1024 more than the arithmetic.
Arrays from here never leave the function that asks for them.
"""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import numpy.typing as npt

_thread = threading.local()


def scratch(
    purpose: str, shape: tuple[int, ...], dtype: npt.DTypeLike = np.float64
) -> npt.NDArray[Any]:
    """An uninitialised array of this thread; the next call with the same purpose reuses it.

    Args:
        purpose: Arrays that are in use together need different ones.
        shape: Any.
        dtype: Any plain one.
    """
    held: dict[str, npt.NDArray[np.uint8]] = _thread.__dict__.setdefault("held", {})
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    buffer = held.get(purpose)
    if buffer is None or not size <= buffer.size <= 4 * size:
        # A buffer that is far too large is let go: one huge image must not cost memory for good.
        buffer = held[purpose] = np.empty(size, np.uint8)
    return buffer[:size].view(dtype).reshape(shape)


def release() -> None:
    """Free this thread's work arrays."""
    _thread.__dict__.pop("held", None)
