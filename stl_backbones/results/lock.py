"""One process at a time in a folder, or several that share it; what a dead process held is free.

A holder has two locks. The kernel's (``fcntl.lockf``) goes with the process, however that ends, and
is not inherited by forked workers. It also goes when the holder closes any other handle of that
file, so nothing else may open it. But a file system that several hosts share may have no such
locks, or keep them on each host alone, as Lustre does by default. So the holder also has a file
of its own beside it, which it rewrites every few seconds: a holder that has stopped doing so
counts as dead, whatever host it was on and whatever the clocks say.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import glob
import itertools
import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, NamedTuple

from stl_backbones.errors import InputError

LOCK_NAME = ".lock"
_SOMEBODY = "another process"
BEAT = 2.0  # seconds
_SILENCE = 15  # beats that a living holder never misses
_ATTEMPTS = 10
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)
_ENTERING = "about to share it"  # holds the holder's file for a moment, without beats


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
        shared: Hold it beside others who share it.
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
    for attempt in itertools.count():
        path.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.ExitStack() as stack:
            try:
                file = stack.enter_context(path.open("a+", encoding="utf-8"))
                has_kernels = _kernel_lock(file, shared=shared, wait=wait)
                if not _is_current(path, file):
                    continue
                # Holding the kernel's lock alone, one knows that its other holders here are dead.
                there = _host() if has_kernels and not shared else None
                stack.enter_context(_beating(path, shared=shared, wait=wait, dead_host=there))
            except FileNotFoundError:  # one who had finished removed the folder meanwhile
                if attempt == _ATTEMPTS:
                    raise
                continue
            with contextlib.suppress(
                OSError
            ):  # a note for others; a full disk is reported elsewhere
                file.truncate(0)
                file.write(_me())
                file.flush()
            _holds[path] = _Hold(shared)
            try:
                yield
            finally:
                del _holds[path]
            return


def _kernel_lock(file: IO[str], *, shared: bool, wait: bool) -> bool:
    """Take the kernel's lock, until the file is closed; returns whether there is one.

    Raises:
        _BusyError: If another process holds it.
    """
    how = (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if wait else fcntl.LOCK_NB)
    try:
        fcntl.lockf(file, how)
    except OSError as error:
        if error.errno in _NO_LOCKS:
            return False
        if error.errno in (errno.EACCES, errno.EAGAIN):
            file.seek(0)
            raise _BusyError(file.read().strip() or _SOMEBODY) from None
        raise
    return True


def _is_current(path: Path, file: IO[str]) -> bool:
    """Whether nobody removed the folder between opening the file and locking it."""
    try:
        return path.stat().st_ino == os.fstat(file.fileno()).st_ino
    except FileNotFoundError:
        return False


def _me() -> str:
    return f"process {os.getpid()} on {socket.gethostname()}"


def _host() -> str:
    """What knows of each other's kernel locks: processes since this boot of this machine."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return socket.gethostname()


@contextlib.contextmanager
def _beating(path: Path, *, shared: bool, wait: bool, dead_host: str | None) -> Iterator[None]:
    """Keep a file of one's own fresh, once no living holder's is in the way.

    Only one process can create ``<lock>-holder``. Who holds the folder alone keeps it; who shares
    the folder takes it for the moment in which it creates a file ``<lock>-sharer-...``.
    """
    gate = path.with_name(f"{path.name}-holder")
    if not shared:
        with _created(gate, wait=wait, dead_host=dead_host) as file, _kept_fresh(file):
            sharers = path.parent.glob(f"{glob.escape(path.name)}-sharer-*")
            _wait_to_go(list(sharers), wait=wait, dead_host=dead_host)
            yield
        return
    own = path.with_name(f"{path.name}-sharer-{uuid.uuid4().hex}")
    with contextlib.ExitStack() as stack:
        with _created(gate, state=_ENTERING, wait=wait, dead_host=dead_host):
            file = stack.enter_context(_created(own, wait=wait, dead_host=None))
        stack.enter_context(_kept_fresh(file))
        yield


@contextlib.contextmanager
def _kept_fresh(file: int) -> Iterator[None]:
    is_over = threading.Event()

    def beat() -> None:
        for count in itertools.count(1):
            if is_over.wait(BEAT):
                return
            with contextlib.suppress(OSError):
                _write(file, f"{count:12d}")

    thread = threading.Thread(target=beat, name="lock", daemon=True)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


@contextlib.contextmanager
def _created(path: Path, *, state: str = "", wait: bool, dead_host: str | None) -> Iterator[int]:
    """Hold a file that only one can create; a dead holder's is removed first.

    Raises:
        _BusyError: If its holder lives.
    """
    while True:
        try:
            # Synchronous: another host must see every beat when it is written.
            file = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_SYNC, 0o644)
            break
        except FileExistsError:
            _wait_to_go([path], wait=wait, dead_host=dead_host)
    try:
        with contextlib.suppress(OSError):  # a full disk is reported elsewhere
            _write(file, state)
        yield file
    finally:
        with contextlib.suppress(FileNotFoundError):
            if path.stat().st_ino == os.fstat(file).st_ino:  # nobody held this process for dead
                path.unlink()
        os.close(file)


def _write(file: int, state: str) -> None:
    os.pwrite(file, f"{_me()}\n{_host()}\n{state}\n".encode(), 0)


def _wait_to_go(paths: Sequence[Path], *, wait: bool, dead_host: str | None) -> None:
    """Watch holders' files until they are gone; remove those in which nothing changes.

    Raises:
        _BusyError: If a holder lives, and is not to be waited for.
    """
    while True:
        try:
            for path, beat in _silent(paths, dead_host).items():
                _remove(path, beat)
            return
        except _BusyError:
            if not wait:
                raise


def _silent(paths: Sequence[Path], dead_host: str | None) -> dict[Path, _Beat]:
    """Those of holders' files whose holders are dead, after watching them.

    Raises:
        _BusyError: If a holder lives.
    """
    found = {path: beat for path in paths if (beat := _read(path)) is not None}
    watched = {path: beat for path, beat in found.items() if beat.host != dead_host}
    deadline = time.monotonic() + _SILENCE * BEAT
    while watched and time.monotonic() < deadline:
        time.sleep(BEAT / 10)
        for path, before in list(watched.items()):
            now = _read(path)
            if now is None:
                del watched[path], found[path]
            elif now != before and now.state != _ENTERING:  # at first it may have been empty still
                raise _BusyError(now.name or _SOMEBODY)
    return found


def _remove(path: Path, beat: _Beat) -> None:
    # Two may see it dead at once: only one of them can rename it.
    grave = path.with_name(f"{path.name}-{uuid.uuid4().hex}")
    with contextlib.suppress(FileNotFoundError):
        path.rename(grave)
        if _read(grave) != beat:  # somebody else was quicker, and holds it
            grave.rename(path)
            raise _BusyError(_SOMEBODY)
        grave.unlink()


class _Beat(NamedTuple):
    """What a holder's file says: who, on which host, and how often it was rewritten."""

    name: str
    host: str
    state: str


def _read(path: Path) -> _Beat | None:
    try:
        lines = path.read_bytes().decode(errors="replace").split("\n")
    except FileNotFoundError:
        return None
    return _Beat(*(*lines, "", "", "")[:3])


__all__ = ["LOCK_NAME", "HeldError", "locked"]
