"""What loaders need: how workers start and end, without threads, and errors that name the image."""

from __future__ import annotations

import copy
import multiprocessing
import multiprocessing.connection
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from multiprocessing.context import BaseContext
from types import FrameType
from typing import Any

import cv2

from stl_backbones.corruptions.registration import import_modules, imported_modules
from stl_backbones.errors import InputError
from stl_backbones.lost_workers import report_lost

# A forked worker has the open data set and all that is registered; macOS's own libraries break in
# one. Stated, since a library may change Python's default.
START_METHOD = (
    "fork"
    if "fork" in multiprocessing.get_all_start_methods() and sys.platform != "darwin"
    else "spawn"
)
_LOOK = 1.0  # seconds
_NOT_DECODED = "failed to load image"  # mmcv's LoadImageFromFile


def worker_context(method: str) -> BaseContext:
    """How a DataLoader starts its workers, so that a killed one never blocks the main process.

    Args:
        method: ``'fork'``, ``'spawn'`` or ``'forkserver'``.

    Returns:
        For the loader's ``multiprocessing_context``.
    """
    _notice_lost_workers()
    context = copy.copy(multiprocessing.get_context(method))
    context.Event = partial(_Flag, context)  # type: ignore[method-assign, assignment]
    return context


class _Flag:
    """The part of an event that loaders use, without its lock.

    Workers ask before each batch whether the loader ends. Python's event takes a lock for that; a
    worker killed at this moment keeps it, and the main process would wait for it for ever. A pipe
    that holds a byte needs none.
    """

    def __init__(self, context: BaseContext) -> None:
        self._reader, self._writer = context.Pipe(duplex=False)

    def set(self) -> None:
        if not self.is_set():
            self._writer.send_bytes(b"1")

    def is_set(self) -> bool:
        return self._reader.poll()


def _notice_lost_workers() -> None:
    """Have torch's error on a lost worker go through `report_lost`; only the main thread can."""
    from torch.utils.data._utils.signal_handling import _set_SIGCHLD_handler  # heavy

    if threading.current_thread() is not threading.main_thread():
        return
    _set_SIGCHLD_handler()  # which it else does when workers have started
    raising = signal.getsignal(signal.SIGCHLD)
    if callable(raising) and not isinstance(raising, _Reporting):
        signal.signal(signal.SIGCHLD, _Reporting(raising))


class _Reporting:
    """A signal handler around torch's.

    Args:
        raising: torch's.
    """

    def __init__(self, raising: Callable[..., Any]) -> None:
        self.raising = raising

    def __call__(self, number: int, frame: FrameType | None) -> None:
        try:
            self.raising(number, frame)
        except RuntimeError as error:
            report_lost(error)


@contextmanager
def without_opencv_threads() -> Iterator[None]:
    """Let workers inherit an OpenCV without threads: its pool hangs in a forked process."""
    before = cv2.getNumThreads()
    cv2.setNumThreads(0)
    try:
        yield
    finally:
        cv2.setNumThreads(before)


def begin_worker(number: int) -> None:
    """Take OpenCV's threads from a DataLoader's worker; torch's it takes itself."""
    del number
    cv2.setNumThreads(0)
    end_with_parent()


def end_with_parent() -> None:
    """In a worker: end when the main process is gone, whatever the worker waits for.

    torch's own look at the main process is of no use to a worker whose results fill the pipe: its
    siblings hold the other end open, and it would write for ever.
    """
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_watch, args=(parent,), daemon=True).start()


def _watch(parent: Any) -> None:
    if os.getppid() == parent.pid:
        # Of forked siblings each holds the end of a pipe open that would show its end.
        while os.getppid() == parent.pid:
            time.sleep(_LOOK)
    else:  # started by a server of processes
        multiprocessing.connection.wait([parent.sentinel])
    os._exit(1)


class Carried:
    """Something for a worker that may be started anew: the user's modules are imported before it.

    Attributes:
        value: What a worker needs.
    """

    def __init__(self, value: Any) -> None:
        self.value = value

    def __reduce__(self) -> tuple[Any, ...]:
        return _opened, (_Imports(), self.value)  # unpickled in this order


class _Imports:
    """Unpickled, the import of what the user's modules are here."""

    def __reduce__(self) -> tuple[Any, ...]:
        return import_modules, (imported_modules(),)


def _opened(_: None, value: Any) -> Carried:
    return Carried(value)


@contextmanager
def naming_the_image(path: Callable[[], str]) -> Iterator[None]:
    """Say which image OpenMMLab's loading step could not decode.

    Args:
        path: Names the image, for messages.

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


__all__ = [
    "START_METHOD",
    "Carried",
    "begin_worker",
    "end_with_parent",
    "naming_the_image",
    "without_opencv_threads",
    "worker_context",
]
