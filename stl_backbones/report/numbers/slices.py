"""Every number of a report once more, of a part of the images."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from stl_backbones.errors import InputError
from stl_backbones.metrics import resample_counts
from stl_backbones.records import Cell
from stl_backbones.report.numbers.aggregates import Findings
from stl_backbones.report.read.metrics import CellScores
from stl_backbones.report.read.runs import Run, wanted_cells
from stl_backbones.report.read.slice_columns import SliceColumn, image_ids
from stl_backbones.results import CellStore

Indices = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Slice:
    """A part of the images.

    Attributes:
        value: What they have in common.
        images: How many there are.
        findings: The models on them alone; of a single image without intervals.
    """

    value: str
    images: int
    findings: Findings


@dataclass(frozen=True)
class SlicedColumn:
    """A property, and the data set cut by it.

    Attributes:
        name: The property.
        slices: One for each value.
        left_out: Images without a value, which are in no slice.
    """

    name: str
    slices: tuple[Slice, ...]
    left_out: int


def cut_findings(findings: Findings, columns: Sequence[SliceColumn]) -> tuple[SlicedColumn, ...]:
    """Score the models on each slice as if it were the whole data set.

    The resamples of a slice are drawn from its own images, the same ones in every cell and for
    every model.

    Args:
        findings: The models on all images.
        columns: What the images are cut by.

    Raises:
        InputError: If two models hold other images.
    """
    return tuple(_cut(findings, column) for column in columns)


def _cut(findings: Findings, column: SliceColumn) -> SlicedColumn:
    swept = [run for run in findings.runs if run.scores]
    places = [_places(run, column) for run in swept]
    sizes = {value: len(rows) for value, rows in places[0].items()}
    counts = {value: _counts(findings, column, value, size) for value, size in sizes.items()}
    scored = [
        _score(run, findings, own, counts) for run, own in zip(swept, places, strict=True)
    ]  # fmt: skip
    slices = (
        Slice(value, size, replace(findings, runs=tuple(found[value] for found in scored)))
        for value, size in sizes.items()
    )
    return SlicedColumn(column.name, tuple(slices), len(image_ids(swept[0])) - sum(sizes.values()))


def _places(run: Run, column: SliceColumn) -> dict[str, Indices]:
    """Value -> positions of its images."""
    ids = image_ids(run)
    without = [one for one in ids if one not in column.of_image]
    if without:
        raise InputError(
            f"--slices {column.name}: '{run.label}' holds image '{without[0]}', which has no value"
        )
    found = np.array([column.of_image[one] for one in ids])
    places = {value: np.flatnonzero(found == value) for value in column.values}
    return {value: rows for value, rows in places.items() if len(rows)}


def _counts(
    findings: Findings, column: SliceColumn, value: str, images: int
) -> npt.NDArray[np.float32]:
    """``(resamples, images)``; a single image says nothing about others."""
    draws = findings.draws
    rng = np.random.default_rng([draws.seed, *f"{column.name}={value}".encode()])
    return resample_counts(images, resamples=draws.resamples if images > 1 else 0, rng=rng)


def _score(
    run: Run,
    findings: Findings,
    places: Mapping[str, Indices],
    counts: Mapping[str, npt.NDArray[np.float32]],
) -> dict[str, Run]:
    """Value -> the model on those images alone."""
    task, store = findings.task, CellStore(run.folder)
    measured = set(run.replicates.get(task.main.key, {}))
    cells = [cell for cell in wanted_cells(findings.protocol, task) if cell in measured]

    def of_cell(cell: Cell) -> dict[str, CellScores]:
        result = store.read(cell)
        return {
            value: task.score_cell(task.images_of(result, rows), counts[value])
            for value, rows in places.items()
        }

    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        scored = dict(zip(cells, pool.map(of_cell, cells), strict=True))
    return {
        value: _as_run(run, findings, {cell: found[value] for cell, found in scored.items()})
        for value in places
    }


def _as_run(run: Run, findings: Findings, scores: Mapping[Cell, CellScores]) -> Run:
    replicates = {
        key: {cell: found.replicates[key] for cell, found in scores.items()}
        for key in run.replicates
    }
    main = replicates[findings.task.main.key]
    own = {cell: float(main[cell][0]) for cell in findings.protocol.cells() if cell in main}
    # AlexNet's errors, by which mCE divides, are of all images.
    record = replace(run.provenance, imagenet_val=False)
    return replace(run, provenance=record, replicates=replicates, scores=own, classes={},
                   sets={}, unfinished=())  # fmt: skip


__all__ = ["Slice", "SlicedColumn", "cut_findings"]
