"""Which images are shown: by the records of a sweep, before anything is predicted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from stl_backbones.corruptions.catalog import cell_at
from stl_backbones.errors import InputError, MissingFileError, some_of, unknown_name
from stl_backbones.records import CLEAN, Cell
from stl_backbones.report.read.class_names import find_class
from stl_backbones.report.read.metrics import TaskMetrics
from stl_backbones.results import CellStore

ORDERS = ("drop", "worst", "random")
_CLASS = "class:"
DEFAULT_COUNT = 12
_DEFAULT_CELLS = 3


@dataclass(frozen=True)
class Choice:
    """An image in a cell.

    Attributes:
        image: Its position in the sweep.
        cell: The cell.
    """

    image: int
    cell: Cell


def find_cells(store: CellStore, task: TaskMetrics, words: Sequence[str]) -> tuple[Cell, ...]:
    """The cells that are named, or those of the corruptions that cost most.

    Args:
        store: The sweep's cells.
        task: Its numbers.
        words: Such as ``'fog/5'``; none: of the three corruptions whose score at their strongest
            severity is lowest, these cells.

    Raises:
        InputError: If a word is no cell, or the sweep has no corrupted cell.
        MissingFileError: If the sweep lacks the cell.
    """
    there = [cell for cell in store.cells() if not cell.is_clean]
    if CLEAN not in store.cells() or not there:
        raise MissingFileError(
            f"'{store.folder}' has no finished clean and corrupted cells; finish the sweep first"
        )
    if words:
        return tuple(dict.fromkeys(_named(word, there) for word in words))
    strongest = {cell.corruption: cell for cell in sorted(there, key=lambda cell: cell.severity)}
    scores = {cell: _score(store, task, cell) for cell in strongest.values()}
    return tuple(sorted(scores, key=lambda cell: scores[cell])[:_DEFAULT_CELLS])


def _named(word: str, there: Sequence[Cell]) -> Cell:
    cell, name = cell_at(word), word.partition("/")[0]
    if cell is None:
        raise InputError(f"a cell is CORRUPTION/SEVERITY, for example fog/5, got '{word}'")
    if cell not in there:
        levels = [f"{one.corruption}/{one.severity:g}" for one in there if one.corruption == name]
        if levels:
            raise MissingFileError(f"the sweep has no cell '{word}', but {some_of(levels)}")
        raise unknown_name("corruption of the sweep", name, {one.corruption for one in there})
    return cell


def _score(store: CellStore, task: TaskMetrics, cell: Cell) -> float:
    result = store.read(cell)
    none = np.zeros((0, len(result.image_ids)), np.float32)
    score = float(task.score_cell(result, none).replicates[task.main.key][0])
    return -score if task.main.lower_is_better else score


def choose(
    store: CellStore, task: TaskMetrics, cells: Sequence[Cell], *, count: int, by: str
) -> list[Choice]:
    """Choose images, worst first.

    Args:
        store: The sweep's cells.
        task: Its numbers.
        cells: Where to look; each gets its share of ``count``.
        count: Pictures, at most.
        by: ``'drop'``: the largest fall against the clean image; ``'worst'``: the lowest score,
            however the clean one is; ``'class:NAME'``: the largest fall of a class's score, among
            the images that have it; ``'random'``: any, the same at every call.

    Raises:
        InputError: If the order is unknown, or no image falls.
        UnknownNameError: If the data have no such class.
    """
    clean = store.read(CLEAN)
    index = _class_index(by, clean.provenance.classes)
    shares = [len(part) for part in np.array_split(np.arange(count), len(cells))]
    chosen = []
    for cell, share in zip(cells, shares, strict=True):
        result = store.read(cell)
        if result.image_ids != clean.image_ids:
            raise InputError(f"'{store.path(cell)}' holds other images than the clean cell")
        if by == "random":
            rng = np.random.default_rng([0, *cell.name.encode()])
            order = rng.permutation(len(result.image_ids))
        else:
            scores = task.image_scores(result, index)
            before = 0.0 if by == "worst" else task.image_scores(clean, index)
            order = _order(before - scores, falls=by != "worst")
        chosen += [Choice(int(image), cell) for image in order[:share]]
    if not chosen:
        raise InputError(
            f"no image is worse in {', '.join(cell.name for cell in cells)} than clean; "
            "expected other cells, or by worst or random"
        )
    return chosen


def _order(falls_by: npt.NDArray[np.float64], *, falls: bool) -> npt.NDArray[np.intp]:
    """Images by falling numbers; NaN, and where ``falls`` is set what does not fall, left out."""
    order = np.argsort(-falls_by, kind="stable")
    counts = np.isfinite(falls_by) & ((falls_by > 0) | (not falls))
    return order[counts[order]]


def _class_index(by: str, classes: Sequence[str]) -> int | None:
    if by in ORDERS:
        return None
    if not by.startswith(_CLASS):
        raise InputError(f"the order must be {', '.join(ORDERS)} or class:NAME, got '{by}'")
    return find_class(by.removeprefix(_CLASS), classes)


__all__ = ["DEFAULT_COUNT", "ORDERS", "Choice", "choose", "find_cells"]
