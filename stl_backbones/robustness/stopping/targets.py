"""What a sweep is to find out before it may stop, as texts."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from stl_backbones.errors import InputError
from stl_backbones.report.numbers.requirements import parse_requirement
from stl_backbones.robustness.options import SweepOptions

MOST_ALPHA = 0.2  # a boundary of the asymptotic intervals ends soon beyond it
DEFAULT_ALPHA = 0.05
NO_COVARIATE, CONFIDENCE = "none", "confidence"
COVARIATES = (NO_COVARIATE, CONFIDENCE)
DEFAULT_COVARIATE = CONFIDENCE  # where the task has it; docs/explanation/stopping.md has the gain
_FORMS = "'average >= 0.60', 'average +- 1.0' (points) or 'average > SWEEP_DIR'"
_NAME = r"([\w:/.+@%-]+?|(?:\w+:)?class:.+?:[\w:/.+@%-]+?)"  # as requirements have it
_WIDTH = re.compile(rf"\s*{_NAME}\s*(?:\+-|\+/-|±)\s*(\S+)\s*")
_BOUND = re.compile(rf"\s*{_NAME}\s*(>=|<=|>|<)\s*(?!=)(\S.*?)\s*")


@dataclass(frozen=True)
class Target:
    """One thing to find out.

    Attributes:
        kind: ``'gate'``: whether a number keeps a bound; ``'better'``: whether it keeps that of
            another model; ``'width'``: the number itself, to a precision.
        name: The number, as in requirements of reports.
        comparison: ``'>='``, ``'>'``, ``'<='`` or ``'<'``; empty for a width.
        bound: The bound, or half the width of the interval, a fraction; 0 for ``'better'``.
        baseline: Folder of the other model's sweep.
    """

    kind: Literal["gate", "better", "width"]
    name: str
    comparison: str = ""
    bound: float = 0.0
    baseline: str = ""

    @property
    def side(self) -> int:
        """1 where more is better, else -1."""
        return -1 if self.comparison.startswith("<") else 1

    def __str__(self) -> str:
        if self.kind == "width":
            return f"{self.name} +- {100 * self.bound:g}"
        return f"{self.name} {self.comparison} {self.baseline or format(self.bound, 'g')}"


def parse_targets(texts: Sequence[str]) -> tuple[Target, ...]:
    """Read what ``--until`` takes.

    Raises:
        InputError: If a text has another form, or one thing is asked twice.
    """
    if isinstance(texts, str) or not all(isinstance(text, str) for text in texts):
        raise InputError(f"until takes a list of texts such as {_FORMS}, got '{texts}'")
    found = tuple(_parse(text) for text in texts)
    asked: dict[tuple[str, str, int], Target] = {}
    for one in found:
        key = ("width" if one.kind == "width" else f"gate{one.baseline}", one.name, one.side)
        if key in asked:
            raise InputError(
                f"--until names '{one.name}' twice: '{asked[key]}' and '{one}'; expected one bound"
            )
        asked[key] = one
    return found


def _parse(text: str) -> Target:
    width = _WIDTH.fullmatch(text)
    if width is not None:
        points = _number(width[2])
        if points is None or not 0 < points < 50:
            raise InputError(
                f"--until '{text}': expected a precision in points, above 0 and below 50, "
                f"got '{width[2]}'"
            )
        return Target("width", width[1], bound=points / 100)
    match = _BOUND.fullmatch(text)
    if match is None:
        raise InputError(f"--until takes {_FORMS}; got '{text}'")
    name, comparison, right = match.groups()
    if _number(right) is None:
        return Target("better", name, comparison, baseline=right)
    requirement = parse_requirement(f"{name} {comparison} {right}")
    return Target("gate", requirement.name, requirement.comparison, requirement.bound)


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) and value >= 0 else None


def check_stopping(options: SweepOptions) -> None:
    """Refuse options that do not go together.

    Raises:
        InputError: If they do not.
    """
    until, alpha = options.until, options.alpha
    if not until:
        for name, value in (
            ("alpha", alpha), ("order-seed", options.order_seed), ("covariate", options.covariate),
        ):  # fmt: skip
            if value is not None:
                raise InputError(f"--{name} says how --until stops a sweep, which is not given")
        return
    parse_targets(until)
    if options.limit is not None:
        raise InputError(
            "--until draws from all images, and --limit leaves some out: give one of both"
        )
    if options.corruptions is not None and not options.corruptions:
        raise InputError(
            "--until stops in the corrupted cells, and only the clean one is asked for"
        )
    if options.covariate is not None and options.covariate not in COVARIATES:
        raise InputError(
            f"--covariate must be one of {', '.join(COVARIATES)}, got '{options.covariate}'"
        )
    is_number = isinstance(alpha, int | float)
    if alpha is not None and not (is_number and 0 < alpha <= MOST_ALPHA):
        raise InputError(
            f"--alpha, the chance of a wrong verdict, must be above 0 and at most {MOST_ALPHA:g}, "
            f"got {alpha!r}"
        )
    seed = options.order_seed
    if seed is not None and not (isinstance(seed, int) and seed >= 0):
        raise InputError(f"--order-seed must be a whole number of at least 0, got {seed!r}")


__all__ = [
    "CONFIDENCE", "COVARIATES", "DEFAULT_ALPHA", "DEFAULT_COVARIATE", "MOST_ALPHA", "NO_COVARIATE",
    "Target", "check_stopping", "parse_targets",
]  # fmt: skip
