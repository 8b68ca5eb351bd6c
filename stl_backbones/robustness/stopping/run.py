"""The loop of a sweep that may stop early: clean images first, then images in random order."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import shutil
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import numpy as np

from stl_backbones.engine.distributed import Ranks
from stl_backbones.errors import InputError
from stl_backbones.records import CLEAN, Cell, CellResult, Provenance
from stl_backbones.results import CellStore
from stl_backbones.results.cell_file import DamagedCellError
from stl_backbones.robustness.blocks import BlockStore
from stl_backbones.robustness.progress import OnProgress, Reporter
from stl_backbones.robustness.runner import (
    find_left,
    gathered,
    hold,
    record_cell,
    running_score,
    score_cells,
    split_blocks,
)
from stl_backbones.robustness.stopping.judge import Judge, Outcome, describe_state
from stl_backbones.robustness.stopping.plan import (
    Order,
    check_identity,
    check_targets,
    corrupted,
    find_order,
    identity_of,
    make_judge,
    with_outcome,
)
from stl_backbones.robustness.tasks.base import Block, Samples, Scored, ScoredSet
from stl_backbones.run_log import is_logged

_LOGGER = logging.getLogger(__name__)


def begun_sampling(place: Path) -> bool:
    """Whether a folder holds a sweep that was begun with ``--until``, and is not complete."""
    with contextlib.suppress(FileNotFoundError, DamagedCellError):
        return bool(CellStore(place).provenance().sampling)
    return False


def run_until(
    scored: ScoredSet, place: Path, ranks: Ranks, on_progress: OnProgress | None
) -> Outcome | None:
    """Score images in random order until all targets are decided, or all images are scored.

    Args:
        scored: The model and its images; its options say the targets. Without targets all images
            are scored, in the order that the folder was begun with.
        place: The sweep's folder.
        ranks: The job's processes.
        on_progress: Called on the main process when blocks are finished.

    Returns:
        What it came to; ``None`` without targets.

    Raises:
        InputError: If a target cannot be decided, or the folder was begun with others.
        UnknownNameError: If a number is unknown.
        MissingFileError: If a baseline is missing.
    """
    store = CellStore(place)
    ranks.on_main(lambda: check_targets(scored))
    with ExitStack() as held:
        ranks.on_main(lambda: hold(held, scored, place))
        is_whole = ranks.on_main(lambda: _check_begun(scored, store))
        score_cells(scored, place, ranks, on_progress, [CLEAN])
        order = ranks.on_main(lambda: _begin(scored, store))
        sweep = _Drawn(scored, store, order)
        if is_whole:
            return ranks.on_main(sweep.judge_whole)
        return sweep.run(ranks, on_progress)


def _check_begun(scored: ScoredSet, store: CellStore) -> bool:
    """Whether the sweep is complete; refuse one that was begun without ``--until``."""
    sampling = store.provenance().sampling
    if sampling:
        cells = [cell.name for cell in corrupted(scored.cells)]
        if sampling["cells"] != cells:
            raise InputError(
                f"'{store.folder}' was begun with --until in {len(sampling['cells'])} corrupted "
                f"cells, now there are {len(cells)}; go on with the same, or choose another "
                "--work-dir"
            )
        return False
    blocks = split_blocks(len(scored.keys), scored.block_size)
    left, _ = find_left(scored, store.folder, blocks)
    if not left:
        return True
    begun = set(left) < set(scored.cells) - {CLEAN} or any(
        BlockStore(store.folder, scored.provenance).has(block, scored.cells) for block in blocks
    )
    if begun:
        raise InputError(
            f"'{store.folder}' was begun without --until, in the data set's order; go on without "
            "it, or choose another --work-dir"
        )
    return False


def _begin(scored: ScoredSet, store: CellStore) -> Order:
    """Fix, or find, what was asked before the first image is drawn."""
    recorded = store.provenance().sampling
    seed = scored.options.order_seed
    if not scored.options.until:
        return find_order(scored.keys, int(recorded["order_seed"]))
    order = find_order(scored.keys, 0 if seed is None else int(seed))
    asked = identity_of(scored, order)
    if recorded:
        check_identity(store.folder, recorded, asked)
    elif not set(store.cells()) >= set(scored.cells):
        store.record(dataclasses.replace(store.provenance(), sampling=asked))
    return order


class _Drawn:
    """A sweep whose images are drawn."""

    def __init__(self, scored: ScoredSet, store: CellStore, order: Order) -> None:
        self.scored, self.store, self.order = scored, store, order
        self.cells = corrupted(scored.cells)
        self.kept = BlockStore(store.folder, scored.provenance, order=order.digest)
        self.there: list[range] = []
        self.judge: Judge | None = None  # of the main process

    def run(self, ranks: Ranks, on_progress: OnProgress | None) -> Outcome | None:
        """Replay what is there, score what is left, and stop when it is enough."""
        outcome, left = ranks.on_main(self._replay)
        reporter = Reporter(on_progress if ranks.is_main else None, self.scored, self.cells, left)
        start = time.monotonic()
        if not _is_settled(outcome):
            chosen: list[Block] = [tuple(self.order.places[list(block)].tolist()) for block in left]
            turns = gathered(self.scored, chosen, self.cells, ranks, reporter.tick)
            with contextlib.closing(turns):
                for turn, results in enumerate(turns):
                    blocks = left[turn * ranks.size :]
                    outcome = ranks.on_main(partial(self._take, blocks, results))
                    if ranks.is_main:
                        reporter.targets = _lines(outcome)
                        reporter.expected = _expected(outcome, len(self.order.ids))
                        reporter.finished(results)
                    if _is_settled(outcome):
                        break
        ranks.on_main(lambda: self._store(outcome, time.monotonic() - start))
        return outcome

    def _replay(self) -> tuple[Outcome | None, list[range]]:
        """The verdict on the blocks that are there, and the blocks that are not."""
        if self.scored.options.until:
            self.judge = make_judge(self.scored, self.store.read(CLEAN), self.order)
        self.there = self.kept.whole(self.cells)
        left = _gaps(self.there, len(self.order.ids), self.scored.block_size)
        lost = [block for block in left if self.there and block.start < self.there[-1].start]
        if lost:
            _LOGGER.warning(
                "'%s': %d kept block(s) before the last one are lost or damaged, images %d to %d "
                "in visit order; they are scored again",
                self.kept.folder, len(lost), lost[0].start + 1, lost[-1].stop,
            )  # fmt: skip
        for block in self.there:
            self._offer(block, self.kept.read(block))
        return self._outcome(), left

    def _offer(self, block: range, samples: Mapping[Cell, Samples]) -> None:
        if self.judge is not None:
            ids = [self.order.ids[place] for place in block]
            self.judge.offer(block.start, self.judge.scores.terms_of(ids, samples))

    def _outcome(self) -> Outcome | None:
        return None if self.judge is None else self.judge.outcome()

    def _take(self, blocks: Sequence[range], results: Sequence[Scored]) -> Outcome | None:
        """Keep a turn's blocks, and judge."""
        for block, (_, samples) in zip(blocks, results, strict=False):
            self.kept.write(block, samples)
            self.there.append(block)
            self._offer(block, samples)
        return self._outcome()

    def judge_whole(self) -> Outcome | None:
        """The verdict on a sweep that is complete."""
        self.judge = make_judge(self.scored, self.store.read(CLEAN), self.order)
        samples = {cell: dict(self.store.read(cell).samples) for cell in self.cells}
        by_visit = {
            cell: {name: array[self.order.places] for name, array in own.items()}
            for cell, own in samples.items()
        }
        self.judge.offer(0, self.judge.scores.terms_of(self.order.ids, by_visit))
        return self._outcome()

    def _store(self, outcome: Outcome | None, seconds: float) -> None:
        """Write the cells: of all images as an ordinary sweep's, else apart and marked."""
        blocks, images = _prefix(self.there)
        if images == len(self.order.ids):
            self._store_whole(blocks, seconds)
        elif outcome is not None:
            self._store_stopped(blocks, outcome)

    def _store_whole(self, blocks: Sequence[range], seconds: float) -> None:
        places = np.argsort(self.order.places)
        for cell, joined in self.kept.join(blocks, self.cells):
            samples = {name: array[places] for name, array in joined.items()}
            score = running_score(self.scored, samples) if is_logged() else None
            stored = self.scored.finish(self.store, cell, samples)
            self.store.write(CellResult(cell, self.scored.provenance, self.scored.keys, stored))
            self.store.log_time(cell, seconds / len(self.cells), resumed=True)
            record_cell(self.scored, cell, score, seconds=seconds / len(self.cells))
        self.store.record(dataclasses.replace(self.store.provenance(), sampling={}))
        shutil.rmtree(self.store.stopped.folder, ignore_errors=True)
        self.kept.clear()

    def _store_stopped(self, blocks: Sequence[range], outcome: Outcome) -> None:
        run = self.store.provenance()
        sampling = with_outcome(identity_of(self.scored, self.order), outcome)
        own: Provenance = dataclasses.replace(self.scored.provenance, sampling=sampling)
        apart, ids = self.store.stopped, self.order.ids[: outcome.scored]
        for cell, joined in self.kept.join(blocks, self.cells):
            stored = self.scored.finish(apart, cell, joined)
            apart.write(CellResult(cell, own, ids, stored))
        self.store.record(dataclasses.replace(run, sampling=sampling))


