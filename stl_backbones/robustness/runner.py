"""What all sweeps share: block after block of images, each in all cells, and nothing lost.

A block is kept as soon as it is scored, and the cells are written when all blocks are there, so
that each image is decoded once for all of its versions.
"""

from __future__ import annotations

import itertools
import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from stl_backbones.engine.distributed import Ranks
from stl_backbones.records import Cell, CellResult, Provenance
from stl_backbones.results import CellStore
from stl_backbones.robustness.blocks import BlockStore, Samples

Scored = tuple[range, dict[Cell, Samples]]
Tally = npt.NDArray[Any]
Tell = Callable[["SweepProgress"], None]
_SILENCE = 10.0  # seconds after which something is told before the next images are finished


@dataclass(frozen=True)
class SweepProgress:
    """What a sweep tells while it runs.

    Attributes:
        dataset: The data set.
        done: Images finished so far, those of former runs included.
        total: Images.
        share: Share of all that is to be done, with what is done of the images at hand.
        cells: Cells that every image is scored in.
        metric: What ``clean`` and ``corrupted`` are, for example ``'mIoU'``.
        clean: The score on this run's clean images so far; NaN if there are none.
        corrupted: Mean of the same over the corrupted cells; NaN without such.
        is_share: Whether the scores are fractions.
        remaining: Estimated seconds to the end of this data set.
    """

    dataset: str
    done: int
    total: int
    share: float
    cells: int
    metric: str
    clean: float
    corrupted: float
    is_share: bool
    remaining: float


class BlockScorer(ABC):
    """A model on its images, as `run_blocks` needs it.

    Attributes:
        title: The data set's name.
        metric: What `score_of` gives.
        is_share: Whether that is a fraction.
        keys: The images' ids.
        cells: All cells.
        block_size: Images of a block, at most.
        provenance: What is measured, and how.
    """

    title: str
    metric: str
    is_share: bool = True
    keys: tuple[str, ...]
    cells: tuple[Cell, ...]
    block_size: int
    provenance: Provenance

    @abstractmethod
    def score(
        self, blocks: Sequence[range], cells: Sequence[Cell], tick: Callable[[int], None]
    ) -> Iterator[Scored]:
        """Yield the samples of each block, in the blocks' order; tick when versions are scored."""

    @abstractmethod
    def tally(self, samples: Samples) -> Tally:
        """What a block's samples of one cell add to the running score."""

    @abstractmethod
    def score_of(self, tally: Tally, images: int) -> float:
        """The running score of a sum of tallies."""

    def is_kept(self, store: CellStore, cell: Cell) -> bool:
        """Whether what `finish` writes beside a finished cell is there."""
        del store, cell
        return True

    def finish(self, store: CellStore, cell: Cell, samples: Samples) -> Samples:
        """Turn the joined blocks of a cell into the samples that are stored."""
        del store, cell
        return samples


def run_blocks(scorer: BlockScorer, place: Path, ranks: Ranks, tell: Tell | None) -> None:
    """Score all cells, and store them.

    Of a job's processes each takes every n-th block; the main one writes.

    Args:
        scorer: The model and its images.
        place: The sweep's folder.
        ranks: The job's processes.
        tell: Called on the main process when blocks are finished.

    Raises:
        ValueError: If the folder belongs to another run, or is being written by another process.
    """
    store, kept = CellStore(place), BlockStore(place, scorer.provenance)
    blocks = split_blocks(len(scorer.keys), scorer.block_size)
    with ExitStack() as held:
        # An error of the main process ends all of them.
        ranks.on_main(lambda: held.enter_context(store.writing(scorer.provenance)))
        finished = ranks.on_main(lambda: _finished(scorer, store))
        cells = [cell for cell in scorer.cells if cell not in finished]
        left = ranks.on_main(
            lambda: [block for block in blocks if cells and not kept.has(block, cells)]
        )
        reporter = _Reporter(tell if ranks.is_main else None, scorer, cells, left)
        start = time.monotonic()
        for results in _gathered(scorer, left, cells, ranks, reporter.tick):
            if ranks.is_main:
                for block, samples in results:
                    kept.write(block, samples)
                reporter.finished(results)
        if ranks.is_main:
            resumed = len(left) < len(blocks) or bool(finished)
            seconds = (time.monotonic() - start) / max(len(cells), 1)
            for cell, joined in kept.join(blocks, cells):
                stored = scorer.finish(store, cell, joined)
                store.write(CellResult(cell, scorer.provenance, scorer.keys, stored))
                store.log_time(cell, seconds, resumed=resumed)
            kept.clear()


