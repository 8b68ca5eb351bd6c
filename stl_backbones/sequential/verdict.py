"""From the evidence of several gates to one verdict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

Verdict = Literal["PASS", "FAIL", "UNDECIDED"]


@dataclass(frozen=True)
class Decision:
    """A verdict on "every gate is kept", and after how many images it was reached."""

    verdict: Verdict
    images: int


def decide(
    kept: Sequence[npt.NDArray[np.float64]],
    broken: Sequence[npt.NDArray[np.float64]],
    *,
    alpha: float,
) -> Decision:
    """Judge gates by their evidence.

    PASS needs each gate's own evidence that it is kept, at whatever time it was reached, without
    correction (intersection-union). FAIL needs the mean of the gates' evidence that they are broken
    (which is evidence against "all are kept" however they depend on each other). One of both is
    the truth, so the verdict is wrong with a chance of at most alpha.

    Args:
        kept: ``(T,)`` each: log evidence that the gate is kept, after each image.
        broken: The same, that it is broken.
        alpha: That chance.

    Returns:
        The verdict; undecided after all T images.
    """
    images = max((len(one) for one in kept), default=0)
    passed = max((_first(one, 1 / alpha) for one in kept), default=images + 1)
    failed = images + 1
    if broken:
        joint = np.logaddexp.reduce(list(broken), axis=0) - np.log(len(broken))
        failed = _first(joint, 1 / alpha)
    if min(passed, failed) > images:
        return Decision("UNDECIDED", images)
    return Decision("PASS", passed) if passed < failed else Decision("FAIL", failed)


def _first(log_evidence: npt.NDArray[np.float64], needed: float) -> int:
    """After how many images the evidence is reached; one more than there are if it is not."""
    reached = log_evidence >= np.log(needed)
    return int(np.argmax(reached)) + 1 if reached.any() else len(log_evidence) + 1
