"""``log.jsonl``: what a run did, one JSON object a line, for dashboards.

A run begins without a file, and gets one as soon as its folder is its own. Runs of one folder
follow each other in one file; what a killed one left of a line is cut off by the next.
"""

from __future__ import annotations

import collections
import contextlib
import datetime
import json
import logging
import math
import os
import platform
import time
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from stl_backbones import __version__
from stl_backbones.display import memory
from stl_backbones.errors import first_sentence

LOG = "log.jsonl"
SECONDS = 10.0  # between two events of progress
_MOST_WAITING = 1000  # events
Sink = Callable[[str, Mapping[str, Any]], None]
_LOGGER = logging.getLogger(__name__)


class RunLog:
    """The events of one run.

    Args:
        command: What was typed, or called.
    """

    def __init__(self, command: str) -> None:
        self.command = command
        self.began = _now()
        self.run = f"{self.began:%Y%m%dT%H%M%S}-{os.getpid()}"
        self.path: Path | None = None
        # Until there is a file: on the other processes of a job there is none.
        self.waiting = collections.deque[bytes](maxlen=_MOST_WAITING)
        self.sinks: list[Sink] = []
        self.progressed = -math.inf
        self.handlers: list[tuple[logging.Logger, logging.Handler]] = []

    def write(self, event: str, fields: Mapping[str, Any]) -> None:
        """Append an event."""
        line = self._line(event, fields, _now())
        if self.path is None:
            self.waiting.append(line)
            return
        _append(self.path, line)
        for sink in tuple(self.sinks):
            self._hand_on(sink, event, fields)

    def _hand_on(self, sink: Sink, event: str, fields: Mapping[str, Any]) -> None:
        try:
            sink(event, fields)
        except Exception as error:  # a server that is away ends no run of hours
            self.sinks.remove(sink)
            _LOGGER.warning("scores go to the log alone from now on: %s", first_sentence(error))

    def open(self, folder: Path, fields: Mapping[str, Any]) -> None:
        """Get a file, behind the runs that are there."""
        if self.path is not None:
            return
        path = folder / LOG
        with contextlib.suppress(FileNotFoundError), path.open("rb+") as file:
            file.truncate(file.read().rfind(b"\n") + 1)
        about = {
            "command": self.command, "version": __version__, "python": platform.python_version(),
            "host": platform.node(), "folder": str(Path.cwd()), **fields,
        }  # fmt: skip
        first = self._line("start", about, self.began)
        _append(path, first + b"".join(self.waiting))
        self.waiting.clear()
        self.path = path

    def end(self, exit_code: int | None, error: str = "") -> None:
        """Append the last event, once; a run without one was killed."""
        if self.path is not None:
            seconds = round((_now() - self.began).total_seconds(), 3)
            more = {"error": error} if error else {}
            self.write("end", {"exit_code": exit_code, "seconds": seconds, **more})
        self.path = None
        self.waiting.clear()

    def _line(self, event: str, fields: Mapping[str, Any], at: datetime.datetime) -> bytes:
        head = {"time": at.isoformat(timespec="milliseconds"), "run": self.run, "event": event}
        return json.dumps(_plain({**head, **fields}), allow_nan=False, default=str).encode() + b"\n"


_current: ContextVar[RunLog | None] = ContextVar("run_log", default=None)


@contextlib.contextmanager
def logged_run(command: str) -> Iterator[RunLog]:
    """Collect the events of a run, warnings of all loggers among them.

    An error ends it without an exit code, where `RunLog.end` was not called before.

    Args:
        command: What was typed, or called.
    """
    log = RunLog(command)
    token = _current.set(log)
    collect_warnings(logging.getLogger())
    try:
        yield log
        log.end(0)
    except BaseException as error:
        log.end(None, f"{type(error).__name__}: {first_sentence(error)}")
        raise
    finally:
        for logger, handler in log.handlers:
            logger.removeHandler(handler)
        _current.reset(token)