def _is_settled(outcome: Outcome | None) -> bool:
    return outcome is not None and outcome.verdict != "UNDECIDED"


def _prefix(blocks: Sequence[range]) -> tuple[list[range], int]:
    """The blocks that follow each other from the first image, and how many images they hold."""
    found: list[range] = []
    place = 0
    for block in sorted(blocks, key=lambda one: one.start):
        if block.start != place:
            break
        found.append(block)
        place = block.stop
    return found, place


def _gaps(there: Sequence[range], total: int, size: int) -> list[range]:
    """What blocks leave out, cut into blocks."""
    found, place = [], 0
    for block in (*there, range(total, total)):
        if block.start > place:
            parts = split_blocks(block.start - place, size)
            found += [range(place + one.start, place + one.stop) for one in parts]
        place = block.stop
    return found


def _lines(outcome: Outcome | None) -> tuple[str, ...]:
    if outcome is None:
        return ()
    return tuple(
        f"{describe_state(one)}, "
        + ("decided" if one.share >= 1 else f"about {one.expected - outcome.scored:,d} images left")
        for one in outcome.targets
    )


def _expected(outcome: Outcome | None, total: int) -> int:
    """At which image the last target is expected to be decided."""
    if outcome is None or not outcome.targets:
        return total
    return max(one.expected for one in outcome.targets)


__all__ = ["begun_sampling", "run_until"]
