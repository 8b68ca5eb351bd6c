"""One worker process: takes images one by one, makes their missing files, reports what it made."""

from __future__ import annotations

import errno
import os
import signal
import time
from dataclasses import dataclass, field
from functools import lru_cache
from multiprocessing.connection import Connection
from pathlib import Path

import cv2

from stl_backbones.copies.images import Encoding, read_image
from stl_backbones.copies.layouts import Source
from stl_backbones.copies.manifest import Row, digest
from stl_backbones.copies.workplace import replace_with
from stl_backbones.corruptions.engine import corrupt_all
from stl_backbones.corruptions.images import Image
from stl_backbones.corruptions.registration import import_modules
from stl_backbones.records import Cell, CorruptionEngine

_REPORT_EVERY = 0.25  # seconds; a message per file would keep the main process busy


@dataclass(frozen=True)
class Job:
    """What is the same for every image.

    Attributes:
        out: The copy's top.
        partial: Where files lie while they are written.
        engine: How images are corrupted.
        encoding: How files are encoded.
        crop: Whether images are cropped as ImageNet's.
        reader: Who reads them, see `read_image`.
        custom_imports: Modules to import first.
    """

    out: Path
    partial: Path
    engine: CorruptionEngine
    encoding: Encoding
    crop: bool
    reader: str
    custom_imports: tuple[str, ...]


@dataclass(frozen=True)
class Task:
    """One image and the cells that it lacks."""

    source: Source
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class Report:
    """What a worker reports.

    Attributes:
        rows: Files that are in place since the last report.
        failures: What went wrong with the image, one line each.
        finished: Whether the task is over.
        stop: An error that ends the run, such as a full disk.
    """

    rows: tuple[Row, ...] = ()
    failures: tuple[str, ...] = ()
    finished: bool = False
    stop: Exception | None = None


@dataclass
class _Outbox:
    """Collects rows so that reports are few."""

    connection: Connection
    rows: list[Row] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    reported: float = field(default_factory=time.monotonic)

    def add(self, row: Row) -> None:
        """Report a file, soon."""
        self.rows.append(row)
        if time.monotonic() - self.reported > _REPORT_EVERY:
            self.send()

    def send(self, *, finished: bool = False, stop: Exception | None = None) -> None:
        """Report now."""
        report = Report(tuple(self.rows), tuple(self.failures), finished, stop)
        self.connection.send(report)
        self.rows.clear()
        self.failures.clear()
        self.reported = time.monotonic()


def work(connection: Connection, job: Job) -> None:
    """Make files until the main process closes the connection, or dies.

    Args:
        connection: `Task` in, `Report` out.
        job: What is the same for every image.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the main process, which ends us
    cv2.setNumThreads(1)
    outbox = _Outbox(connection)
    try:
        try:
            import_modules(job.custom_imports)
        except (ValueError, KeyError, OSError) as error:
            outbox.send(stop=error)
            return
        while True:
            make_files(connection.recv(), job, outbox)
            outbox.send(finished=True)
    except _WriteError as error:
        outbox.send(stop=error.cause)
    except (EOFError, BrokenPipeError, ConnectionResetError):
        pass  # the main process is gone


class _WriteError(Exception):
    """A file could not be written, which ends the run, unlike one that could not be read."""

    def __init__(self, cause: OSError) -> None:
        super().__init__(cause)
        self.cause = cause


def make_files(task: Task, job: Job, outbox: _Outbox) -> None:
    """Make one image's missing files.

    Raises:
        _WriteError: If a file cannot be written.
    """
    try:
        image = read_image(task.source.path, crop=job.crop, reader=job.reader)
    except Exception as error:  # a decoder may raise anything on a hostile file
        outbox.failures.append(f"'{task.source.path}': {reason(error)}")
        return
    parent = os.getppid()
    for name in dict.fromkeys(cell.corruption for cell in task.cells):
        severities = [cell.severity for cell in task.cells if cell.corruption == name]
        try:
            _make_corruption(task.source, image, name, severities, job, outbox)
        except (_WriteError, BrokenPipeError, ConnectionResetError):
            raise
        except Exception as error:  # a corruption that the user registered may raise anything
            outbox.failures.append(f"'{task.source.path}', {name}: {reason(error)}")
        if os.getppid() != parent:
            raise EOFError  # the main process was killed


def _make_corruption(
    source: Source, image: Image, name: str, severities: list[float], job: Job, outbox: _Outbox
) -> None:
    for variant in corrupt_all(image, [name], severities, key=source.id, engine=job.engine):
        content = job.encoding.encode(variant.image)
        path = f"{name}/{variant.severity:g}/{source.target}"
        _write(job.out / path, content, out=job.out, partial=job.partial)
        height, width = variant.image.shape[:2]
        row = Row(
            source.id, name, variant.severity, path, len(content), width, height, digest(content)
        )
        outbox.add(row)


def _write(path: Path, content: bytes, *, out: Path, partial: Path) -> None:
    try:
        _check_inside(path.parent, out)
        try:
            replace_with(path, content, partial)
        except FileNotFoundError:  # the first file of its folder
            path.parent.mkdir(parents=True, exist_ok=True)
            replace_with(path, content, partial)
    except OSError as error:
        raise _WriteError(error) from error


@lru_cache(maxsize=1024)
def _check_inside(folder: Path, out: Path) -> None:
    if not folder.resolve().is_relative_to(out.resolve()):
        why = "a link in it leads out of the copy; nothing is written there"
        raise OSError(errno.EXDEV, why, str(folder))


def reason(error: BaseException) -> str:
    """An error in one line, with its type where the message alone would not say enough."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    text = " ".join(str(error).split())
    return text if isinstance(error, ValueError) and text else f"{type(error).__name__}: {text}"
