"""Worker processes that may be killed at any moment.

Not ``concurrent.futures``: its workers outlive a killed main process, and one killed worker ends
the whole pool. Here each worker has a pipe of its own; an end of file on either side says that the
other is dead.
"""

from __future__ import annotations

import contextlib
import multiprocessing
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess

from stl_backbones.copies.worker import Job, Report, Task, work

_TRIES = 2
_PATIENCE = 5.0  # seconds that a worker gets to end by itself


@dataclass
class _Turn:
    """A task on its way, and how many workers died of it."""

    task: Task
    deaths: int = 0


@dataclass
class _Worker:
    process: SpawnProcess
    connection: Connection
    turn: _Turn | None = None


class Pool:
    """Hands tasks to workers, each the next one when it is free.

    Args:
        job: What is the same for every task.
        workers: Number of processes.
    """

    def __init__(self, job: Job, *, workers: int) -> None:
        self.job, self.size = job, workers
        self._context = multiprocessing.get_context("spawn")
        self._workers: list[_Worker] = []
        self._waiting: deque[_Turn] = deque()
        self._deaths = 0  # since the last report

    def run(self, tasks: Sequence[Task]) -> Generator[Report, None, None]:
        """Work all tasks off, and yield what the workers report, in any order.

        A task whose worker dies is tried once more, by another worker, for the files not reported;
        if that one dies too, the image is reported as failed.

        Raises:
            OSError: If a worker says that nothing more can be written.
            ValueError: If a worker cannot import the user's modules.
            ChildProcessError: If workers die before they report anything.
        """
        self._waiting.extend(_Turn(task) for task in tasks)
        try:
            while self._waiting and len(self._workers) < self.size:
                self._start(self._waiting.popleft())
            while self._workers:
                ready = wait([worker.connection for worker in self._workers])
                for worker in [one for one in self._workers if one.connection in ready]:
                    yield from self._hear(worker)
        finally:
            self._end()

    def _start(self, turn: _Turn) -> None:
        ours, theirs = self._context.Pipe()
        process = self._context.Process(target=work, args=(theirs, self.job), daemon=True)
        process.start()
        theirs.close()  # else its death would not be an end of file
        worker = _Worker(process, ours)
        self._workers.append(worker)
        self._hand(worker, turn)

    def _hand(self, worker: _Worker, turn: _Turn) -> None:
        worker.turn = turn
        # If it is dead, the next wait hears an end of file and finds the turn.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            worker.connection.send(turn.task)

    def _hear(self, worker: _Worker) -> Iterator[Report]:
        try:
            report: Report = worker.connection.recv()
        except (EOFError, ConnectionResetError):
            yield from self._bury(worker)
            return
        self._deaths = 0
        yield report
        if report.stop is not None:
            raise report.stop
        if report.finished:
            worker.turn = None
            if self._waiting:
                self._hand(worker, self._waiting.popleft())
            else:
                self._dismiss(worker)
        elif worker.turn is not None:
            made = {row.cell for row in report.rows}
            task = worker.turn.task
            left = tuple(cell for cell in task.cells if cell not in made)
            worker.turn.task = Task(task.source, left)

    def _bury(self, worker: _Worker) -> Iterator[Report]:
        """Deal with a dead worker: its task goes to another one, or is given up."""
        self._dismiss(worker)
        turn, code = worker.turn, worker.process.exitcode
        how = f"signal {-code}" if code is not None and code < 0 else f"exit code {code}"
        self._deaths += 1
        if self._deaths > _TRIES * (self.size + 1):
            raise ChildProcessError(f"worker processes keep dying ({how}); out of memory?")
        if turn is None:
            return
        turn.deaths += 1
        if turn.deaths < _TRIES:
            self._start(turn)
            return
        failure = (
            f"'{turn.task.source.path}': its worker process died twice ({how}); out of memory?"
        )
        yield Report(failures=(failure,), finished=True)
        if self._waiting:
            self._start(self._waiting.popleft())

    def _dismiss(self, worker: _Worker) -> None:
        worker.connection.close()  # which makes it end
        worker.process.join(_PATIENCE)
        if worker.process.is_alive():
            worker.process.kill()
            worker.process.join()
        self._workers.remove(worker)

    def _end(self) -> None:
        for worker in self._workers:
            worker.process.kill()
            worker.connection.close()
        for worker in self._workers:
            worker.process.join()
        self._workers.clear()
