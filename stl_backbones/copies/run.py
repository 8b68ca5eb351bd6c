"""A corrupted copy, from a plan to its manifest."""

from __future__ import annotations

import contextlib
import errno
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from stl_backbones.copies.plan import Plan, Shard, pending_units
from stl_backbones.copies.pool import Pool
from stl_backbones.copies.survey import find_done, write_manifest
from stl_backbones.copies.worker import Job, Task
from stl_backbones.copies.workplace import Workplace
from stl_backbones.corruptions.engine import prepare
from stl_backbones.run_log import open_log

_FULL = (errno.ENOSPC, errno.EDQUOT)


@dataclass(frozen=True)
class Progress:
    """How far this process's share is.

    Attributes:
        done: Files there, those of former runs included.
        total: Files of the share.
        failures: Lines of what failed since the last call.
        rate: Files per second since the start of this run.
        remaining: Estimated seconds to the end.
    """

    done: int
    total: int
    failures: tuple[str, ...]
    rate: float
    remaining: float


@dataclass(frozen=True)
class Outcome:
    """What a run did.

    Attributes:
        made: Files made by this run.
        failures: One line per image that failed, or per corruption of it.
        missing: Files that the whole copy still lacks; 0 if the manifest is written.
        others_at_work: Whether other shards are; the last of them writes the manifest.
    """

    made: int
    failures: tuple[str, ...]
    missing: int
    others_at_work: bool


def make_copy(
    plan: Plan,
    out: Path,
    *,
    workers: int = 1,
    shard: Shard = Shard(),  # noqa: B008  frozen
    on_progress: Callable[[Progress], None] | None = None,
) -> Outcome:
    """Make what is missing of a corrupted copy.

    A killed run is taken up by the same call, with any number of workers and shards; the files'
    bytes, and those of the manifest, depend on the plan alone.

    Args:
        plan: The whole copy.
        out: Its top.
        workers: Processes.
        shard: The share to make; the manifest is written by the shard that ends last.
        on_progress: Called when files are done.

    Raises:
        ValueError: If ``out`` holds something else, or another process is at work on it.
        OSError: If nothing more can be written; finished files are kept.
    """
    place = Workplace(out, shard)
    with place.held(plan.header()):
        open_log(out)
        done = find_done(plan, place)
        if not done.all():
            place.reopen()
        made, failures = _make_share(plan, place, done, workers=workers, on_progress=on_progress)
    with place.alone() as alone:
        missing = write_manifest(plan, place) if alone else _count_missing(plan, place)
        if alone and not missing:
            place.remove()
    return Outcome(made, failures, missing, others_at_work=not alone)


def _make_share(
    plan: Plan,
    place: Workplace,
    done: npt.NDArray[np.bool_],
    *,
    workers: int,
    on_progress: Callable[[Progress], None] | None,
) -> tuple[int, tuple[str, ...]]:
    share = plan.share(place.shard)
    total = sum(len(unit.cells) for unit in share)
    units = pending_units(share, done)
    before = total - sum(len(unit.cells) for unit in units)
    made, failures = 0, list[str]()
    if not units:
        return made, ()
    tasks = [
        Task(plan.sources[unit.source], tuple(plan.cells[cell] for cell in unit.cells))
        for unit in units
    ]
    names, engine = list(dict.fromkeys(cell.corruption for cell in plan.cells)), plan.engine
    prepare(names, mode=engine.mode, strengths=engine.strengths)
    job = Job(
        out=place.out, partial=place.partial, engine=plan.engine, encoding=plan.encoding,
        crop=plan.layout.crop, reader=plan.layout.reader, custom_imports=plan.custom_imports,
    )  # fmt: skip
    begin = time.monotonic()
    reports = Pool(job, workers=workers).run(tasks)
    try:
        with place.open_journal() as journal, contextlib.closing(reports):
            for report in reports:
                journal.writelines(row.to_line() for row in report.rows)
                journal.flush()
                made += len(report.rows)
                failures += report.failures
                if on_progress is not None:
                    rate = made / (time.monotonic() - begin)
                    left = (total - before - made) / rate if made else float("inf")
                    on_progress(Progress(before + made, total, report.failures, rate, left))
    except OSError as error:
        raise _stopped(error, before + made, total) from error
    return made, tuple(failures)


def _stopped(error: OSError, done: int, total: int) -> OSError:
    why = "the disk is full" if error.errno in _FULL else error.strerror or str(error)
    return OSError(
        error.errno,
        f"stopped after {done} of {total} files: {why}; finished files are kept, the same command "
        f"goes on ({error.filename})",
    )


def _count_missing(plan: Plan, place: Workplace) -> int:
    return int((~find_done(plan, place)).sum())


__all__ = ["Outcome", "Progress", "make_copy"]
