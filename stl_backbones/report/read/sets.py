"""Sets of other images beside a model's corrupted ones, see `stl_backbones.shift_sets`.

Layout of a model's folder::

    DIR/                    a sweep: clean and corrupted images
    DIR/imagenet-a/         a store with the cell `clean`: the images of ImageNet-A, logits cut to
                            its 200 classes
    DIR/imagenet-a-clean/   likewise the ImageNet-1K images of those classes: what the retention
                            of ImageNet-A is a share of
    DIR/imagenet-sketch/    a set of all classes: its clean partner is the sweep's own clean cell

Each of them may be absent.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from stl_backbones.errors import InputError
from stl_backbones.metrics.light import LIGHT
from stl_backbones.records import CLEAN, Provenance
from stl_backbones.report.read.cells import Draws, Measured, Part, counts_of, measure
from stl_backbones.report.read.metrics import TaskMetrics
from stl_backbones.report.read.text import listed, plain
from stl_backbones.results import CellStore
from stl_backbones.results.conditions import read_conditions
from stl_backbones.shift_sets import SHIFT_SETS

CLEAN_SUFFIX = "-clean"
SHAPE_BIAS = "shape_bias"  # of cue-conflict images alone


def set_names(task: TaskMetrics) -> tuple[str, ...]:
    """Sub-folders that a model's folder may have: the sets, each with its clean images."""
    return tuple(f"{name}{suffix}" for name in task.sets for suffix in ("", CLEAN_SUFFIX))


def own_clean(name: str, sets: Container[str]) -> str:
    """The set that is the clean partner of one; empty where the sweep's clean cell is."""
    known, partner = SHIFT_SETS.get(name), f"{name}{CLEAN_SUFFIX}"
    return partner if known is None or known.has_own_clean or partner in sets else ""


def is_store(folder: Path) -> bool:
    """Whether a folder holds a store: cells without their record are one whose record was lost."""
    return (folder / "run.json").is_file() or any((folder / "cells").glob("*.npz"))


def find_sets(folder: Path, task: TaskMetrics) -> dict[str, Path]:
    """The sets that a model's folder holds: name -> store."""
    return {name: folder / name for name in set_names(task) if is_store(folder / name)}


def read_sets(
    folder: Path, task: TaskMetrics, *, draws: Draws, partial: bool
) -> dict[str, Measured]:
    """Read the sets that a model's folder holds; with ``partial`` those that were finished.

    Raises:
        ValueError: If a set was not finished, is another one than its folder's name says, or is of
            other classes than its clean images.
    """
    found = {}
    for name, path in find_sets(folder, task).items():
        store = CellStore(path)
        provenance = store.provenance()
        _check_place(name, path, provenance, task)
        if set(store.cells()) - {CLEAN}:
            others = listed([cell.name for cell in store.cells() if not cell.is_clean])
            raise InputError(f"'{path}' holds cells {others}, expected '{CLEAN.name}' alone")
        if CLEAN not in store.cells():
            if partial:
                continue
            raise InputError(
                f"'{path}' holds no finished cell '{CLEAN.name}'. Measure it, or use --partial, "
                "which leaves the set out (missing is never zero)"
            )
        counts = counts_of(store, provenance, draws, name)
        own = _noted(measure(store, [CLEAN], provenance, task=task, counts=counts), store)
        found[name] = replace(own, parts=_parts(store, name, task, draws))
    _check_classes(found)
    return found


def check_sets(
    sets: Mapping[str, Measured], folder: Path, provenance: Provenance, *, is_swept: bool
) -> None:
    """Refuse sets of another model, and of classes that the sweep has not.

    Raises:
        InputError: If there is one.
    """
    for name, one in sets.items():
        is_part = not is_swept or set(one.provenance.classes) <= set(provenance.classes)
        if not own_clean(name, sets) and not name.endswith(CLEAN_SUFFIX) and not is_part:
            raise InputError(
                f"'{one.folder}' and '{folder}' differ in classes, so their ratio is no retention; "
                "measure one of them again"
            )
        if one.provenance.checkpoint_sha256 != provenance.checkpoint_sha256:
            raise InputError(
                f"'{one.folder}' was measured with another checkpoint than '{folder}'; one row "
                "is one model"
            )


def _noted(found: Measured, store: CellStore) -> Measured:
    """Entirely black images, as ImageNet-Sketch has, are scored and named."""
    result, record = store.read(CLEAN), found.provenance
    light = result.samples.get(LIGHT[0])
    black = [] if light is None else [result.image_ids[n] for n in np.flatnonzero(light == 0)]
    if not black:
        return found
    note = f"{record.dataset}: {len(black)} images are entirely black, and scored: {listed(black)}"
    return replace(found, provenance=replace(record, notes=(*record.notes, note)))


def _parts(
    store: CellStore, name: str, task: TaskMetrics, draws: Draws
) -> dict[str, dict[str, Part]]:
    """The set by each of its conditions: column -> value -> its images, from their own sums."""
    result = store.read(CLEAN)
    conditions = read_conditions(store.folder, result.image_ids)

    def part(column: str, value: str) -> Part:
        rows = np.flatnonzero(np.array(conditions[column]) == value)
        counts: npt.NDArray[np.float32] = np.zeros((0, 1), np.float32)
        if len(rows) > 1:  # a single image says nothing of others
            counts = draws.counts(len(rows), f"{name}={column}={value}")
        own = task.images_of(result, rows)
        record = task.score_cell(own, counts)
        scorer = task.class_scorer(np.empty((len(rows), 0), np.float32))
        by_class = record.classes if scorer is None else scorer(own)
        truth = () if by_class is None else by_class.truth
        present = tuple(
            one for one, count in zip(result.provenance.classes, truth, strict=False) if count
        )
        return Part(len(rows), record.replicates, present)

    return {
        column: {value: part(column, value) for value in sorted(set(values))}
        for column, values in conditions.items()
    }


def check_stated(sets: Mapping[str, Measured], main: Measured, task: TaskMetrics) -> None:
    """Refuse what `read_sets` and `check_sets` do, of a bundle without records.

    Raises:
        InputError: If there is such a set.
    """
    for name, one in sets.items():
        _check_place(name, one.folder, one.provenance, task)
    _check_classes(sets)
    check_sets(sets, main.folder, main.provenance, is_swept=True)


def _check_place(name: str, path: Path, provenance: Provenance, task: TaskMetrics) -> None:
    """Tables name a set after its folder."""
    if name not in set_names(task):
        raise InputError(f"'{path}': '{name}' is no set of other images of {task.name}")
    title = task.sets[name.removesuffix(CLEAN_SUFFIX)]
    known, expected = SHIFT_SETS.get(name.removesuffix(CLEAN_SUFFIX)), title
    if name.endswith(CLEAN_SUFFIX):
        expected = f"ImageNet-1K, classes of {title}" if known is None else known.partner_title
    if provenance.dataset != expected:
        raise InputError(
            f"'{path}' holds data set '{plain(provenance.dataset)}', expected '{expected}'; rename "
            "the folder, or measure it again"
        )


def _check_classes(sets: Mapping[str, Measured]) -> None:
    """Retention compares accuracies over the same classes."""
    for name, one in sets.items():
        clean = sets.get(f"{name}{CLEAN_SUFFIX}")
        if clean is not None and clean.provenance.classes != one.provenance.classes:
            raise InputError(
                f"'{one.folder}' and '{clean.folder}' differ in classes, so their ratio is no "
                "retention; measure one of them again"
            )
