"""What the processes of a job run together, waiting as long as all of them live, and no longer."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist

from stl_backbones.engine.network import notice_silence

T = TypeVar("T")
BEAT = 5.0  # seconds
# Longer than a living process ever keeps its threads from running, for example while it compiles.
SILENCE = timedelta(minutes=5)


_Asked = tuple[Callable[[], object] | None, "Future[None]"]  # no collective: the end


class Collectives:
    """Collectives of Python objects, run by a thread over a gloo group of their own.

    While the main thread of a process is busy, its thread says so to the others every few seconds.
    So any process may take hours, to hash a large data set for example, while the others wait. One
    that died is noticed at once, by its closed connection; one that is stopped, or whose host is
    cut off, once it has been silent for `SILENCE`. What a process computes for ever is not noticed.

    Made by all processes together.
    """

    def __init__(self) -> None:
        # Over gloo, whatever the tensors use.
        self.group = dist.new_group(backend="gloo", timeout=SILENCE)
        notice_silence()  # of its connections
        self._asked: queue.SimpleQueue[_Asked] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._serve, name="collectives", daemon=True)
        self._thread.start()

    def share(self, box: list[Any]) -> None:
        """Fill every process's list with the objects of process 0's.

        Raises:
            RuntimeError: If another process was lost.
        """
        self._run(lambda: dist.broadcast_object_list(box, src=0, group=self.group))

    def gather(self, mine: T) -> list[T]:
        """All processes' objects, in rank order.

        Raises:
            RuntimeError: If another process was lost.
        """
        everyone: list[Any] = [None] * dist.get_world_size(self.group)
        self._run(lambda: dist.all_gather_object(everyone, mine, group=self.group))
        return everyone

    def gather_on_main(self, mine: T) -> list[T] | None:
        """All processes' objects, in rank order, on process 0; ``None`` on the others.

        Raises:
            RuntimeError: If another process was lost.
        """
        is_main = dist.get_rank(self.group) == 0
        everyone: list[Any] | None = [None] * dist.get_world_size(self.group) if is_main else None
        self._run(lambda: dist.gather_object(mine, everyone, dst=0, group=self.group))
        return everyone

    def end(self) -> None:
        """Wait for all processes to end this."""
        self._run(None)
        self._thread.join()

    def _run(self, collective: Callable[[], object] | None) -> None:
        """Run a collective, once every process asks for one."""
        done: Future[None] = Future()
        self._asked.put((collective, done))
        done.result()

    def _serve(self) -> None:
        asked: _Asked | None = None
        while True:
            if asked is None:
                with contextlib.suppress(queue.Empty):
                    asked = self._asked.get(timeout=BEAT)
            try:
                all_ask = torch.tensor([asked is not None])
                dist.all_reduce(all_ask, dist.ReduceOp.MIN, group=self.group)
                if asked is None or not all_ask.item():
                    continue
                collective, done = asked
                if collective is not None:
                    collective()
            except Exception as error:  # whatever torch raises for a lost process
                self._fail(error, asked)
                return
            done.set_result(None)
            asked = None
            if collective is None:
                return

    def _fail(self, error: Exception, asked: _Asked | None) -> None:
        """Answer with an error, now and always."""
        while True:
            _, done = asked or self._asked.get()
            done.set_exception(error)
            asked = None


__all__ = ["Collectives"]
