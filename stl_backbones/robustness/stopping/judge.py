"""Whether a sweep may stop, after any number of its images."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from stl_backbones.robustness.stopping.questions import Question, looks
from stl_backbones.robustness.stopping.scores import Scores, Terms
from stl_backbones.sequential import decide

_LITTLE = 1e-9  # of the evidence, in place of none
Word = Literal["PASS", "FAIL", "REACHED", "UNDECIDED"]


@dataclass(frozen=True)
class TargetState:
    """How far one target is.

    Attributes:
        text: The target.
        estimate: Of the images so far.
        low: Lower end of its interval.
        high: Upper end.
        share: Share of the evidence, or of the precision, that is there: 1 is enough.
        leaning: ``'PASS'`` or ``'FAIL'``: what that evidence is for; empty for a precision.
        expected: Images at which it is expected to be decided; N at most.
    """

    text: str
    estimate: float
    low: float
    high: float
    share: float
    leaning: str
    expected: int


@dataclass(frozen=True)
class Outcome:
    """What a sweep that may stop early came to.

    Attributes:
        verdict: ``'PASS'``: all gates are kept; ``'FAIL'``: not all; ``'REACHED'``: there are no
            gates, and all intervals are narrow enough.
        images: After how many images that was certain enough.
        scored: How many are scored in all cells.
        total: N.
        alpha: Chance of a wrong verdict, and that an interval leaves its number out.
        targets: Each one's state at the end.
        is_exact: Whether all guarantees hold for any number of images, not only in the limit.
    """

    verdict: Word
    images: int
    scored: int
    total: int
    alpha: float
    targets: tuple[TargetState, ...]
    is_exact: bool = True

    @property
    def passed(self) -> bool:
        """Whether nothing is left to wish for."""
        return self.verdict in ("PASS", "REACHED")

    @property
    def headline(self) -> str:
        """For example ``'PASS after 2,600 of 50,000 images (5.2 %), wrong with ...'``."""
        share = 100 * self.images / self.total
        text = f"{self.verdict} after {self.images:,d} of {self.total:,d} images ({share:.1f} %)"
        if self.images >= self.total:
            return text
        return f"{text}, {'' if self.is_exact else 'asymptotically '}wrong with chance <= " + (
            f"{100 * self.alpha:g} %"
        )

    def __str__(self) -> str:
        return "\n".join([self.headline, *(f"  {describe_state(one)}" for one in self.targets)])


def describe_state(state: TargetState) -> str:
    """A line: the target, the estimate, its interval, and how far it is."""
    what = f"of the evidence for {state.leaning}" if state.leaning else "of the precision"
    if math.isnan(state.estimate):
        return f"{state.text}: no image of it yet, {min(state.share, 1):.0%} {what}"
    ends = f"{100 * state.low:.2f} .. {100 * state.high:.2f}"
    known = f" ({ends})" if math.isfinite(state.low) else " (no interval yet)"
    return f"{state.text}: {100 * state.estimate:.2f} %{known}, {min(state.share, 1):.0%} {what}"


class Judge:
    """Holds the values of the images that are scored, and judges them.

    Args:
        questions: What is asked.
        scores: Filled by `offer`.
        total: N.
        alpha: Chance of a wrong verdict.
    """

    def __init__(
        self, questions: Sequence[Question], scores: Scores, *, total: int, alpha: float
    ) -> None:
        self.questions, self.scores, self.total, self.alpha = questions, scores, total, alpha
        self.gates = [one for one in questions if one.target.kind != "width"]
        self.widths = [one for one in questions if one.target.kind == "width"]
        self.waiting: dict[int, Mapping[str, Terms]] = {}
        self.looked: dict[int, int] = {}  # number of a width -> images of its last look
        self.reached: dict[int, int] = {}  # the same -> images at which it was narrow enough
        self._intervals: dict[tuple[int, int], tuple[float, float, float]] = {}

    def offer(self, start: int, terms: Mapping[str, Terms]) -> None:
        """Take a block's terms; they count once all images before it are there."""
        self.waiting[start] = terms
        ready = []
        place = self.scores.images
        while place in self.waiting:
            ready.append(self.waiting.pop(place))
            place += len(next(iter(ready[-1].values())))
        if ready:
            self.scores.add(ready)

    @property
    def images(self) -> int:
        """How many images count."""
        return self.scores.images

    def outcome(self) -> Outcome:
        """The verdict on the images that count."""
        images = self.images
        if images == self.total:
            return self._full()
        if not images:
            return Outcome("UNDECIDED", 0, 0, self.total, self.alpha, ())
        evidence = [one.evidence(images) for one in self.gates]
        word: Word = "REACHED"
        after = 0
        if evidence:
            kept, broken = zip(*evidence, strict=True)
            decision = decide(kept, broken, alpha=self.alpha)
            word, after = decision.verdict, decision.images
        for number, one in enumerate(self.widths):
            reached = self._reached(number, one)
            if reached is None:
                word = "UNDECIDED"
            else:
                after = max(after, reached)
        states = self._states(evidence)
        exact = all(one.is_exact for one in self.questions)
        return Outcome(word, after, images, self.total, self.alpha, states, exact)

    def _full(self) -> Outcome:
        """All images are there: the comparisons themselves."""
        word: Word = "REACHED"
        if self.gates:
            word = "PASS" if all(one.keeps(one.truth()) for one in self.gates) else "FAIL"
        states = []
        for one in self.questions:
            truth = one.truth()
            leaning = ""
            if one.target.kind != "width":
                leaning = "PASS" if one.keeps(truth) else "FAIL"
            states.append(
                TargetState(str(one.target), truth, truth, truth, 1.0, leaning, self.total)
            )
        return Outcome(word, self.total, self.total, self.total, self.alpha, tuple(states))

    def _reached(self, number: int, one: Question) -> int | None:
        """At which look an interval is narrow enough."""
        if one.known is not None:
            return 0
        for look in looks(self.total):
            if number not in self.reached and self.looked.get(number, 0) < look <= self.images:
                _, low, high = self._interval(one, look)
                self.looked[number] = look
                if (high - low) / 2 <= one.target.bound:
                    self.reached[number] = look
        return self.reached.get(number)

    def _interval(self, one: Question, images: int) -> tuple[float, float, float]:
        key = (id(one), images)
        if key not in self._intervals:
            self._intervals[key] = one.interval(images)
        return self._intervals[key]

    def _states(self, evidence: Sequence[tuple[Any, Any]]) -> tuple[TargetState, ...]:
        """How far all targets are, with intervals of the latest look."""
        at = max((look for look in looks(self.total) if look <= self.images), default=self.images)
        logs = dict(zip(map(id, self.gates), evidence, strict=True))
        return tuple(self._state(one, logs.get(id(one)), at) for one in self.questions)

    def _state(self, one: Question, logs: tuple[Any, Any] | None, at: int) -> TargetState:
        estimate, low, high = self._interval(one, at)
        worth = self.images / (1 - self.images / self.total)
        half = (high - low) / 2
        leaning = ""
        if logs is None:
            share = one.target.bound / half if half else 1.0
            needed = worth / max(share, _LITTLE) ** 2
        else:
            share, leaning = self._gate_share(one, logs, estimate, half)
            needed = worth / max(share, _LITTLE)
        expected = self.images if share >= 1 else needed / (1 + needed / self.total)
        return TargetState(str(one.target), estimate, low, high, share, leaning,
                           min(self.total, math.ceil(expected)))  # fmt: skip

    def _gate_share(
        self, one: Question, logs: tuple[Any, Any], estimate: float, half: float
    ) -> tuple[float, str]:
        """How much of the evidence is there, and for what."""
        kept = float(np.max(logs[0])) / np.log(1 / self.alpha)
        broken = float(np.max(logs[1])) / np.log(len(self.gates) / self.alpha)
        if not one.is_exact and one.known is None and max(kept, broken) < 1:
            over = one.target.side * (estimate - one.target.bound)
            kept, broken = (over / half, -over / half) if half else (0.0, 0.0)
        return max(kept, broken, 0.0), "PASS" if kept >= broken else "FAIL"


__all__ = ["Judge", "Outcome", "TargetState", "describe_state"]
