"""How far a sweep is, and its scores so far."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from stl_backbones.display import Display
from stl_backbones.records import Cell
from stl_backbones.robustness.tasks import ScoredSet
from stl_backbones.robustness.tasks.base import Scored, Tally
from stl_backbones.run_log import is_logged, record_progress

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
            target is expected to be decided.
        rate: Images a second, each in all cells; 0 before any is scored in this run.
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
    rate: float = 0.0
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
        self.is_wanted = report is not None or is_logged()
        self.total = len(scored.keys)
        self.before = self.total - sum(len(block) for block in left)
        self.done = self.versions = 0
        self.targets: tuple[str, ...] = ()
        self.expected = self.total  # images that will be scored
        self.tallies: dict[Cell, Tally] = {}
        self.start = self.reported = time.monotonic()
        if self.is_wanted and (not cells or self.before):
            self._report(self.before if cells else self.total, {}, 0.0)

    def tick(self, versions: int) -> None:
        """Report versions just scored, if nothing was reported for a while."""
        self.versions += versions
        now = time.monotonic()
        if self.is_wanted and now - self.reported > _SILENCE:
            self.reported = now
            left = len(self.cells) * (self.expected - self.before) - self.versions
            each = (now - self.start) / self.versions
            self._report(self.before + self.done, self._scores(), each * max(left, 0))

    def finished(self, results: Sequence[Scored]) -> None:
        """Report blocks just scored."""
        if not self.is_wanted:
            return
        for block, by_cell in results:
            self.done += len(block)
            for cell, samples in by_cell.items():
                tally = self.scored.tally(samples)
                self.tallies[cell] = self.tallies.get(cell, np.zeros_like(tally)) + tally
        self.versions, self.reported = self.done * len(self.cells), time.monotonic()
        each = (self.reported - self.start) / self.done
        done = self.before + self.done
        self._report(done, self._scores(), each * max(self.expected - done, 0))

    def _scores(self) -> dict[Cell, float]:
        return {c: self.scored.score_of(tally, self.done) for c, tally in self.tallies.items()}

    def _report(self, done: int, scores: Mapping[Cell, float], remaining: float) -> None:
        state = self._progress(done, scores, remaining)
        record_progress(
            done, state.total, dataset=state.dataset, cells=state.cells, share=state.share,
            metric=state.metric, clean=state.clean, corrupted=state.corrupted,
            images_per_second=state.rate, seconds_left=remaining,
            **({"targets": state.targets} if state.targets else {}),
        )  # fmt: skip
        if self.report is not None:
            self.report(state)

    def _progress(self, done: int, scores: Mapping[Cell, float], remaining: float) -> SweepProgress:
        corrupted = [score for cell, score in scores.items() if not cell.is_clean]
        clean = [score for cell, score in scores.items() if cell.is_clean]
        images = self.versions / max(len(self.cells), 1)  # with what is done of those at hand
        return SweepProgress(
            dataset=self.scored.title,
            done=done,
            total=self.total,
            share=min((done + images - self.done) / self.total, 1.0),  # others may have less to do
            cells=len(self.cells),
            metric=self.scored.metric,
            clean=clean[0] if clean else math.nan,
            corrupted=float(np.mean(corrupted)) if corrupted else math.nan,
            is_share=self.scored.is_share,
            remaining=remaining,
            rate=images / max(time.monotonic() - self.start, 1e-9),
            targets=self.targets,
        )


@contextmanager
def show_progress(progress: bool | Callable[[Any], None]) -> Iterator[OnProgress | None]:
    """What a sweep reports to.

    Args:
        progress: Whether progress is shown; or a function that is called instead.
    """
    if not isinstance(progress, bool):
        yield progress
        return
    with Display("", "images", shown=progress) as display:

        def update(state: SweepProgress) -> None:
            display.update(
                state.done, state.total, title=f"{state.dataset}, {state.cells} cell(s)",
                share=state.share, scores=_scores_text(state), rate=state.rate,
                remaining=state.remaining, lines=state.targets,
            )  # fmt: skip

        yield update


def _scores_text(state: SweepProgress) -> str:
    known = [
        f"{name} {f'{100 * score:.1f} %' if state.is_share else f'{score:.1f}'}"
        for name, score in (("clean", state.clean), ("corrupted", state.corrupted))
        if not math.isnan(score)
    ]
    return f"{state.metric} {', '.join(known)}" if known else ""


__all__ = ["OnProgress", "Reporter", "SweepProgress", "show_progress"]