def split_blocks(count: int, block_size: int) -> list[range]:
    """Cut images into runs of nearly equal length, at most ``block_size``."""
    blocks = -(-count // block_size)
    edges = [block * count // blocks for block in range(blocks + 1)]
    return [range(first, last) for first, last in itertools.pairwise(edges)]


def _finished(scorer: BlockScorer, store: CellStore) -> set[Cell]:
    finished = store.finished(scorer.provenance, image_ids=scorer.keys)
    return {cell for cell in finished if scorer.is_kept(store, cell)}


def _gathered(
    scorer: BlockScorer,
    blocks: Sequence[range],
    cells: Sequence[Cell],
    ranks: Ranks,
    tick: Callable[[int], None],
) -> Iterator[list[Scored]]:
    """Yield what the processes finish, turn by turn."""
    mine = blocks[ranks.rank :: ranks.size]
    # Of the other processes' versions nothing is heard between turns; they are as fast.
    scored = scorer.score(mine, cells, lambda versions: tick(ranks.size * versions))
    for turn in range(-(-len(blocks) // ranks.size)):
        own = next(scored) if turn < len(mine) else None
        yield [result for result in ranks.gather(own) if result is not None]


class _Reporter:
    """Counts images, adds running scores up, and estimates what is left."""

    def __init__(
        self,
        tell: Tell | None,
        scorer: BlockScorer,
        cells: Sequence[Cell],
        left: Sequence[range],
    ) -> None:
        self.tell, self.scorer, self.cells = tell, scorer, cells
        self.total = len(scorer.keys)
        self.before = self.total - sum(len(block) for block in left)
        self.done = self.versions = 0
        self.tallies: dict[Cell, Tally] = {}
        self.start = self.told = time.monotonic()
        if tell is not None and (not cells or self.before):
            tell(self._progress(self.before if cells else self.total, {}, 0.0))

    def tick(self, versions: int) -> None:
        """Tell of versions just scored, if nothing was told for a while."""
        self.versions += versions
        now = time.monotonic()
        if self.tell is not None and now - self.told > _SILENCE:
            self.told = now
            left = len(self.cells) * (self.total - self.before) - self.versions
            rate = (now - self.start) / self.versions
            self.tell(self._progress(self.before + self.done, self._scores(), rate * max(left, 0)))

    def finished(self, results: Sequence[Scored]) -> None:
        """Tell of blocks just scored."""
        if self.tell is None:
            return
        for block, by_cell in results:
            self.done += len(block)
            for cell, samples in by_cell.items():
                tally = self.scorer.tally(samples)
                self.tallies[cell] = self.tallies.get(cell, np.zeros_like(tally)) + tally
        self.versions, self.told = self.done * len(self.cells), time.monotonic()
        rate = (self.told - self.start) / self.done
        done = self.before + self.done
        self.tell(self._progress(done, self._scores(), rate * (self.total - done)))

    def _scores(self) -> dict[Cell, float]:
        return {c: self.scorer.score_of(tally, self.done) for c, tally in self.tallies.items()}

    def _progress(self, done: int, scores: Mapping[Cell, float], remaining: float) -> SweepProgress:
        corrupted = [score for cell, score in scores.items() if not cell.is_clean]
        clean = [score for cell, score in scores.items() if cell.is_clean]
        part = self.versions / max(len(self.cells), 1) - self.done  # of the images at hand
        return SweepProgress(
            dataset=self.scorer.title,
            done=done,
            total=self.total,
            share=min((done + part) / self.total, 1.0),  # other processes may have less to do
            cells=len(self.cells),
            metric=self.scorer.metric,
            clean=clean[0] if clean else math.nan,
            corrupted=float(np.mean(corrupted)) if corrupted else math.nan,
            is_share=self.scorer.is_share,
            remaining=remaining,
        )


__all__ = ["BlockScorer", "SweepProgress", "run_blocks", "split_blocks"]
