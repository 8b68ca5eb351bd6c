"""A reader of files, tried on changed ones in forks of this process, guided by the lines it runs.

An input that reaches a new pair of lines, one run after the other, is kept and changed further. A
fork tries some hundred inputs; one that is killed, by a fault in a library's C code, by its use of
the processor or of memory, leaves behind which input it read.
"""

from __future__ import annotations

import gc
import mmap
import os
import pickle
import random
import signal
import time
import traceback
import warnings
from pathlib import Path
from typing import Any

from faults.fuzz.child import CONTENT, LARGEST, SLOW, Child
from faults.fuzz.reader import Fault, Reader, Tally
from stl_backbones.errors import UserError

_BATCH = 5.0  # seconds until a fork is replaced by a new one, which knows more inputs
_LOST = 120.0  # seconds after which a fork that reports nothing hangs, asleep


def fuzz(reader: Reader, folder: Path, *, seconds: float, seed: int) -> Tally:
    """Try a reader for some time.

    Args:
        reader: It.
        folder: An empty folder.
        seconds: How long.
        seed: Decides what is tried, but for how far a fork comes in its time.
    """
    seeds = _prepared(reader, folder)
    refusals = []
    for content in seeds:  # imports, and compiles, what forks then have
        (folder / reader.file).write_bytes(content)
        try:
            reader.read(folder / reader.file)
        except UserError as error:
            refusals.append(error)
    if len(refusals) == len(seeds):
        raise RuntimeError(f"'{reader.name}' reads none of its own files") from refusals[0]
    tally, known = Tally(corpus=seeds), set[int]()
    shared = mmap.mmap(-1, LARGEST + CONTENT)
    gc.freeze()
    end, number = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        _try_batch(
            reader, folder, tally, known, shared, rng=random.Random(f"{seed} {number}"),
            is_first=not number, seconds=min(_BATCH, end - time.monotonic()),
        )  # fmt: skip
        number += 1
    return tally


def read_once(reader: Reader, folder: Path, content: bytes) -> None:
    """Read one file, for its traceback."""
    _prepared(reader, folder)
    (folder / reader.file).write_bytes(content)
    reader.read(folder / reader.file)


def _prepared(reader: Reader, folder: Path) -> list[bytes]:
    """The files to begin with; what lies beside them is written."""
    folder.mkdir(parents=True)
    (folder / reader.file).parent.mkdir(parents=True, exist_ok=True)
    return list(reader.seeds(folder))


def _try_batch(
    reader: Reader, folder: Path, tally: Tally, known: set[int], shared: mmap.mmap, *,
    rng: random.Random, is_first: bool, seconds: float,
) -> None:  # fmt: skip
    report, trace = folder.with_suffix(".report"), folder.with_suffix(".trace")
    report.write_bytes(b"")
    trace.write_bytes(b"")
    shared[:8] = bytes(8)
    with warnings.catch_warnings():  # Python 3.12 warns of threads, which wait meanwhile
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if not child:
        code = 1
        try:
            Child(reader, folder, tally, known, shared, report, trace).run(
                rng, is_first=is_first, seconds=seconds
            )
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    state = _wait(child, report)
    with report.open("rb") as stream:
        while True:
            try:
                _take(pickle.load(stream), tally, known)
            except (EOFError, pickle.UnpicklingError):
                break
    if state:
        size = int.from_bytes(shared[:8], "little")
        if not os.WIFSIGNALED(state) or not size:
            raise RuntimeError(f"the fork that reads '{reader.name}' ended with state {state}")
        tally.runs += 1
        name = signal.Signals(os.WTERMSIG(state)).name
        kind = {"SIGPROF": f"over {SLOW} s", "SIGKILL": "hangs"}.get(name, f"killed by {name}")
        text = trace.read_text(errors="replace")
        places = [one.strip() for one in text.splitlines() if one.strip().startswith("File")]
        tally.add(
            Fault(kind, "; ".join(places[:2]), bytes(shared[CONTENT : CONTENT + size - 1]), text)
        )


def _wait(child: int, report: Path) -> int:
    """The fork's exit state; one that is silent for long is killed."""
    since, size = time.monotonic(), 0
    while True:
        done, state = os.waitpid(child, os.WNOHANG)
        if done:
            return state
        if report.stat().st_size != size:
            since, size = time.monotonic(), report.stat().st_size
        if time.monotonic() - since > _LOST:
            os.kill(child, signal.SIGKILL)
        time.sleep(0.05)


def _take(event: tuple[str, Any], tally: Tally, known: set[int]) -> None:
    kind, value = event
    if kind == "new":
        content, found = value
        tally.paths += 0 if content is None else len(found - known)
        known |= found
        if content is not None:
            tally.corpus.append(content)
    elif kind == "fault":
        tally.add(value)
    else:
        runs, refused, slowest, peak = value
        tally.runs, tally.refused = tally.runs + runs, tally.refused + refused
        tally.slowest, tally.peak = max(tally.slowest, slowest), max(tally.peak, peak)
