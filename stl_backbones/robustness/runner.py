"""The one loop of all sweeps: block after block of images, each in all cells, and nothing lost.

A block is kept as soon as it is scored, and the cells are written when all blocks are there, so
that no image is decoded anew for each of its versions.
"""

from __future__ import annotations

import dataclasses
import itertools
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import cast

import numpy as np

from stl_backbones.engine.distributed import Ranks
from stl_backbones.metrics.light import LIGHT
from stl_backbones.records import Cell, CellResult
from stl_backbones.results import CellStore
from stl_backbones.robustness.blocks import BlockStore
from stl_backbones.robustness.progress import OnProgress, Reporter
from stl_backbones.robustness.tasks.base import Block, Samples, Scored, ScoredSet
from stl_backbones.run_log import is_logged, open_log, record


def run_blocks(
    scored: ScoredSet, place: Path, ranks: Ranks, on_progress: OnProgress | None
) -> None:
    """Score all cells, and store them.

    Of a job's processes each takes every n-th block; the main one writes.

    Args:
        scored: The model and its images.
        place: The sweep's folder.
        ranks: The job's processes.
        on_progress: Called on the main process when blocks are finished.

    Raises:
        ValueError: If the folder belongs to another run, or is being written by another process.
    """
    with ExitStack() as held:
        # An error of the main process ends all of them.
        ranks.on_main(lambda: hold(held, scored, place))
        score_cells(scored, place, ranks, on_progress, scored.cells)


def hold(held: ExitStack, scored: ScoredSet, place: Path) -> None:
    """Hold the sweep's folder until ``held`` is closed, and begin its log."""
    held.enter_context(CellStore(place).writing(scored.provenance))
    open_log(place)
    fields = dataclasses.asdict(scored.provenance)
    long = ("classes", "skipped", "copy_digests", "chosen", "versions")
    record(
        "set", cells=len(scored.cells), images=len(scored.keys),
        **{name: value for name, value in fields.items() if name not in long},
    )  # fmt: skip


def score_cells(
    scored: ScoredSet,
    place: Path,
    ranks: Ranks,
    on_progress: OnProgress | None,
    wanted: Sequence[Cell],
) -> None:
    """Score some cells in the data set's order, and store them; see `run_blocks`.

    Use it only while the main process holds the folder for writing.
    """
    store, kept = CellStore(place), BlockStore(place, scored.provenance)
    blocks = split_blocks(len(scored.keys), scored.block_size)
    cells, left = ranks.on_main(lambda: find_left(scored, place, blocks, wanted))
    reporter = Reporter(on_progress if ranks.is_main else None, scored, cells, left)
    start = time.monotonic()
    for results in gathered(scored, left, cells, ranks, reporter.tick):
        if ranks.is_main:
            for block, samples in results:
                kept.write(cast(range, block), samples)
            reporter.finished(results)
    if ranks.is_main:
        resumed = len(left) < len(blocks) or len(cells) < len(wanted)
        seconds = (time.monotonic() - start) / max(len(cells), 1)
        for cell, joined in kept.join(blocks, cells):
            score = running_score(scored, joined) if is_logged() else None
            light = _known_light(joined)
            stored = scored.finish(store, cell, joined) | (light if cell.is_clean else {})
            store.write(CellResult(cell, scored.provenance, scored.keys, stored))
            store.log_time(cell, seconds, resumed=resumed)
            record_cell(scored, cell, score, seconds=seconds)
        kept.clear()


def running_score(scored: ScoredSet, joined: Samples) -> float:
    """The score that progress shows, of all images of a cell."""
    return scored.score_of(scored.tally(joined), len(scored.keys))


def record_cell(scored: ScoredSet, cell: Cell, score: float | None, *, seconds: float) -> None:
    """Note in the run's log that a cell is finished."""
    record(
        "cell", dataset=scored.title, cell=cell.name, corruption=cell.corruption,
        severity=cell.severity, images=len(scored.keys), metric=scored.metric, score=score,
        seconds=round(seconds, 3),
    )  # fmt: skip


def _known_light(joined: Samples) -> Samples:
    """Take brightness and contrast, which blocks have in all cells, out of a cell's samples."""
    found = {name: joined.pop(name) for name in LIGHT if name in joined}
    return {name: values for name, values in found.items() if not np.isnan(values).all()}


def split_blocks(count: int, block_size: int) -> list[range]:
    """Cut images into runs of nearly equal length, at most ``block_size``."""
    blocks = -(-count // block_size)
    edges = [block * count // blocks for block in range(blocks + 1)]
    return [range(first, last) for first, last in itertools.pairwise(edges)]


def find_left(
    scored: ScoredSet, place: Path, blocks: Sequence[range], wanted: Sequence[Cell] | None = None
) -> tuple[list[Cell], list[range]]:
    """The cells that a sweep's folder lacks, and of the blocks those not scored in them yet."""
    store, kept = CellStore(place), BlockStore(place, scored.provenance)
    finished = store.finished(scored.provenance, image_ids=scored.keys)
    done = {cell for cell in finished if scored.is_kept(store, cell)}
    cells = [cell for cell in wanted or scored.cells if cell not in done]
    return cells, [block for block in blocks if cells and not kept.has(block, cells)]


def gathered(
    scored: ScoredSet,
    blocks: Sequence[Block],
    cells: Sequence[Cell],
    ranks: Ranks,
    tick: Callable[[int], None],
) -> Generator[list[Scored], None, None]:
    """Yield what the processes finish, turn by turn."""
    mine = blocks[ranks.rank :: ranks.size]
    # Of the other processes' versions nothing is known between turns; they are as fast.
    results = scored.score(mine, cells, lambda versions: tick(ranks.size * versions))
    for turn in range(-(-len(blocks) // ranks.size)):
        own = next(results) if turn < len(mine) else None
        yield [result for result in ranks.gather(own) if result is not None]


__all__ = [
    "find_left",
    "gathered",
    "hold",
    "record_cell",
    "run_blocks",
    "running_score",
    "score_cells",
    "split_blocks",
]
