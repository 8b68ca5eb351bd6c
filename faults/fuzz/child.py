"""A fork of the process, which reads changed files, and what it reports."""

from __future__ import annotations

import contextlib
import faulthandler
import gc
import mmap
import os
import pickle
import random
import resource
import signal
import sys
import time
import traceback
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

from faults.fuzz.reader import Fault, Reader, Tally, is_users

SLOW = 5  # seconds of the processor, for one file
MEMORY = 2 << 30  # bytes that one file may take
LARGEST = 1 << 20  # bytes of an input; a longer one says no more
CONTENT = 64  # the byte of the shared memory where the input begins; its length is at the first
_ADDRESSES = 2 * MEMORY  # that a fork may reserve beyond those it begins with
_PACKAGE = (str(Path(__file__).parents[2] / "stl_backbones") + os.sep,)


class Lines:
    """Pairs of lines that run one after the other, in watched modules.

    Args:
        watched: Beginnings of the modules' files.
    """

    def __init__(self, watched: Sequence[str]) -> None:
        self.watched = tuple(watched)
        self.files: dict[CodeType, int] = {}
        self.found: set[int] = set()
        self.last = 0

    def __call__(self, frame: FrameType, event: str, arg: Any) -> Any:
        """Called by Python for each function that is entered."""
        del event, arg
        code = frame.f_code
        number = self.files.get(code)
        if number is None:
            is_ours = code.co_filename.startswith(self.watched)
            number = hash((code.co_filename, code.co_firstlineno)) if is_ours else 0
            self.files[code] = number
        return self.line if number else None

    def line(self, frame: FrameType, event: str, arg: Any) -> Any:
        """Called for each line."""
        del arg
        if event == "line":
            here = self.files[frame.f_code] ^ frame.f_lineno
            self.found.add(hash((self.last, here)))
            self.last = here
        return self.line

    @contextlib.contextmanager
    def traced(self) -> Iterator[set[int]]:
        """Those of the block."""
        self.found, self.last = set(), 0
        sys.settrace(self)
        try:
            yield self.found
        finally:
            sys.settrace(None)


class Child:
    """A fork: reads changed files until its time is over."""

    def __init__(
        self, reader: Reader, folder: Path, tally: Tally, known: set[int], shared: mmap.mmap,
        report: Path, trace: Path,
    ) -> None:  # fmt: skip
        self.reader, self.path, self.shared = reader, folder / reader.file, shared
        self.corpus, self.known, self.seen = list(tally.corpus), set(known), set(tally.faults)
        self.lines = Lines([*_PACKAGE, *(_file_of(name) for name in reader.watched)])
        self.report = report.open("ab", buffering=0)
        self.trace = trace.open("w")
        self.runs = self.refused = self.peak = 0
        self.slowest = 0.0

    def run(self, rng: random.Random, *, is_first: bool, seconds: float) -> None:
        """Read until the time is over; the seeds, first of all."""
        self._limit()
        os.chdir(self.path.parent)
        sys.stdout = sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115
        os.dup2(sys.stdout.fileno(), 1)
        os.dup2(sys.stdout.fileno(), 2)
        warnings.simplefilter("ignore")
        end = time.monotonic() + seconds
        if is_first:
            for content in list(self.corpus):
                found = self._try(content)
                self._say("new", (None, found))
                self.known |= found
        reported = time.monotonic()
        while True:
            content = self._changed(rng)
            found = self._try(content)
            if found - self.known:
                self._say("new", (content, found - self.known))
                self.known |= found
                self.corpus.append(content)
            now = time.monotonic()
            if now > reported + 1:
                self._say_counts()
                reported = now
            if now >= end:  # one at least is tried
                break
        self._say_counts()

    def _changed(self, rng: random.Random) -> bytes:
        """One of the files, changed once or several times."""
        # Half of the time one of the newest, which lead where few came yet.
        at = rng.randrange(len(self.corpus))
        at = at if rng.random() < 0.5 else max(at, rng.randrange(len(self.corpus)))
        content = self.corpus[at]
        for _ in range(rng.choice((1, 1, 1, 2, 3, 6))):
            content = rng.choice(self.reader.mutators)(content, rng, self.corpus)
        return content[:LARGEST]

    def _limit(self) -> None:
        reserved = int(Path("/proc/self/statm").read_text().split()[0]) * mmap.PAGESIZE
        resource.setrlimit(resource.RLIMIT_AS, (reserved + _ADDRESSES, resource.RLIM_INFINITY))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        faulthandler.enable(self.trace, all_threads=False)
        faulthandler.register(signal.SIGPROF, self.trace, all_threads=False, chain=True)
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        gc.disable()  # a batch is short

    def _try(self, content: bytes) -> set[int]:
        self.path.write_bytes(content)
        self.shared[CONTENT : CONTENT + len(content)] = content
        self.shared[:8] = (len(content) + 1).to_bytes(8, "little")
        before, memory = time.process_time(), _most_memory()
        signal.setitimer(signal.ITIMER_PROF, SLOW)
        error: BaseException | None = None
        with self.lines.traced() as found:
            try:
                self.reader.read(self.path)
            except BaseException as raised:  # the question of the whole campaign
                error = raised
        signal.setitimer(signal.ITIMER_PROF, 0)
        self.shared[:8] = bytes(8)
        self.runs += 1
        self.slowest = max(self.slowest, time.process_time() - before)
        grown = _most_memory() - memory
        self.peak = max(self.peak, grown)
        if grown > MEMORY or (error is not None and is_out_of_memory(error)):
            self._fault("over 2 GB", error, content)
        elif error is not None and is_users(error):
            self.refused += 1
        elif error is not None:
            self._fault(type(error).__name__, error, content)
        return set(found)

    def _fault(self, kind: str, error: BaseException | None, content: bytes) -> None:
        where = "" if error is None else _places(error)
        trace = "" if error is None else "".join(traceback.format_exception(error))
        if (kind, where) not in self.seen or len(content) < 300:
            self.seen.add((kind, where))
            self._say("fault", Fault(kind, where, content, trace))

    def _say_counts(self) -> None:
        self._say("count", (self.runs, self.refused, self.slowest, self.peak))
        self.runs = self.refused = 0

    def _say(self, kind: str, value: Any) -> None:
        self.report.write(pickle.dumps((kind, value)))


def _file_of(module: str) -> str:
    found = sys.modules.get(module) or __import__(module, fromlist=["_"])
    return str(found.__file__).removesuffix("__init__.py")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception comes of memory that was asked for and is not there."""
    found: BaseException | None = error
    while found is not None:
        # Python's parser has no other word for what is nested too deep.
        last = traceback.extract_tb(found.__traceback__)[-1:]
        is_parser = any(Path(one.filename).name == "ast.py" for one in last)
        if (isinstance(found, MemoryError) and not is_parser) or "allocate" in str(found):
            return True
        found = found.__cause__ or found.__context__
    return False


def _most_memory() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _places(error: BaseException) -> str:
    """The innermost line, and the innermost one of this package."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [one for one in frames if one.filename.startswith(_PACKAGE)]
    places = [f"{Path(one.filename).name}:{one.lineno}" for one in (*own[-1:], *frames[-1:])]
    return ", ".join(dict.fromkeys(places))
