"""Processes that make the records of predictions while the model goes on."""

from __future__ import annotations

import contextlib
import gc
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from multiprocessing.connection import Connection
from multiprocessing.pool import ExceptionWithTraceback  # type: ignore[attr-defined]
from queue import SimpleQueue
from typing import Any, NamedTuple, TypeVar

from stl_backbones.datasets import loading

Item = TypeVar("Item")
Record = TypeVar("Record")

_WAITING = 2  # items of each process that are not finished, at most
_LOOK = 1.0  # seconds after which a process looks whether the main one is still there


class _Worker(NamedTuple):
    process: Any
    connection: Connection


class RecordPool:
    """Calls a function in other processes, a few items ahead of who wants the results.

    One thread of this process waits for each of them. Forked processes share the memory of this
    one, a GPU's apart: the function must use neither the model's device nor torch.

    Args:
        make: Item -> record; picklable, for systems that start processes anew.
        workers: Processes; 0 calls the function here.
    """

    def __init__(self, make: Callable[[Any], Any], *, workers: int) -> None:
        self._make = make
        self._error: Exception | None = None
        self._workers: list[_Worker] = []
        for _ in range(workers):
            self._workers.append(self._start())
        self._idle: SimpleQueue[_Worker] = SimpleQueue()
        for worker in self._workers:
            self._idle.put(worker)
        self._threads = ThreadPoolExecutor(workers) if workers else None
        self._room = threading.BoundedSemaphore(max(_WAITING * workers, 1))

    def __enter__(self) -> RecordPool:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def submit(self, get_item: Callable[[], Any]) -> Future[Any]:
        """Hand an item over; waits while too many are not finished.

        Args:
            get_item: Called for the item when a process is free, in another thread.

        Returns:
            The record, once it is made.

        Raises:
            Exception: What went wrong with this item or an earlier one.
        """
        if self._threads is None:
            done: Future[Any] = Future()
            done.set_result(self._make(get_item()))
            return done
        self._room.acquire()
        if self._error is not None:
            self._room.release()
            raise self._error
        return self._threads.submit(self._ask, get_item)

    def close(self) -> None:
        """End the processes, whatever they are at."""
        for worker in self._workers:
            worker.process.kill()
        if self._threads is not None:
            self._threads.shutdown(cancel_futures=True)
        for worker in self._workers:
            worker.process.join()
            worker.connection.close()
        self._workers.clear()

    def _start(self) -> _Worker:
        context: Any = multiprocessing.get_context(loading.START_METHOD)
        ours, theirs = context.Pipe()
        inherited = []
        if loading.START_METHOD == "fork":
            # Held open by another process, a pipe would outlive the main one.
            inherited = [ours, *(worker.connection for worker in self._workers)]
        process = context.Process(
            target=_work,
            args=(theirs, inherited, self._make),
            name=f"records-{len(self._workers)}",
            daemon=True,
        )
        process.start()
        theirs.close()
        return _Worker(process, ours)

    def _ask(self, get_item: Callable[[], Any]) -> Any:
        worker = self._idle.get()
        try:
            record, error = _exchange(worker, get_item())
            if error is not None:
                raise error
            return record
        except Exception as error:
            self._error = self._error or error
            raise
        finally:
            self._idle.put(worker)
            self._room.release()


def _exchange(worker: _Worker, item: Any) -> Any:
    try:
        worker.connection.send(item)
        return worker.connection.recv()
    except (EOFError, ConnectionError):
        worker.process.join(_LOOK)
        code = worker.process.exitcode
        how = f" (signal {-code})" if code is not None and code < 0 else ""
        raise ChildProcessError(
            f"a process that makes records of predictions was killed{how}; if memory ran out, "
            "fewer --workers need less"
        ) from None


def _work(connection: Connection, inherited: list[Connection], make: Callable[[Any], Any]) -> None:
    """Answer items until the main process closes the connection, or dies."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the main process, which ends us
    gc.freeze()  # what the main process left behind may be a GPU's
    for other in inherited:
        other.close()
    with contextlib.suppress(EOFError, ConnectionError):
        for item in _items(connection):
            connection.send(_answer(make, item))


def _items(connection: Connection) -> Iterator[Any]:
    parent = os.getppid()
    while True:
        while not connection.poll(_LOOK):
            if os.getppid() != parent:
                return
        yield connection.recv()


def _answer(make: Callable[[Item], Record], item: Item) -> tuple[Record | None, Any]:
    try:
        return make(item), None
    except Exception as error:
        return None, ExceptionWithTraceback(error, error.__traceback__)


__all__ = ["RecordPool"]
