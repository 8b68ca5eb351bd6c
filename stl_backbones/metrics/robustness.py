"""From the scores of cells to the numbers of a robustness table.

A score is a float, or an array of one shape for all cells (one score per resample, say): then so is
every mean.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar, cast

import numpy as np
import numpy.typing as npt

from stl_backbones.errors import InputError
from stl_backbones.records import CLEAN, Cell

Score = TypeVar("Score", float, npt.NDArray[np.float64])


class IncompleteCellsError(InputError):
    """A mean was asked for over cells of which some were not measured.

    Attributes:
        missing: The cells without a score.
    """

    def __init__(self, missing: Sequence[Cell]) -> None:
        self.missing = tuple(missing)
        names = ", ".join(cell.name for cell in self.missing)
        super().__init__(f"{len(self.missing)} cells are missing (missing is never zero): {names}")


def mean_of(scores: Sequence[Score]) -> Score:
    """Mean of scores, at least one; arrays are averaged element by element."""
    return cast(Score, np.mean(scores, axis=0))


def mean_over(scores: Mapping[Cell, Score], cells: Sequence[Cell]) -> Score:
    """Mean score of the cells.

    Raises:
        IncompleteCellsError: If a cell has no score.
        ValueError: If no cell is given.
    """
    if not cells:
        raise InputError("a mean needs at least one cell, got none")
    missing = [cell for cell in cells if cell not in scores]
    if missing:
        raise IncompleteCellsError(missing)
    return mean_of([scores[cell] for cell in cells])


def corruption_means(
    scores: Mapping[Cell, Score], severities: Mapping[str, Sequence[float]]
) -> dict[str, Score]:
    """Mean over severities, per corruption.

    Args:
        scores: Cell -> score.
        severities: Corruption -> its severities in the protocol.

    Raises:
        IncompleteCellsError: If any cell has no score; all missing ones are named.
    """
    wanted = [Cell(name, severity) for name, levels in severities.items() for severity in levels]
    missing = [cell for cell in wanted if cell not in scores]
    if missing:
        raise IncompleteCellsError(missing)
    return {
        name: mean_over(scores, [Cell(name, severity) for severity in levels])
        for name, levels in severities.items()
    }


def robust_mean(scores: Mapping[Cell, Score], severities: Mapping[str, Sequence[float]]) -> Score:
    """Mean over severities per corruption, then over corruptions: every corruption weighs the same.

    Raises:
        IncompleteCellsError: If any cell has no score.

    References:
        The Average column of Table 13 of the STL paper; see `corruption_means`.
    """
    return mean_of(list(corruption_means(scores, severities).values()))


def retention(scores: Mapping[Cell, Score], severities: Mapping[str, Sequence[float]]) -> Score:
    """Robust score divided by clean score; NaN, a share of nothing, where the clean one is 0.

    Raises:
        IncompleteCellsError: If any cell, the clean one included, has no score.

    References:
        Table 2 of the STL paper: retention = robust / clean.
    """
    if CLEAN not in scores:
        raise IncompleteCellsError([CLEAN])
    return share(robust_mean(scores, severities), scores[CLEAN])


def share(part: Score, whole: Score) -> Score:
    """``part / whole``, NaN where the whole is 0."""
    known = np.asarray(whole) != 0
    ratio = np.divide(part, whole, out=np.full(known.shape, np.nan), where=known)
    return cast(Score, ratio if ratio.ndim else float(ratio))