def collect_warnings(
    logger: logging.Logger, keep: Callable[[logging.LogRecord], bool] | None = None
) -> None:
    """Note in the log of the current run what a logger warns of.

    Args:
        logger: The root, of which others are children; or one without a parent, as mmengine's are.
        keep: Which records are noted; default: all.
    """
    log = _current.get()
    if log is not None and all(logger is not other for other, _ in log.handlers):
        handler = _Warnings(log, logger)
        if keep is not None:
            handler.addFilter(keep)
        log.handlers.append((logger, handler))
        logger.addHandler(handler)


def open_log(folder: Path, **fields: Any) -> None:
    """Begin the file of the current run, if there is such a run.

    Args:
        folder: The run's, which this process holds.
        **fields: What is measured with what.
    """
    log = _current.get()
    if log is not None:
        log.open(folder, fields)


def is_collecting() -> bool:
    """Whether there is a current run, with or without a file."""
    return _current.get() is not None


def is_logged() -> bool:
    """Whether the current run has a file, which is so on the main process of a job."""
    log = _current.get()
    return log is not None and log.path is not None


def record(event: str, **fields: Any) -> None:
    """Append an event to the log of the current run, if there is one."""
    log = _current.get()
    if log is not None:
        log.write(event, fields)


def record_progress(done: int, total: int, **fields: Any) -> None:
    """Append how far the run is: at most every ten seconds, and at the end."""
    log = _current.get()
    now = time.monotonic()
    if log is not None and (done >= total or now - log.progressed >= SECONDS):
        log.progressed = now
        log.write("progress", {"done": done, "total": total, **fields, **memory()})


def add_sink(sink: Sink) -> None:
    """Have the events that follow handed to somebody else as well."""
    log = _current.get()
    if log is not None:
        log.sinks.append(sink)


def read_log(path: str | Path) -> list[dict[str, Any]]:
    """The events of a ``log.jsonl``, in order; a line that is still being written is left out."""
    lines = Path(path).read_bytes().split(b"\n")[:-1]
    return [json.loads(line) for line in lines]


class _Warnings(logging.Handler):
    """Notes what loggers warn of; it is shown where it was before."""

    def __init__(self, log: RunLog, logger: logging.Logger) -> None:
        super().__init__(logging.WARNING)
        self.log, self.is_root = log, logger is logging.getLogger()

    def emit(self, record: logging.LogRecord) -> None:
        fields = {"level": record.levelname.lower(), "text": record.getMessage()}
        self.log.write("warning", fields)
        is_shown = not self.is_root or self._is_shown(record.name)
        if logging.lastResort is not None and not is_shown:
            logging.lastResort.handle(record)  # Python's own, where there is no other handler

    def _is_shown(self, name: str) -> bool:
        logger: logging.Logger | None = logging.getLogger(name)
        others: list[logging.Handler] = []
        while logger is not None:
            others += logger.handlers
            logger = logger.parent
        ours = [handler for handler in others if isinstance(handler, _Warnings)]
        return len(ours) < len(others) or ours[0] is not self  # of runs within runs one shows it


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.timezone.utc)


def _append(path: Path, lines: bytes) -> None:
    """Append whole lines or none; a disk that is full ends the run by its results, not by this."""
    with contextlib.suppress(OSError), path.open("ab", buffering=0) as file:
        end = file.seek(0, os.SEEK_END)
        if file.write(lines) != len(lines):
            file.truncate(end)


def _plain(value: Any) -> Any:
    """JSON has no NaN and no infinity: what is not known is null."""
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value.item() if hasattr(value, "item") else value


__all__ = [
    "LOG",
    "RunLog",
    "add_sink",
    "collect_warnings",
    "is_collecting",
    "is_logged",
    "logged_run",
    "open_log",
    "read_log",
    "record",
    "record_progress",
]
