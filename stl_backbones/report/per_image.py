"""Every image in every cell, as lines of a CSV file: for plots and lists of the worst images."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from stl_backbones.corruptions.protocols import Protocol
from stl_backbones.records import CLEAN, Cell
from stl_backbones.report.data import MAIN_SET
from stl_backbones.report.read.metrics import TaskMetrics
from stl_backbones.report.read.runs import Run, stopped_mark
from stl_backbones.report.render.csv_files import as_field
from stl_backbones.results import CellStore
from stl_backbones.results.atomic import PARTIAL_SUFFIX


def write_images(path: Path, runs: Sequence[Run], protocol: Protocol, task: TaskMetrics) -> None:
    """Write one line per model, image set, cell and image: the task's numbers of that image alone.

    A number is empty where the model has none of its kind, and ``nan`` where the image has nothing
    to count, no object of that size for example.

    Args:
        path: The file; it appears whole or not at all.
        runs: The models.
        protocol: Whose cells.
        task: The models' task.

    Raises:
        DamagedCellError: If a file is not what was written.
    """
    numbers = [f"{one.key}_{one.unit}" for one in task.cells]
    header = ("model", "set", "corruption", "severity", "image", *task.image_samples, *numbers)
    partial = path.with_name(f".{path.name}.{os.getpid()}{PARTIAL_SUFFIX}")
    try:
        with partial.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(header)
            for run in runs:
                for image_set, store, cell in _cells(run, protocol):
                    first = (run.label, image_set, cell.corruption, cell.severity)
                    for line in _lines(store, cell, task):
                        writer.writerow([as_field(value) for value in (*first, *line)])
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _cells(run: Run, protocol: Protocol) -> Iterator[tuple[str, CellStore, Cell]]:
    whole = CellStore(run.folder)
    for cell in protocol.cells():
        if cell in run.scores:
            is_drawn = stopped_mark(run.provenance) and not cell.is_clean
            yield MAIN_SET, whole.stopped if is_drawn else whole, cell
    for name, one in run.sets.items():
        yield name, CellStore(one.folder), CLEAN


def _lines(store: CellStore, cell: Cell, task: TaskMetrics) -> Iterator[Sequence[object]]:
    """Image, samples, numbers."""
    result = store.read(cell)
    scores = task.score_images(result)
    samples = [result.samples.get(name) for name in task.image_samples]
    columns = [*samples, *(scores.get(one.key) for one in task.cells)]
    for index, image in enumerate(result.image_ids):
        yield image, *(None if one is None else one[index].item() for one in columns)


__all__ = ["write_images"]
