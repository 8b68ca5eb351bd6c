"""One process at a time in a folder; what a dead process held is free.

The lock is the kernel's (``fcntl.lockf``): it goes with the process that holds it, however that
process ends, is not inherited by forked workers, and reaches over NFS. It also goes when the holder
closes any other handle of that file, so nothing else may open it. Where a file system has no locks,
a file that its holder rewrites every few seconds takes their place; a holder that has
stopped doing so is dead, whatever host it was on and whatever the clocks say.
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
from pathlib import Path
from typing import IO

from stl_backbones.errors import InputError

LOCK_NAME = ".lock"
BEAT = 2.0  # seconds
_SILENCE = 5  # beats that a living holder never misses
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)
_held: set[Path] = set()  # by this process, which the kernel would let in again


class HeldError(InputError):
    """Another process writes into the folder."""


@contextlib.contextmanager
def locked(folder: str | Path) -> Iterator[None]:
    """Hold a folder for writing.

    Args:
        folder: The folder; must exist.

    Raises:
        HeldError: If another process holds it, naming that process.
        OSError: If nothing can be written there.
    """
    path = Path(folder).resolve() / LOCK_NAME
    if path in _held:
        raise HeldError(_refusal(folder, _me()))
    with path.open("a+", encoding="utf-8") as file, contextlib.ExitStack() as stack:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in _NO_LOCKS:
                stack.enter_context(_beating(path.with_name(f"{LOCK_NAME}-holder"), folder))
            elif error.errno in (errno.EACCES, errno.EAGAIN):
                file.seek(0)
                holder = file.read().strip() or "another process"
                raise HeldError(_refusal(folder, holder)) from None
            else:
                raise
        _rewrite(file, _me())
        _held.add(path)
        try:
            yield
        finally:
            _held.discard(path)
            _rewrite(file, "")


def _me() -> str:
    return f"process {os.getpid()} on {socket.gethostname()}"


def _refusal(folder: str | Path, holder: str) -> str:
    return f"'{folder}' is being written by {holder}; wait for it, or choose another folder"


def _rewrite(file: IO[str], text: str) -> None:
    with contextlib.suppress(OSError):  # a note for others; a full disk must not end the work here
        file.truncate(0)
        file.write(text)
        file.flush()


@contextlib.contextmanager
def _beating(path: Path, folder: str | Path) -> Iterator[None]:
    """Hold a file that only one can create, and keep it fresh."""
    while True:
        try:
            file = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
            break
        except FileExistsError:
            _remove_dead(path, folder)
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


def _remove_dead(path: Path, folder: str | Path) -> None:
    """Watch a holder's file; remove it if nothing changes.

    Raises:
        HeldError: If its holder lives.
    """
    before = _read(path)
    deadline = time.monotonic() + _SILENCE * BEAT
    while time.monotonic() < deadline:
        time.sleep(BEAT / 10)
        if _read(path) != before:
            holder = (before or b"").split(b"\n")[0].decode(errors="replace")
            raise HeldError(_refusal(folder, holder or "another process"))
    # Two may see it dead at once: only one of them can rename it.
    grave = path.with_name(f"{path.name}-{os.getpid()}")
    with contextlib.suppress(FileNotFoundError):
        path.rename(grave)
        if _read(grave) != before:  # somebody else was quicker, and holds it
            grave.rename(path)
            raise HeldError(_refusal(folder, "another process"))
        grave.unlink()


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


__all__ = ["LOCK_NAME", "HeldError", "locked"]
