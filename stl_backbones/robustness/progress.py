"""How far a sweep is, and its scores so far."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from stl_backbones.records import Cell
from stl_backbones.robustness.tasks import ScoredSet
from stl_backbones.robustness.tasks.base import Scored, Tally

OnProgress = Callable[["SweepProgress"], None]
_SILENCE = 10.0  # seconds after which progress is reported before the next images are finished


@dataclass(frozen=True)
class SweepProgress:
    """What a sweep reports while it runs.

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
        remaining: Estimated seconds to the end of this data set, or to the image at which the last
            target is expected to be settled.
        targets: Of a sweep that may stop early, a line for each target: the estimate, its
            interval, how much of the evidence is there, and how many images are expected.
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
    targets: tuple[str, ...] = ()


class Reporter:
    """Counts images, adds running scores up, and estimates what is left."""

    def __init__(
        self,
        report: OnProgress | None,
        scored: ScoredSet,
        cells: Sequence[Cell],
        left: Sequence[range],
    ) -> None:
        self.report, self.scored, self.cells = report, scored, cells
        self.total = len(scored.keys)
        self.before = self.total - sum(len(block) for block in left)
        self.done = self.versions = 0
        self.targets: tuple[str, ...] = ()
        self.expected = self.total  # images that will be scored
        self.tallies: dict[Cell, Tally] = {}
        self.start = self.reported = time.monotonic()
        if report is not None and (not cells or self.before):
            report(self._progress(self.before if cells else self.total, {}, 0.0))

    def tick(self, versions: int) -> None:
        """Report versions just scored, if nothing was reported for a while."""
        self.versions += versions
        now = time.monotonic()
        if self.report is not None and now - self.reported > _SILENCE:
            self.reported = now
            left = len(self.cells) * (self.expected - self.before) - self.versions
            rate = (now - self.start) / self.versions
            self.report(
                self._progress(self.before + self.done, self._scores(), rate * max(left, 0))
            )

    def finished(self, results: Sequence[Scored]) -> None:
        """Report blocks just scored."""
        if self.report is None:
            return
        for block, by_cell in results:
            self.done += len(block)
            for cell, samples in by_cell.items():
                tally = self.scored.tally(samples)
                self.tallies[cell] = self.tallies.get(cell, np.zeros_like(tally)) + tally
        self.versions, self.reported = self.done * len(self.cells), time.monotonic()
        rate = (self.reported - self.start) / self.done
        done = self.before + self.done
        self.report(self._progress(done, self._scores(), rate * max(self.expected - done, 0)))

    def _scores(self) -> dict[Cell, float]:
        return {c: self.scored.score_of(tally, self.done) for c, tally in self.tallies.items()}

    def _progress(self, done: int, scores: Mapping[Cell, float], remaining: float) -> SweepProgress:
        corrupted = [score for cell, score in scores.items() if not cell.is_clean]
        clean = [score for cell, score in scores.items() if cell.is_clean]
        part = self.versions / max(len(self.cells), 1) - self.done  # of the images at hand
        return SweepProgress(
            dataset=self.scored.title,
            done=done,
            total=self.total,
            share=min((done + part) / self.total, 1.0),  # other processes may have less to do
            cells=len(self.cells),
            metric=self.scored.metric,
            clean=clean[0] if clean else math.nan,
            corrupted=float(np.mean(corrupted)) if corrupted else math.nan,
            is_share=self.scored.is_share,
            remaining=remaining,
            targets=self.targets,
        )


__all__ = ["OnProgress", "Reporter", "SweepProgress"]
