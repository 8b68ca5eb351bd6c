"""What a sweep will take, from a few images scored for trial; nothing is written."""

from __future__ import annotations

import itertools
import resource
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from stl_backbones.engine.distributed import Ranks
from stl_backbones.records import Cell
from stl_backbones.robustness.runner import find_left, split_blocks
from stl_backbones.robustness.tasks import ScoredSet

_TRIALS = 4  # groups of blocks, evenly over the images; the first warms up and is not timed
_BUDGET = 60.0  # seconds for them, about
_FEWEST = 4  # cells of a trial, whatever they take
_RSS_UNIT = 1 if sys.platform == "darwin" else 1024  # of `ru_maxrss`, in bytes


@dataclass(frozen=True)
class SweepEstimate:
    """What is left of a sweep of one data set, estimated.

    Attributes:
        dataset: The data set.
        images: Images of it; of a sweep that was begun, those that are left.
        cells: Cells that are left.
        sampled: Images that were timed.
        workers: Processes that made them.
        seconds: Time for all of it.
        least_seconds: The same, if all were as quick as the quickest batch of the sampled.
        most_seconds: If all were as slow as the slowest.
        memory: Peak memory of this process and its workers in the trial, in bytes. What workers
            share with this process counts in each, so it is an upper bound.
        gpu_memory: Peak memory of the GPU, in bytes; 0 without one.
    """

    dataset: str
    images: int
    cells: int
    sampled: int
    workers: int
    seconds: float
    least_seconds: float
    most_seconds: float
    memory: int
    gpu_memory: int


def estimate_set(scored: ScoredSet, place: Path, ranks: Ranks) -> SweepEstimate:
    """Score a few images, and estimate the rest.

    Args:
        scored: The model and its images.
        place: The sweep's folder; it is only read.
        ranks: The job's processes, among which the images are shared.
    """
    blocks = split_blocks(len(scored.keys), scored.block_size)
    cells, left = ranks.on_main(lambda: find_left(scored, place, blocks))
    images = sum(map(len, left))
    times, sampled = _time_batches(scored, left, cells) if left else (np.zeros(0), 0)
    versions = images * len(cells) / ranks.size
    return SweepEstimate(
        dataset=scored.title,
        images=images,
        cells=len(cells),
        sampled=sampled,
        workers=scored.workers,
        seconds=versions * float(times.mean()) if len(times) else 0.0,
        least_seconds=versions * float(times.min(initial=np.inf)) if len(times) else 0.0,
        most_seconds=versions * float(times.max(initial=0.0)),
        memory=_peak_memory(scored.workers),
        gpu_memory=torch.cuda.max_memory_allocated() if torch.cuda.is_available() else 0,
    )


def _time_batches(
    scored: ScoredSet, left: Sequence[range], cells: Sequence[Cell]
) -> tuple[npt.NDArray[np.float64], int]:
    """Seconds per version, of each timed batch, and how many images they hold."""
    start = time.perf_counter()
    warm_up = list(scored.score(left[:1], cells[:1], lambda _: None))
    once = (time.perf_counter() - start) * max(scored.workers, 1) / len(warm_up)
    tried = _some_cells(cells, int(_BUDGET / (_TRIALS * once)))
    size = -(-max(scored.workers, 1) // scored.block_size)  # blocks worked on together
    count = min(_TRIALS * size, len(left))
    chosen = [left[index] for index in np.linspace(0, len(left) - 1, count).astype(int)]
    ticks: list[tuple[float, int]] = []
    for _ in scored.score(chosen, tried, lambda done: ticks.append((time.perf_counter(), done))):
        pass
    moments, done = np.array([tick[0] for tick in ticks]), np.array([tick[1] for tick in ticks])
    group = size * len(tried)  # ticks
    first = group if len(ticks) > group else 1  # of a single group the first version warms up
    edges = [*range(first, len(ticks), group), len(ticks)]
    times = [
        (moments[last - 1] - moments[begin - 1]) / done[begin:last].sum()
        for begin, last in itertools.pairwise(edges)
    ]
    timed = chosen[size:] or chosen
    return np.array(times or [once]), sum(map(len, timed))


def _some_cells(cells: Sequence[Cell], count: int) -> list[Cell]:
    """One cell per corruption, in the middle of its severities; of many corruptions a few."""
    by_name: dict[str, list[Cell]] = {}
    for cell in cells:
        by_name.setdefault(cell.corruption, []).append(cell)
    middle = [own[len(own) // 2] for own in by_name.values()]
    count = min(max(count, _FEWEST), len(middle))
    return [middle[index] for index in np.linspace(0, len(middle) - 1, count).astype(int)]


def _peak_memory(workers: int) -> int:
    own, child = (
        resource.getrusage(who).ru_maxrss * _RSS_UNIT
        for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    return own + workers * child


__all__ = ["SweepEstimate", "estimate_set"]
