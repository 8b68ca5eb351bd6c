"""Reading sweeps, and refusing to mix what does not belong in one table."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from stl_backbones.corruptions.catalog import Protocol, get_protocol
from stl_backbones.metrics import IncompleteCellsError
from stl_backbones.records import Cell, Provenance
from stl_backbones.report.numbers import plain
from stl_backbones.report.task_metrics import ClassScores, TaskMetric, get_task_metric
from stl_backbones.results import CellStore

# Their numbers are the package's in distribution only: named where published rows stand beside.
APPROXIMATE_MODES = ("fast", "torch")
# What rows of one table must share; model, settings, checkpoint, device and versions may differ.
SHARED_FIELDS = (
    "task",
    "classes",
    "dataset_fingerprint",
    "num_images",
    "corruption_source",
    "corruption_mode",
    "corruption_package",
    "channel_order",
    "seed",
)


class IncompleteRunsError(IncompleteCellsError):
    """Cells of the protocol are missing; the message lists them per model."""

    def __init__(self, missing: Mapping[str, Sequence[Cell]], protocol: str) -> None:
        super().__init__([cell for cells in missing.values() for cell in cells])
        told = "; ".join(
            f"'{label}' lacks {len(cells)}: {', '.join(cell.name for cell in cells)}"
            for label, cells in missing.items()
        )
        self.args = (
            f"cells of protocol '{protocol}' are missing: {told}. "
            "Measure them, or use --partial, which prints dashes (missing is never zero)",
        )


@dataclass(frozen=True)
class Run:
    """The scores of one model.

    Attributes:
        label: Name shown in tables, unique among the runs of a report.
        folder: The sweep's folder.
        provenance: What it was measured with.
        scores: Cell -> score as a fraction; only finished cells of the protocol.
        class_scores: Cell -> ``(classes,)`` fractions; empty where the task has none.
    """

    label: str
    folder: Path
    provenance: Provenance
    scores: Mapping[Cell, float]
    class_scores: Mapping[Cell, ClassScores]

    @property
    def is_approximate(self) -> bool:
        """Whether the corruptions equal the published ones in distribution only."""
        return self.provenance.corruption_mode in APPROXIMATE_MODES

    def missing(self, protocol: Protocol) -> tuple[Cell, ...]:
        """The protocol's cells without a score, in its order."""
        return tuple(cell for cell in protocol.cells() if cell not in self.scores)


def read_runs(
    folders: Sequence[Path],
    *,
    protocol: str | None = None,
    names: Sequence[str] | None = None,
    partial: bool = False,
) -> tuple[Protocol, tuple[Run, ...]]:
    """Read the sweeps that make one table.

    Args:
        folders: One sweep each.
        protocol: Name of a protocol; ``None`` takes the one that the runs recorded.
        names: Labels, one per folder; ``None`` takes the recorded model names.
        partial: Accept runs of which cells are missing.

    Raises:
        IncompleteRunsError: If cells are missing and ``partial`` is not set.
        FileNotFoundError: If a folder holds no sweep.
        KeyError: If the protocol is unknown.
        ValueError: If the runs cannot share a table, a file is damaged or belongs to another
            run, or the names do not fit.
    """
    if not folders:
        raise ValueError("expected at least one folder of a sweep, got none")
    _check_distinct(folders)
    provenances = [CellStore(folder).provenance() for folder in folders]
    _check_comparable(folders, provenances)
    metric = get_task_metric(provenances[0].task)
    chosen = _choose_protocol(folders, provenances, protocol)
    _check_versions(folders, provenances, chosen)
    labels = _labels(folders, provenances, names)
    runs = tuple(
        _read_run(label, folder, provenance, protocol=chosen, metric=metric)
        for label, folder, provenance in zip(labels, folders, provenances, strict=True)
    )
    missing = {run.label: run.missing(chosen) for run in runs if run.missing(chosen)}
    if missing and not partial:
        raise IncompleteRunsError(missing, chosen.name)
    return chosen, runs


def _check_distinct(folders: Sequence[Path]) -> None:
    counts = Counter(folder.resolve() for folder in folders)
    for folder, count in counts.items():
        if count > 1:
            raise ValueError(f"'{folder}' is given {count} times; expected each folder once")


