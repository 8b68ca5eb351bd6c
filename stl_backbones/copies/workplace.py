"""The folder beside a growing copy: locks, journals and files that are not whole yet.

While a copy is being made it holds a folder ``.generation``::

    lock                     shared by the shards, exclusive for a run without --shard
    header.json              how the copy is made; every shard must agree
    journal-<shard>.jsonl    one line per finished file, appended after the file is in place
    partial/<shard>/         files while they are written; renamed into the copy when whole

A file counts as finished when a journal names it and it has the size that the journal says. Images
are not synced to disk one by one, which would take longer than making them: after a power cut a
file may be empty, does not have its size, and is made again. Before the manifest appears all is
synced. Then ``.generation`` is removed.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import IO

from stl_backbones.copies.manifest import (
    HEADER_NAME,
    ROWS_NAME,
    ManifestHeader,
    Row,
    read_header_file,
)
from stl_backbones.copies.plan import Shard
from stl_backbones.errors import InputError
from stl_backbones.image_files import is_clutter
from stl_backbones.results.lock import HeldError, locked

FOLDER = ".generation"
_JOURNALS, _RUN_HEADER = "journal-*.jsonl", "header.json"


class Workplace:
    """The folder ``.generation`` of one copy, held by this process as one shard.

    Args:
        out: The copy's top.
        shard: Which share this process makes.
    """

    def __init__(self, out: Path, shard: Shard) -> None:
        self.out, self.shard = out, shard
        self.folder = out / FOLDER
        self.journal_path = self.folder / f"journal-{shard.number}-of-{shard.count}.jsonl"
        self.partial = self.folder / "partial" / f"{shard.number}-of-{shard.count}"

    @contextlib.contextmanager
    def held(self, header: ManifestHeader) -> Iterator[None]:
        """Hold the copy for making: one process per shard, one header for all.

        Raises:
            ValueError: If the folder holds something else, a copy made otherwise, or is held.
            OSError: If it cannot be written.
        """
        self.refuse_other(header)
        with contextlib.ExitStack() as stack:
            is_shared = self.shard.count > 1
            stack.enter_context(self._locked(shared=is_shared))
            if is_shared:
                stack.enter_context(self._locked(name=f"{self.journal_path.stem}.lock"))
            self._agree(header)
            # Left by a killed run: the lock says that whoever wrote there is gone.
            dead = self.partial if is_shared else self.partial.parent
            shutil.rmtree(dead, ignore_errors=True)
            self.partial.mkdir(parents=True)
            try:
                yield
            finally:
                shutil.rmtree(self.partial, ignore_errors=True)

    def refuse_other(self, header: ManifestHeader) -> None:
        """Refuse a folder that holds anything but a copy made the same way; writes nothing.

        Raises:
            ValueError: If it does, naming what differs.
        """
        _check_ours(self.out)
        for path in (self.folder, *self.folder.rglob("*")):
            if path.is_symlink():
                raise InputError(f"'{path}' is a link; nothing is written through it, remove it")
        for there in (self.folder / _RUN_HEADER, self.out / HEADER_NAME):
            if there.is_file():
                _check_same(read_header_file(there), header, self.out)

    def _agree(self, header: ManifestHeader) -> None:
        with self._locked(name="header.lock", wait=True):
            self.refuse_other(header)
            if not (self.folder / _RUN_HEADER).is_file():
                replace_with(
                    self.folder / _RUN_HEADER, header.to_json(), self.folder, is_synced=True
                )

    def rows(self) -> Iterator[Row]:
        """Yield the rows of all journals and of a former manifest; torn lines are passed over."""
        for path in (self.out / ROWS_NAME, *sorted(self.folder.glob(_JOURNALS))):
            with contextlib.suppress(FileNotFoundError), path.open("rb") as lines:
                for line in lines:
                    with contextlib.suppress(ValueError):
                        yield Row.from_line(line)

    def open_journal(self) -> IO[str]:
        """Open this shard's journal for appending, behind its last whole line."""
        with contextlib.suppress(FileNotFoundError), self.journal_path.open("rb+") as file:
            content = file.read()
            file.truncate(content.rfind(b"\n") + 1)
        return self.journal_path.open("a", encoding="utf-8")

    def reopen(self) -> None:
        """Take a finished copy's manifest away, since files are missing or are to be added."""
        with contextlib.suppress(FileNotFoundError):
            (self.out / HEADER_NAME).unlink()

    @contextlib.contextmanager
    def alone(self) -> Iterator[bool]:
        """Try to be the only process at this copy, after `held`; returns whether it is."""
        try:
            with self._locked():
                yield True
        except HeldError:
            yield False

    def remove(self) -> None:
        """Remove the folder; the copy is finished."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def wait_for_others(self) -> None:
        """Wait until no other shard is at work."""
        with contextlib.suppress(OSError), self._locked(wait=True):
            pass

    def _locked(self, *, name: str = "lock", **how: bool) -> AbstractContextManager[None]:
        advice = "give every process its own --shard i/n"
        return locked(self.folder, name=name, advice=advice, **how)


_counter = itertools.count()


def replace_with(path: Path, content: bytes, partial: Path, *, is_synced: bool = False) -> None:
    """Write a file that appears whole or not at all.

    Args:
        path: The file; its folder exists.
        content: Its bytes.
        partial: A folder of this process on the same file system.
        is_synced: Also after a power cut; takes as long as the disk does.

    Raises:
        OSError: If it cannot be written; nothing half-written stays behind.
    """
    unfinished = partial / f"{os.getpid()}-{next(_counter)}.partial"
    try:
        with unfinished.open("wb") as file:
            file.write(content)
            if is_synced:
                file.flush()
                os.fsync(file.fileno())
        unfinished.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            unfinished.unlink(missing_ok=True)
        raise OSError(error.errno, error.strerror, str(path)) from error


def _check_ours(out: Path) -> None:
    if out.exists() and not out.is_dir():
        raise InputError(f"output '{out}' is a file; expected a folder, or none yet")
    if not out.exists() or (out / HEADER_NAME).is_file():
        return
    # In this order: another shard makes the folder before anything else.
    if not all(is_clutter(path.name) for path in out.iterdir()) and not (out / FOLDER).is_dir():
        raise InputError(
            f"output '{out}' holds files that were not made by this tool; choose an empty folder"
        )


def _check_same(there: ManifestHeader, now: ManifestHeader, out: Path) -> None:
    differences = there.differences(now)
    if differences:
        listed = "; ".join(f"{name}: there {a}, now {b}" for name, (a, b) in differences.items())
        raise InputError(
            f"'{out}' holds a copy made otherwise ({listed}); choose another output, or delete it"
        )
