"""From a store's cells to scores, of the data set and of each of its resamples."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from stl_backbones.metrics import Replicates, resample_counts, weighted_sums
from stl_backbones.records import Cell, CellResult, Provenance
from stl_backbones.report.task_metrics import CellMetric, ClassScores, TaskMetric
from stl_backbones.results import CellStore

DEFAULT_RESAMPLES = 1000


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
            raise ValueError(f"resamples must be 0 or more, got {resamples}")
        self.resamples, self.seed = resamples, seed
        self._counts: dict[tuple[str, int], npt.NDArray[np.float32]] = {}

    def counts(self, images: int, image_set: str = "") -> npt.NDArray[np.float32]:
        """``(resamples, images)`` how often each image is drawn.

        Args:
            images: Number of images.
            image_set: Other sets are drawn independently.
        """
        key = (image_set, images)
        if key not in self._counts:
            rng = np.random.default_rng([self.seed, *image_set.encode()])
            self._counts[key] = resample_counts(images, resamples=self.resamples, rng=rng)
        return self._counts[key]


@dataclass(frozen=True)
class Measured:
    """The scores of a store's cells.

    Attributes:
        replicates: Metric key -> cell -> ``(1 + resamples,)`` scores: of the data set, then of
            each resample.
        class_scores: Cell -> ``(classes,)`` fractions; empty where the task has none.
        images: A number that is the same for the same images in the same order, within a process.
    """

    replicates: Mapping[str, Mapping[Cell, Replicates]]
    class_scores: Mapping[Cell, ClassScores]
    images: int


def measure(
    store: CellStore,
    cells: Sequence[Cell],
    provenance: Provenance,
    *,
    metric: TaskMetric,
    counts: npt.NDArray[np.float32],
) -> Measured:
    """Read cells of a store and score them.

    Args:
        store: Where they are.
        cells: Which; all of them must be there.
        provenance: What they must have been measured with.
        metric: The task's numbers.
        counts: ``(resamples, images)`` of `Draws`.

    Raises:
        DamagedCellError: If a file is not what was written.
        ValueError: If a cell belongs to another run, or its images are others or in another order
            than those of the first cell.
    """

    def read(cell: Cell) -> _Scored:
        return _read_cell(store, cell, provenance, metric=metric, counts=counts)

    # Unpacking and hashing release the interpreter's lock; `map` keeps order and first error.
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        scored = dict(zip(cells, pool.map(read, cells), strict=True))
    _check_same_images(store, scored)
    return Measured(
        replicates={
            one.key: {cell: found.replicates[one.key] for cell, found in scored.items()}
            for one in metric.cells
        },
        class_scores={
            cell: found.class_scores
            for cell, found in scored.items()
            if found.class_scores is not None
        },
        images=next((found.images for found in scored.values()), 0),
    )


@dataclass(frozen=True)
class _Scored:
    """One cell: its scores, and what tells whether two cells hold the same images."""

    replicates: dict[str, Replicates]
    class_scores: ClassScores | None
    images: int
    labels: int


def _read_cell(
    store: CellStore,
    cell: Cell,
    provenance: Provenance,
    *,
    metric: TaskMetric,
    counts: npt.NDArray[np.float32],
) -> _Scored:
    result = store.read(cell)
    differences = result.provenance.differences(provenance)
    if differences:
        raise ValueError(
            f"'{store.path(cell)}' was measured with another {', '.join(differences)} than its "
            "run.json says; delete that file and measure it again"
        )
    if len(result.image_ids) != provenance.num_images:
        raise ValueError(
            f"'{store.path(cell)}' holds {len(result.image_ids)} images, expected "
            f"{provenance.num_images}; delete that file and measure it again"
        )
    label = result.samples.get("label")
    try:
        return _Scored(
            replicates=replicate(result, metric.cells, counts),
            class_scores=None if metric.class_scores is None else metric.class_scores(result),
            images=hash(result.image_ids),
            labels=0 if label is None else hash(label.astype(np.int64).tobytes()),
        )
    except ValueError as error:
        raise ValueError(f"'{store.path(cell)}': {error}") from error


def replicate(
    result: CellResult, metrics: Sequence[CellMetric], counts: npt.NDArray[np.float32]
) -> dict[str, Replicates]:
    """Score a cell and its resamples.

    Args:
        result: The cell.
        metrics: Which numbers.
        counts: ``(resamples, images)``.

    Returns:
        Metric key -> ``(1 + resamples,)`` scores, the first of the images as they are.
    """
    images = len(result.image_ids)
    terms = [one.terms(result) for one in metrics]
    drawn = weighted_sums(counts, np.concatenate(terms, axis=1))
    parts = np.split(drawn, np.cumsum([part.shape[1] for part in terms])[:-1], axis=1)
    found = {}
    for one, own, part in zip(metrics, terms, parts, strict=True):
        sums = np.vstack([own.sum(axis=0, dtype=np.float64), part])
        scores = one.score(sums, images)
        if one.centred and len(scores) > 1:
            scores[1:] = np.maximum(scores[1:] + scores[0] - scores[1:].mean(), 0)
        found[one.key] = scores
    return found


def _check_same_images(store: CellStore, scored: Mapping[Cell, _Scored]) -> None:
    """Resampling takes the same rows of every cell: they must be the same images."""
    first = next(iter(scored), None)
    for cell, found in scored.items():
        for what in ("images", "labels"):
            if first is not None and getattr(found, what) != getattr(scored[first], what):
                raise ValueError(
                    f"'{store.path(cell)}' holds other {what} than '{store.path(first)}', or in "
                    "another order; delete that file and measure it again"
                )
