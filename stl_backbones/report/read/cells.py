"""From a store's cells to scores, of the data set and of each of its resamples."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from stl_backbones.display import shown_one_by_one
from stl_backbones.errors import InputError
from stl_backbones.metrics import Replicates, resample_counts
from stl_backbones.records import Cell, CellResult, Provenance
from stl_backbones.report.read.metrics import (
    DEFAULT_RESAMPLES,
    CellScores,
    ClassRecord,
    ClassScorer,
    TaskMetrics,
    class_resamples,
)
from stl_backbones.results import CellStore


class Draws:
    """The resamples of a report: the same images in every cell and for every model.

    Args:
        resamples: How many; 0 for none.
        seed: Decides the draws.

    Raises:
        ValueError: If the number is negative.
    """

    def __init__(self, *, resamples: int = DEFAULT_RESAMPLES, seed: int = 0) -> None:
        if resamples < 0:
            raise InputError(f"resamples must be 0 or more, got {resamples}")
        self.resamples, self.seed = resamples, seed
        self._counts: dict[tuple[str, int], npt.NDArray[np.float32]] = {}

    def counts(self, images: int, image_set: str = "") -> npt.NDArray[np.float32]:
        """``(resamples, images)`` how often each is drawn; each set independently of others."""
        key = (image_set, images)
        if key not in self._counts:
            rng = np.random.default_rng([self.seed, *image_set.encode()])
            self._counts[key] = resample_counts(images, resamples=self.resamples, rng=rng)
        return self._counts[key]


@dataclass(frozen=True)
class Part:
    """The images of a set under one condition, scored as if there were no others.

    Attributes:
        images: How many.
        replicates: Metric key -> scores, as of `Measured`.
        classes: The classes that occur in their truth; empty where the task does not say.
    """

    images: int
    replicates: Mapping[str, Replicates]
    classes: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Measured:
    """The scores of a store's cells.

    Attributes:
        folder: The store's folder.
        provenance: What they were measured with.
        replicates: Metric key -> cell -> ``(1 + resamples,)`` scores: of the data set, then of
            each resample. Without the metrics that the model does not have.
        classes: Cell -> its scores by class; empty where the task has none.
        images: A number that is the same for the same images in the same order, within a process.
        parts: Of a set of other images: column of its conditions -> value -> its images alone.
    """

    folder: Path
    provenance: Provenance
    replicates: Mapping[str, Mapping[Cell, Replicates]] = field(default_factory=dict)
    classes: Mapping[Cell, ClassRecord] = field(default_factory=dict)
    images: int = 0
    parts: Mapping[str, Mapping[str, Part]] = field(default_factory=dict)


def measure(
    store: CellStore,
    cells: Sequence[Cell],
    provenance: Provenance,
    *,
    task: TaskMetrics,
    counts: npt.NDArray[np.float32],
    others: Sequence[Cell] = (),
) -> Measured:
    """Read cells of a store, all of which must be there, and score them.

    Args:
        store: Where they are.
        cells: Which.
        provenance: What they must have been measured with.
        task: Its numbers.
        counts: ``(resamples, images)`` of `Draws`.
        others: Cells that are there too: not scored, but of the same run and images.

    Raises:
        DamagedCellError: If a file is not what was written.
        ValueError: If a cell belongs to another run, its samples are impossible, or its images are
            others or in another order than those of the first cell.
    """
    few = class_resamples(len(counts), len(provenance.classes))
    drawn = np.ascontiguousarray(counts[:few].T) if task.class_scores else counts[:0].T
    score_classes = task.class_scorer(drawn)

    def read(cell: Cell) -> _Scored:
        result = _read_cell(store, cell, provenance)
        return _score(store, result, task, counts, score_classes)

    def images_of(cell: Cell) -> int:
        return hash(_read_cell(store, cell, provenance).image_ids)

    # Unpacking and hashing release the interpreter's lock; `map` keeps order and first error.
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        found_of = shown_one_by_one(
            pool.map(read, cells), f"scores of '{store.folder}'", "cells", total=len(cells)
        )
        scored = dict(zip(cells, found_of, strict=True))
        images = {cell: found.images for cell, found in scored.items()}
        images |= dict(zip(others, pool.map(images_of, others), strict=True))
    _check_same(store, images, "images")
    _check_same(store, {cell: found.labels for cell, found in scored.items()}, "labels")
    scores = {cell: found.scores for cell, found in scored.items()}
    by_class = {cell: found.classes for cell, found in scores.items()}
    return Measured(
        folder=store.folder,
        provenance=provenance,
        replicates={
            key: {cell: found.replicates[key] for cell, found in scores.items()}
            for key in _keys(store, scores, task)
        },
        classes={cell: found for cell, found in by_class.items() if found is not None},
        images=next((found.images for found in scored.values()), 0),
    )


@dataclass(frozen=True)
class _Scored:
    """One cell: its scores, and what decides whether two cells hold the same images."""

    scores: CellScores
    images: int
    labels: int


def counts_of(
    store: CellStore, provenance: Provenance, draws: Draws, image_set: str = ""
) -> npt.NDArray[np.float32]:
    """`Draws.counts` for a store's images, once a cell holds as many as its record says.

    Raises:
        DamagedCellError: If a file is not what was written.
        ValueError: If the cell was measured otherwise than the record says.
    """
    cells = store.cells()
    for cell in cells[:1]:
        _read_cell(store, cell, provenance)
    return draws.counts(provenance.num_images if cells else 1, image_set)


def _read_cell(store: CellStore, cell: Cell, provenance: Provenance) -> CellResult:
    result = store.read(cell)
    differences = result.provenance.differences(provenance)
    if differences:
        raise InputError(
            f"'{store.path(cell)}' was measured with another {', '.join(differences)} than its "
            "run.json says; delete that file and measure it again"
        )
    return result


def _score(
    store: CellStore,
    result: CellResult,
    task: TaskMetrics,
    counts: npt.NDArray[np.float32],
    score_classes: ClassScorer | None,
) -> _Scored:
    try:
        task.check_files(result, store.folder)
        scores = task.score_cell(result, counts)
        if score_classes is not None:
            scores = replace(scores, classes=score_classes(result))
    except ValueError as error:
        raise InputError(f"'{store.path(result.cell)}': {error}") from error
    truth = tuple(result.samples[name].astype(np.int64).tobytes() for name in task.truth)
    return _Scored(scores, images=hash(result.image_ids), labels=hash(truth))


def _keys(
    store: CellStore, scores: Mapping[Cell, CellScores], task: TaskMetrics
) -> tuple[str, ...]:
    """The metrics that the model has: in every cell the same ones, but for those of later cells."""
    first = next(iter(scores), None)
    if first is None:
        return ()
    there = [set(found.replicates) for found in scores.values()]
    late = {one.key for one in task.cells if one.sample} - there[0].intersection(*there)
    keys = tuple(key for key in scores[first].replicates if key not in late)
    for cell, found in scores.items():
        others = sorted(set(keys) ^ (set(found.replicates) - late))
        if others:
            raise InputError(
                f"of '{store.path(cell)}' and '{store.path(first)}' only one has the samples of "
                f"{others[0]}; delete one of them and measure it again"
            )
    return keys


def _check_same(store: CellStore, hashes: Mapping[Cell, int], what: str) -> None:
    """Resampling takes the same rows of every cell: they must be the same images."""
    first = next(iter(hashes), None)
    for cell, found in hashes.items():
        if first is not None and found != hashes[first]:
            raise InputError(
                f"'{store.path(cell)}' holds other {what} than '{store.path(first)}', or in "
                "another order; delete that file and measure it again"
            )
