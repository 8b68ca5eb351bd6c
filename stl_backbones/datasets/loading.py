"""What loaders with worker processes need."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import cv2


@contextmanager
def without_opencv_threads() -> Iterator[None]:
    """Let workers inherit an OpenCV without threads: its pool hangs in a forked process."""
    before = cv2.getNumThreads()
    cv2.setNumThreads(0)
    try:
        yield
    finally:
        cv2.setNumThreads(before)


__all__ = ["without_opencv_threads"]
