"""One process at a time in a folder; what a dead process held is free.

The lock is the kernel's (``fcntl.lockf``): it goes with the process that holds it, however that
process ends, is not inherited by forked workers, and reaches over NFS. It also goes when the holder
closes any other handle of that file, so nothing else may open it. Where a file system has no locks,
a file that its holder rewrites every few seconds takes their place; a holder that has
stopped doing so counts as dead, whatever host it was on and whatever the clocks say.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import itertools
import os
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from stl_backbones.errors import InputError

LOCK_NAME = ".lock"
_SOMEBODY = "another process"
BEAT = 2.0  # seconds
_SILENCE = 5  # beats that a living holder never misses
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)


class HeldError(InputError):
    """Another process is at work in the folder."""


class _BusyError(Exception):
    """Somebody holds the lock; the message says who."""


@dataclass
class _Hold:
    """A lock of this process, to which the kernel would give it again, and take both with one."""

    shared: bool
    times: int = 1


_holds: dict[Path, _Hold] = {}


@contextlib.contextmanager
def locked(
    folder: str | Path,
    *,
    name: str = LOCK_NAME,
    shared: bool = False,
    wait: bool = False,
    advice: str = "choose another folder",
) -> Iterator[None]:
    """Hold a folder for writing.

    Args:
        folder: The folder; made if need be.
        name: The lock's file in it.
        shared: Hold it beside others who share it; needs a file system with locks.
        wait: Wait for the holder instead of refusing.
        advice: What else the user can do, for the error.

    Raises:
        HeldError: If another process holds it, naming that process.
        OSError: If nothing can be written there.
    """
    path = Path(folder).resolve() / name
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(_shared_again(path, shared) if path in _holds else
                                _taken(path, shared=shared, wait=wait))  # fmt: skip
        except _BusyError as holder:
            raise HeldError(
                f"'{folder}' is being written by {holder}; wait for it, or {advice}"
            ) from None
        yield


@contextlib.contextmanager
def _shared_again(path: Path, shared: bool) -> Iterator[None]:
    hold = _holds[path]
    if not (shared and hold.shared):
        raise _BusyError(_me())
    hold.times += 1
    try:
        yield
    finally:
        hold.times -= 1


@contextlib.contextmanager
def _taken(path: Path, *, shared: bool, wait: bool) -> Iterator[None]:
    how = (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if wait else fcntl.LOCK_NB)
    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a+", encoding="utf-8") as file, contextlib.ExitStack() as stack:
            try:
                fcntl.lockf(file, how)
            except OSError as error:
                if error.errno in _NO_LOCKS and not shared:
                    stack.enter_context(_beating(path.with_name(f"{path.name}-holder"), wait))
                elif error.errno in (errno.EACCES, errno.EAGAIN):
                    file.seek(0)
                    raise _BusyError(file.read().strip() or _SOMEBODY) from None
                else:
                    raise
            if not _is_current(path, file):
                continue
            with contextlib.suppress(OSError):  # a note for others; a full disk is told elsewhere
                file.truncate(0)
                file.write(_me())
                file.flush()
            _holds[path] = _Hold(shared)
            try:
                yield
            finally:
                del _holds[path]
            return


def _is_current(path: Path, file: IO[str]) -> bool:
    """Whether nobody removed the folder between opening the file and locking it."""
    try:
        return path.stat().st_ino == os.fstat(file.fileno()).st_ino
    except FileNotFoundError:
        return False


def _me() -> str:
    return f"process {os.getpid()} on {socket.gethostname()}"


@contextlib.contextmanager
def _beating(path: Path, wait: bool) -> Iterator[None]:
    """Hold a file that only one can create, and keep it fresh."""
    while True:
        try:
            file = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
            break
        except FileExistsError:
            try:
                _remove_dead(path)
            except _BusyError:
                if not wait:
                    raise
    is_over = threading.Event()

    def beat() -> None:
        for count in itertools.count():
            with contextlib.suppress(OSError):
                os.pwrite(file, f"{_me()}\n{count:12d}\n".encode(), 0)
            if is_over.wait(BEAT):
                return

    thread = threading.Thread(target=beat, name="lock", daemon=True)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()
        os.close(file)
        path.unlink(missing_ok=True)


def _remove_dead(path: Path) -> None:
    """Watch a holder's file; remove it if nothing changes.

    Raises:
        _BusyError: If its holder lives.
    """
    before = _read(path)
    deadline = time.monotonic() + _SILENCE * BEAT
    while time.monotonic() < deadline:
        time.sleep(BEAT / 10)
        now = _read(path)
        if now != before:  # what it holds now: at first it may have been empty still
            holder = (now or b"").split(b"\n")[0].decode(errors="replace")
            raise _BusyError(holder or _SOMEBODY)
    # Two may see it dead at once: only one of them can rename it.
    grave = path.with_name(f"{path.name}-{os.getpid()}")
    with contextlib.suppress(FileNotFoundError):
        path.rename(grave)
        if _read(grave) != before:  # somebody else was quicker, and holds it
            grave.rename(path)
            raise _BusyError(_SOMEBODY)
        grave.unlink()


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


__all__ = ["LOCK_NAME", "HeldError", "locked"]
