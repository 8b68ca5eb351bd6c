"""Into what classes turn under corruption."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

from stl_backbones.corruptions.catalog import Protocol
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


def flows(run: Run, protocol: Protocol, *, most: int = MOST) -> dict[str, list[Flow]]:
    """The largest flows of each corruption: those whose share rises most above the clean one.

    A pair of classes is listed once, at the severity at which most is taken. Classes on fewer than
    ten images are left out, where others occur on more: one image would be a large share.

    Args:
        run: A model.
        protocol: Whose corruptions.
        most: How many of each, 20 at most.

    Returns:
        Corruption -> flows, the largest rise first; empty where predictions have no true class, or
        without clean images.
    """
    clean = run.classes.get(CLEAN)
    if clean is None or clean.confusion is None:
        return {}
    is_counted = clean.images >= min(LEAST_IMAGES, clean.images.max(initial=0))
    before = _shares(clean, is_counted)
    return {
        name: found
        for name in protocol.corruptions
        if (found := list(_of_corruption(run, cells_of(protocol, name), is_counted, before))[:most])
    }


def _shares(record: ClassRecord, is_counted: npt.NDArray[np.bool_]) -> Any:
    """Each row divided by its class's count, the diagonal and uncounted classes left out."""
    pairs = sparse.coo_array(record.confusion)
    rows, columns = pairs.coords
    kept = (rows != columns) & is_counted[rows] & (pairs.data > 0)
    rows, columns = rows[kept], columns[kept]
    shares = pairs.data[kept] / record.truth[rows]
    return sparse.coo_array((shares, (rows, columns)), shape=pairs.shape).tocsr()


def _of_corruption(
    run: Run, cells: list[Cell], is_counted: npt.NDArray[np.bool_], before: Any
) -> Iterator[Flow]:
    """Each pair once, the largest rise first."""
    found: list[tuple[float, Flow]] = []
    for cell in cells:
        record = run.classes.get(cell)
        if record is None or record.confusion is None:
            continue
        after = _shares(record, is_counted)
        rise = (after - before).tocoo()
        rows, columns = rise.coords
        # A few of a cell are enough: no later one is among the largest.
        for index in np.argsort(-rise.data, kind="stable")[:MOST]:
            if rise.data[index] > 0:
                pair = (int(rows[index]), int(columns[index]))
                share = float(after[pair])
                count = round(share * record.truth[pair[0]])
                flow = Flow(cell, *pair, count, share, float(before[pair]))
                found.append((float(rise.data[index]), flow))
    seen = set()
    for _, flow in sorted(found, key=lambda one: -one[0]):
        if (flow.truth, flow.prediction) not in seen:
            seen.add((flow.truth, flow.prediction))
            yield flow


__all__ = ["MOST", "Flow", "flows"]
