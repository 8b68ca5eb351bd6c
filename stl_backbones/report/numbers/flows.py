"""Into what classes turn under corruption."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from stl_backbones.corruptions.protocols import Protocol
from stl_backbones.records import CLEAN, Cell
from stl_backbones.report.numbers.overview import LEAST_IMAGES
from stl_backbones.report.numbers.summary import cells_of
from stl_backbones.report.read.metrics import ClassRecord
from stl_backbones.report.read.runs import Run

MOST = 20  # flows of a corruption, at most


@dataclass(frozen=True)
class Flow:
    """What of one class is taken for another.

    Attributes:
        cell: Where.
        truth: The true class's index.
        prediction: Index of the class that it is taken for.
        count: How many pixels or images.
        share: Of the true class's.
        clean_share: The same on clean images.
    """

    cell: Cell
    truth: int
    prediction: int
    count: int
    share: float
    clean_share: float


Flows = dict[str, list[Flow]]  # by corruption


def flows(run: Run, protocol: Protocol) -> Flows:
    """The largest flows of each corruption: those whose share rises most above the clean one.

    A pair of classes is listed once, at the severity at which most is taken. Classes on fewer than
    ten images are left out, where others occur on more: one image would be a large share.

    Args:
        run: A model.
        protocol: Whose corruptions.

    Returns:
        Corruption -> flows, 20 at most, the largest rise first; empty where predictions have no
        true class, or without clean images.
    """
    clean = run.classes.get(CLEAN)
    if clean is None or clean.confusion is None:
        return {}
    is_counted = clean.images >= min(LEAST_IMAGES, clean.images.max(initial=0))
    before = _shares(clean, is_counted)
    return {
        name: found
        for name in protocol.corruptions
        if (found := list(_of_corruption(run, cells_of(protocol, name), is_counted, before)))
    }


@dataclass(frozen=True)
class _Shares:
    """Pairs of classes, as truth * number of classes + prediction, rising; and shares of the truth.

    Attributes:
        pairs: ``(P,)``.
        shares: ``(P,)``.
    """

    pairs: npt.NDArray[np.int64]
    shares: npt.NDArray[np.float64]

    def of(self, pairs: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        """The shares of other pairs; 0 for those that do not occur here."""
        places = np.searchsorted(self.pairs, pairs)
        found = np.append(self.pairs, -1)[places] == pairs
        return np.where(found, np.append(self.shares, 0.0)[places], 0.0)


def _shares(record: ClassRecord, is_counted: npt.NDArray[np.bool_]) -> _Shares:
    """Each row divided by its class's count, the diagonal and uncounted classes left out."""
    matrix: Any = record.confusion
    rows, columns = matrix.nonzero()
    kept = (rows != columns) & is_counted[rows]
    rows, columns = rows[kept], columns[kept]
    pairs = rows * len(is_counted) + columns
    order = np.argsort(pairs)
    return _Shares(pairs[order], (np.asarray(matrix[rows, columns]) / record.truth[rows])[order])


def _of_corruption(
    run: Run, cells: list[Cell], is_counted: npt.NDArray[np.bool_], before: _Shares
) -> Iterator[Flow]:
    """Each pair once, the largest rise first."""
    known = [(cell, run.classes[cell]) for cell in cells if cell in run.classes]
    parts: list[npt.NDArray[np.float64]] = []
    for number, (_, record) in enumerate(known):
        if record.confusion is not None:
            after = _shares(record, is_counted)
            clean = before.of(after.pairs)
            table = np.stack([after.pairs, after.shares, clean, np.full(len(clean), number)])
            # A few of a cell are enough: no later one is among the largest.
            parts.append(table[:, np.argsort(clean - after.shares, kind="stable")[:MOST]])
    if not parts:
        return
    table = np.concatenate(parts, axis=1)
    rise = table[1] - table[2]
    order = np.argsort(-rise, kind="stable")
    _, first = np.unique(table[0][order], return_index=True)
    for index in order[np.sort(first)][:MOST].tolist():
        if rise[index] > 0:
            pair, share, clean_share, number = table[:, index].tolist()
            truth, prediction = divmod(int(pair), len(is_counted))
            cell, record = known[int(number)]
            count = round(share * record.truth[truth])
            yield Flow(cell, truth, prediction, count, share, clean_share)


__all__ = ["MOST", "Flow", "Flows", "flows"]
