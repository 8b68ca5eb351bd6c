"""AUROC of tokens in many resamples of their images, in one compiled loop.

Importing this module imports numba; the loop is compiled when it is first called, in seconds.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba
import numpy as np
import numpy.typing as npt

_Function = TypeVar("_Function", bound=Callable[..., Any])


def resampled_auroc(
    confidence: npt.NDArray[np.floating],
    positive: npt.NDArray[np.bool_],
    image: npt.NDArray[np.intp],
    counts: npt.NDArray[np.float32],
) -> npt.NDArray[np.float64]:
    """How often a positive token has the higher confidence, of all pairs with a negative one.

    Args:
        confidence: ``(T,)`` of the tokens, in rising order; a pair of equal ones counts half.
        positive: ``(T,)`` which tokens are positive.
        image: ``(T,)`` the image of each.
        counts: ``(R, N)`` how often each resample has each image, and so all its tokens.

    Returns:
        ``(R,)`` shares of pairs; NaN where a resample has no pair.
    """
    starts = np.ones(len(confidence), np.bool_)
    starts[1:] = confidence[1:] != confidence[:-1]
    wins, pairs = _count_pairs(starts, positive, image, np.ascontiguousarray(counts))
    shares = np.full(len(counts), np.nan)
    np.divide(wins, pairs, out=shares, where=pairs > 0)
    return shares


def _compiled(function: _Function) -> _Function:
    # No cache on disk: it would need a folder that can be written.
    decorate: Any = numba.njit(nogil=True)
    return cast("_Function", decorate(function))


@_compiled
def _count_pairs(
    starts: npt.NDArray[np.bool_],
    positive: npt.NDArray[np.bool_],
    image: npt.NDArray[np.intp],
    counts: npt.NDArray[np.float32],
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    wins, pairs = np.zeros(len(counts)), np.zeros(len(counts))
    for resample in range(len(counts)):
        drawn = counts[resample]
        ups = downs = every_up = below = 0.0  # of equal confidences; of all; of lower ones
        for token in range(len(starts)):
            if starts[token]:
                wins[resample] += ups * (below + downs / 2)
                below += downs
                every_up += ups
                ups = downs = 0.0
            if positive[token]:
                ups += drawn[image[token]]
            else:
                downs += drawn[image[token]]
        wins[resample] += ups * (below + downs / 2)
        pairs[resample] = (every_up + ups) * (below + downs)
    return wins, pairs


__all__ = ["resampled_auroc"]