def _check_comparable(folders: Sequence[Path], provenances: Sequence[Provenance]) -> None:
    first = provenances[0]
    for folder, other in zip(folders[1:], provenances[1:], strict=True):
        for name in SHARED_FIELDS:
            mine, theirs = getattr(first, name), getattr(other, name)
            if mine != theirs:
                raise ValueError(
                    f"'{folders[0]}' and '{folder}' differ in {name} ({mine} and {theirs}), "
                    "so one table cannot hold both; make a report of each"
                )


def _check_versions(
    folders: Sequence[Path], provenances: Sequence[Provenance], protocol: Protocol
) -> None:
    """Two versions of a user's corruption are two corruptions."""
    for name in protocol.corruptions:
        found: dict[str, Path] = {}
        for folder, provenance in zip(folders, provenances, strict=True):
            if name in provenance.custom_versions:
                found.setdefault(provenance.custom_versions[name], folder)
        if len(found) > 1:
            told = " and ".join(f"{version} ('{folder}')" for version, folder in found.items())
            raise ValueError(
                f"corruption '{name}' was measured in versions {told}, so one table cannot hold "
                "both; measure again, or make a report of each"
            )


def _choose_protocol(
    folders: Sequence[Path], provenances: Sequence[Provenance], name: str | None
) -> Protocol:
    if name is not None:
        return get_protocol(name)
    first = provenances[0].protocol
    for folder, other in zip(folders, provenances, strict=True):
        if other.protocol != first:
            raise ValueError(
                f"'{folders[0]}' was swept for protocol '{first}' and '{folder}' for "
                f"'{other.protocol}'; choose one with --protocol"
            )
    return get_protocol(first)


def _labels(
    folders: Sequence[Path], provenances: Sequence[Provenance], names: Sequence[str] | None
) -> list[str]:
    """Names for the rows; equal model names are told apart by the end of the folder's path."""
    if names is not None:
        return _given_labels(folders, names)
    models = [plain(provenance.model) or "unnamed" for provenance in provenances]
    paths = [folder.resolve() for folder in folders]
    repeated = {model for model, count in Counter(models).items() if count > 1}
    labels = models
    for depth in range(1, max(len(path.parts) for path in paths) + 1):
        labels = [
            f"{model} ({plain('/'.join(path.parts[-depth:]))})" if model in repeated else model
            for model, path in zip(models, paths, strict=True)
        ]
        if len(set(labels)) == len(labels):
            break
    return labels


def _given_labels(folders: Sequence[Path], names: Sequence[str]) -> list[str]:
    labels = [plain(name) for name in names]
    if len(labels) != len(folders):
        raise ValueError(
            f"--names needs one name per folder: got {len(labels)} names for {len(folders)} folders"
        )
    if len(set(labels)) != len(labels) or "" in labels:
        raise ValueError(f"--names must be different and not empty, got {labels}")
    return labels


def _read_run(
    label: str, folder: Path, provenance: Provenance, *, protocol: Protocol, metric: TaskMetric
) -> Run:
    store = CellStore(folder)
    there = set(store.cells())
    cells = [cell for cell in protocol.cells() if cell in there]

    def read(cell: Cell) -> tuple[float, ClassScores | None]:
        return _read_cell(store, cell, provenance, metric=metric)

    # Unpacking and hashing release the interpreter's lock; `map` keeps order and first error.
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        measured = dict(zip(cells, pool.map(read, cells), strict=True))
    return Run(
        label=label,
        folder=folder,
        provenance=provenance,
        scores={cell: score for cell, (score, _) in measured.items()},
        class_scores={cell: by for cell, (_, by) in measured.items() if by is not None},
    )


def _read_cell(
    store: CellStore, cell: Cell, provenance: Provenance, *, metric: TaskMetric
) -> tuple[float, ClassScores | None]:
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
    try:
        by_class = None if metric.class_scores is None else metric.class_scores(result)
        return metric.score(result), by_class
    except ValueError as error:
        raise ValueError(f"'{store.path(cell)}': {error}") from error
