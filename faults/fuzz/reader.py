"""What is fuzzed, and what may come of it."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stl_backbones.errors import UserError

Mutator = Callable[[bytes, random.Random, Sequence[bytes]], bytes]


@dataclass(frozen=True)
class Reader:
    """What is fuzzed.

    Attributes:
        name: Of the reader, in the table.
        file: The file's path in a folder of its own.
        seeds: Writes what lies beside the file into that folder; the files to begin with.
        read: Reads the file as the tools do.
        mutators: Ways to change a file's bytes.
        watched: Modules whose lines guide, beside those of this package.
    """

    name: str
    file: str
    seeds: Callable[[Path], Sequence[bytes]]
    read: Callable[[Path], object]
    mutators: Sequence[Mutator]
    watched: tuple[str, ...] = ()


@dataclass(frozen=True)
class Fault:
    """What no input may cause.

    Attributes:
        kind: The exception, ``'killed by SIGSEGV'``, ``'over 5 s'`` or ``'over 2 GB'``.
        where: The innermost lines.
        content: The shortest file that shows it.
        trace: The traceback.
    """

    kind: str
    where: str
    content: bytes
    trace: str


@dataclass
class Tally:
    """What came of one reader.

    Attributes:
        runs: Files read.
        refused: Of these, those answered by an error of the user's.
        paths: Pairs of lines, first met after the seeds.
        slowest: Seconds of the processor, of the slowest file.
        peak: Bytes of memory, at most, beyond what the process held before.
        faults: By kind and place.
        corpus: Files that are changed further.
    """

    runs: int = 0
    refused: int = 0
    paths: int = 0
    slowest: float = 0.0
    peak: int = 0
    faults: dict[tuple[str, str], Fault] = field(default_factory=dict)
    corpus: list[bytes] = field(default_factory=list)

    def add(self, fault: Fault) -> None:
        """Keep the shortest file of each fault."""
        known = self.faults.get((fault.kind, fault.where))
        if known is None or len(fault.content) < len(known.content):
            self.faults[fault.kind, fault.where] = fault


def is_users(error: BaseException) -> bool:
    """Whether a tool answers an exception with one line and exit code 2."""
    return isinstance(error, UserError) or (
        isinstance(error, OSError) and getattr(error, "errno", None) is not None
    )


@contextlib.contextmanager
def each_alone() -> Iterator[Callable[..., None]]:
    """Several readings of one file, each tried whether or not another one refuses it.

    The file is refused if all of them do.
    """
    refusals: list[Exception] = []
    done = 0

    def each(call: Callable[..., object], *args: Any, **options: Any) -> None:
        nonlocal done
        try:
            call(*args, **options)
            done += 1
        except Exception as error:
            if not is_users(error):
                raise
            refusals.append(error)

    yield each
    if refusals and not done:
        raise refusals[0]
