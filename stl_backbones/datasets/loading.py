"""What loaders need: workers without threads, and errors that name the image."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import cv2

from stl_backbones.errors import InputError

_NOT_DECODED = "failed to load image"  # mmcv's LoadImageFromFile


@contextmanager
def without_opencv_threads() -> Iterator[None]:
    """Let workers inherit an OpenCV without threads: its pool hangs in a forked process."""
    before = cv2.getNumThreads()
    cv2.setNumThreads(0)
    try:
        yield
    finally:
        cv2.setNumThreads(before)


@contextmanager
def naming_the_image(path: Callable[[], str]) -> Iterator[None]:
    """Say which image OpenMMLab's loading step could not decode.

    Args:
        path: Tells the image, if need be.

    Raises:
        ValueError: Instead of mmcv's AssertionError, or OpenCV's own error.
    """
    try:
        yield
    except AssertionError as error:
        if not str(error).startswith(_NOT_DECODED):
            raise
        reason = "is damaged: it cannot be decoded; mend it or take it out"
        raise InputError(f"'{path()}' {reason}") from error
    except cv2.error as error:
        raise InputError(f"'{path()}' cannot be used: {error.err or error}") from error


__all__ = ["naming_the_image", "without_opencv_threads"]
