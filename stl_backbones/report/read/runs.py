"""Reading sweeps, and refusing to mix what does not belong in one table."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path

import numpy as np

from stl_backbones.corruptions.catalog import CORRUPTIONS
from stl_backbones.corruptions.protocols import Protocol, get_protocol
from stl_backbones.errors import InputError
from stl_backbones.metrics import IncompleteCellsError, Replicates, find_ignored
from stl_backbones.records import CLEAN, Cell, Provenance
from stl_backbones.report.read.bundles import stated_numbers
from stl_backbones.report.read.cells import Draws, Measured, counts_of, measure
from stl_backbones.report.read.class_names import are_wnids, shown_classes
from stl_backbones.report.read.metrics import (
    DEFAULT_RESAMPLES,
    TASKS,
    CellMetric,
    TaskMetrics,
    find_task,
)
from stl_backbones.report.read.sets import (
    check_sets,
    check_stated,
    find_sets,
    is_store,
    read_sets,
    set_names,
)
from stl_backbones.report.read.text import plain
from stl_backbones.results import CellStore

# Their numbers are the package's in distribution only: named where published rows stand beside.
APPROXIMATE_MODES = ("fast", "torch")
_IMAGENET_IMAGES, _IMAGENET_CLASSES = 50_000, 1000
_VALIDATION_IMAGE = re.compile(r"n\d{8}/ILSVRC2012_val_\d{8}(?!\d).*")
# What rows of one table must share; model, settings, checkpoint, device and versions may differ.
SHARED_FIELDS = (
    "task", "classes", "dataset_fingerprint", "num_images", "corruption_source",
    "corruption_mode", "corruption_package", "channel_order", "seed",
)  # fmt: skip
_IGNORED = "ignored label"  # of segmentation: scores of other pixels are other scores


class IncompleteRunsError(IncompleteCellsError):
    """Cells of the protocol are missing; the message lists them per model."""

    def __init__(self, missing: Mapping[str, Sequence[Cell]], protocol: str) -> None:
        super().__init__([cell for cells in missing.values() for cell in cells])
        lacking = "; ".join(
            f"'{label}' lacks {len(cells)}: {', '.join(cell.name for cell in cells)}"
            for label, cells in missing.items()
        )
        self.args = (
            f"cells of protocol '{protocol}' are missing: {lacking}. "
            "Measure them, or use --partial, which prints dashes (missing is never zero)",
        )


@dataclass(frozen=True, kw_only=True)
class Run(Measured):
    """The scores of one model: of its sweep, and of sets of other images.

    Without a sweep, the provenance is that of its first set. Among the replicates are the cells of
    the task's other protocols.

    Attributes:
        label: Name shown in tables, unique among the runs of a report.
        scores: Cell -> score; only finished cells of the protocol.
        sets: The sets of other images, each with the clean cell alone.
        unfinished: The sets that are there without their cell.
        swept: Whether its folder holds a sweep, and not only such sets.
        has_records: Whether the records of its images are there.
    """

    label: str
    scores: Mapping[Cell, float] = field(default_factory=dict)
    sets: Mapping[str, Measured] = field(default_factory=dict)
    unfinished: tuple[str, ...] = ()
    swept: bool = True
    has_records: bool = True

    @property
    def is_approximate(self) -> bool:
        """Whether the corruptions equal the published ones in distribution only."""
        return self.provenance.corruption_mode in APPROXIMATE_MODES

    @property
    def class_names(self) -> tuple[str, ...]:
        """The classes' names, as tables show them."""
        return shown_classes(tuple(self.provenance.classes))

    def missing(self, protocol: Protocol) -> tuple[Cell, ...]:
        """The protocol's cells without a score, in its order."""
        return tuple(cell for cell in protocol.cells() if cell not in self.scores)


def read_runs(
    folders: Sequence[Path],
    *,
    protocol: str | None = None,
    names: Sequence[str] | None = None,
    partial: bool = False,
    draws: Draws | None = None,
    stopped: bool = False,
    more: Sequence[CellMetric] = (),
) -> tuple[Protocol, tuple[Run, ...]]:
    """Read the sweeps that make one table.

    Args:
        folders: One model each.
        protocol: Name of a protocol; ``None`` takes the one that the runs recorded.
        names: Labels, one per folder; ``None`` takes the recorded model names.
        partial: Accept runs of which cells are missing.
        draws: The resamples that intervals are made of; ``None`` for no intervals.
        stopped: Accept sweeps that stopped early beside other rows.
        more: Numbers beside the task's own.

    Raises:
        UserError: See `make_report`; a damaged file, or one of another run, is named.
    """
    if not folders:
        raise InputError("expected at least one folder of a sweep, got none")
    _check_distinct(folders)
    swept = {folder: CellStore(folder).provenance() for folder in folders if _is_swept(folder)}
    provenances = [swept.get(folder) or _first_set(folder) for folder in folders]
    _check_stopped(swept, allowed=stopped)
    _check_comparable({**dict(zip(folders, provenances, strict=True)), **swept}, ("task",))
    _check_comparable(swept, (*SHARED_FIELDS, _IGNORED))
    task = find_task(provenances[0].task)
    task = replace(task, cells=(*task.cells, *more)) if more else task
    chosen = chosen_part(_choose_protocol(swept, protocol), swept.values())
    _check_versions(swept, chosen)
    draws = draws or Draws(resamples=0)
    runs = tuple(
        _read_run(label, folder, record, protocol=chosen, task=task, draws=draws,
                  partial=partial)
        for label, folder, record in zip(
            _labels(folders, provenances, names), folders, provenances, strict=True
        )
    )  # fmt: skip
    for name in set_names(task):
        sets = [run.sets[name] for run in runs if name in run.sets]
        _check_comparable({one.folder: one.provenance for one in sets}, SHARED_FIELDS)
    missing = {run.label: run.missing(chosen) for run in runs if run.missing(chosen)}
    if missing and swept and not partial:
        raise IncompleteRunsError(missing, chosen.name)
    return chosen, runs


def stopped_mark(record: Provenance) -> str:
    """For example ``'STOPPED 2600/50000'``; empty for a sweep of all its images."""
    scored = record.sampling.get("scored")
    return "" if scored is None else f"STOPPED {scored}/{record.num_images}"


def _check_stopped(provenances: Mapping[Path, Provenance], *, allowed: bool) -> None:
    """Rows of a part of the images stand beside others only where that is asked for."""
    for folder, record in provenances.items():
        if stopped_mark(record) and len(provenances) > 1 and not allowed:
            raise InputError(
                f"'{folder}' {stopped_mark(record)}: its numbers are estimates of a part of the "
                "images; --stopped accepts them beside others, with that mark"
            )


def default_resamples(folders: Sequence[Path]) -> int:
    """How many resamples a report of these sweeps makes when none are asked for."""
    if not folders:
        return DEFAULT_RESAMPLES  # `read_runs` refuses them
    first = folders[0]
    record = CellStore(first).provenance() if _is_swept(first) else _first_set(first)
    return find_task(record.task).resamples


def _is_swept(folder: Path) -> bool:
    """Whether the folder is a store, or claims to be nothing else."""
    return is_store(folder) or not _set_folders(folder)


def _set_folders(folder: Path) -> dict[str, Path]:
    return {name: path for task in TASKS.values() for name, path in find_sets(folder, task).items()}


def _first_set(folder: Path) -> Provenance:
    return CellStore(next(iter(_set_folders(folder).values()))).provenance()


def _check_distinct(folders: Sequence[Path]) -> None:
    counts = Counter(folder.resolve() for folder in folders)
    for folder, count in counts.items():
        if count > 1:
            raise InputError(f"'{folder}' is given {count} times; expected each folder once")


def _check_comparable(provenances: Mapping[Path, Provenance], fields: Sequence[str]) -> None:
    for folder, name in product(provenances, fields):
        first = next(iter(provenances))
        mine, theirs = (_value(provenances[key], name) for key in (first, folder))
        if mine != theirs:
            raise InputError(
                f"'{first}' and '{folder}' differ in {name} ({_short(mine)} and "
                f"{_short(theirs)}), so one table cannot hold both; make a report of each"
            )


def _value(record: Provenance, name: str) -> object:
    return find_ignored(record.inference) if name == _IGNORED else getattr(record, name)


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 80 else f"{text[:77]}..."  # a thousand class names, say


def _check_versions(provenances: Mapping[Path, Provenance], protocol: Protocol) -> None:
    """Two versions of a user's corruption are two corruptions."""
    for name in protocol.corruptions:
        found: dict[str, Path] = {}
        for folder, provenance in provenances.items():
            if name in provenance.custom_versions:
                found.setdefault(provenance.custom_versions[name], folder)
        if len(found) > 1:
            both = " and ".join(f"{version} ('{folder}')" for version, folder in found.items())
            raise InputError(
                f"corruption '{name}' was measured in versions {both}, so one table cannot hold "
                "both; measure again, or make a report of each"
            )


def _choose_protocol(provenances: Mapping[Path, Provenance], name: str | None) -> Protocol:
    if name is not None:
        return get_protocol(name)
    if not provenances:
        return get_protocol("imagenet-c")  # of no consequence: only sets were scored
    found = {folder: record.protocol for folder, record in provenances.items()}
    first = next(iter(found))
    for folder, own in found.items():
        if own != found[first]:
            raise InputError(
                f"'{first}' was swept for protocol '{found[first]}' and '{folder}' for '{own}'; "
                "choose one with --protocol"
            )
    return get_protocol(found[first])


def chosen_part(protocol: Protocol, records: Iterable[Provenance]) -> Protocol:
    """The cells that all sweeps were asked for, if they are the same choice of the protocol's."""
    choices = {record.chosen for record in records}
    named = {Cell.from_name(name) for names in choices for name in names}
    if len(choices) != 1:  # what is not the protocol's is a column beside its own
        others = named.difference(protocol.cells())
        return protocol.part([*protocol.cells(), *others]) if others else protocol
    return protocol.part(sorted(named)) if named else protocol


def _labels(
    folders: Sequence[Path], provenances: Sequence[Provenance], names: Sequence[str] | None
) -> list[str]:
    """Names for the rows; equal model names are distinguished by the end of the folder's path."""
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
        got = f"got {len(labels)} names for {len(folders)} folders"
        raise InputError(f"--names needs one name per folder: {got}")
    if len(set(labels)) != len(labels) or "" in labels:
        raise InputError(f"--names must be different and not empty, got {labels}")
    return labels


def _read_run(
    label: str,
    folder: Path,
    provenance: Provenance,
    *,
    protocol: Protocol,
    task: TaskMetrics,
    draws: Draws,
    partial: bool,
) -> Run:
    stated = stated_numbers(folder)
    if stated:
        return _as_stated(label, stated, protocol, task)
    sets = read_sets(folder, task, draws=draws, partial=partial)
    unfinished = tuple(name for name in find_sets(folder, task) if name not in sets)
    is_swept = _is_swept(folder)
    check_sets(sets, folder, provenance, is_swept=is_swept)
    if not is_swept:
        return Run(label=label, folder=folder, provenance=provenance, sets=sets,
                   unfinished=unfinished, swept=False)  # fmt: skip
    store = CellStore(folder)
    if stopped_mark(provenance):
        return _read_stopped(label, store, provenance, protocol=protocol, task=task, sets=sets)
    there = store.cells()
    _check_names(store, there, provenance)
    if provenance.imagenet_val is None and there:  # a record of before
        is_imagenet = are_imagenet_val(provenance, store.read(there[0]).image_ids)
        provenance = replace(provenance, imagenet_val=is_imagenet)
    cells = [cell for cell in wanted_cells(protocol, task) if cell in there]
    counts = counts_of(store, provenance, draws)
    others = [cell for cell in there if cell not in cells]
    measured = measure(store, cells, provenance, task=task, counts=counts, others=others)
    own = _own_scores(measured.replicates, protocol, task)
    return Run(**vars(measured), label=label, scores=own, sets=sets, unfinished=unfinished)


def _as_stated(
    label: str, stated: Mapping[str, Measured], protocol: Protocol, task: TaskMetrics
) -> Run:
    """A bundle without records: its numbers as they are there."""
    main, own = stated[""], {name: one for name, one in stated.items() if name}
    check_stated(own, main, task)
    scores = _own_scores(main.replicates, protocol, task)
    return Run(**vars(main), label=label, scores=scores, sets=own, has_records=False)


def _read_stopped(
    label: str,
    store: CellStore,
    provenance: Provenance,
    *,
    protocol: Protocol,
    task: TaskMetrics,
    sets: Mapping[str, Measured],
) -> Run:
    """A sweep of some images: clean numbers of all; no intervals, and no scores by class."""
    parts = []
    for place in (store, store.stopped):
        cells = [cell for cell in wanted_cells(protocol, task) if cell in place.cells()]
        images = len(place.read(cells[0]).image_ids) if cells else 0
        none = np.zeros((0, images), np.float32)
        parts.append(measure(place, cells, provenance, task=task, counts=none))
    clean, drawn = parts
    replicates = {
        key: {**own, **drawn.replicates.get(key, {})} for key, own in clean.replicates.items()
    }
    scores = _own_scores(replicates, protocol, task)
    label = f"{label} ({stopped_mark(provenance)})"
    return Run(folder=store.folder, provenance=provenance, replicates=replicates,
               images=clean.images, label=label, scores=scores, sets=sets)  # fmt: skip


def _own_scores(
    replicates: Mapping[str, Mapping[Cell, Replicates]], protocol: Protocol, task: TaskMetrics
) -> dict[Cell, float]:
    """Cell of the protocol -> the task's main score; without cells none."""
    found = replicates.get(task.main.key, {})
    return {cell: float(found[cell][0]) for cell in protocol.cells() if cell in found}


def _check_names(store: CellStore, cells: Sequence[Cell], provenance: Provenance) -> None:
    """A cell is of the catalog, or of a corruption that its sweep recorded."""
    known = (CLEAN.corruption, *CORRUPTIONS, *provenance.custom_versions)
    for cell in cells:
        name = cell.corruption
        if name not in known and name not in store.read(cell).provenance.custom_versions:
            raise InputError(
                f"'{store.path(cell)}' is of corruption '{name}', which no sweep of its "
                "folder has; delete that file"
            )


def are_imagenet_val(provenance: Provenance, image_ids: Sequence[str]) -> bool:
    """Whether images are ImageNet-1K's validation images, of sweeps whose record does not say.

    By the archive's file names, or by count and names of classes.
    """
    if len(provenance.classes) != _IMAGENET_CLASSES or not are_wnids(provenance.classes):
        return False
    is_whole = provenance.num_images_total == _IMAGENET_IMAGES
    return is_whole or all(map(_VALIDATION_IMAGE.fullmatch, image_ids))


def wanted_cells(protocol: Protocol, task: TaskMetrics) -> tuple[Cell, ...]:
    """The protocol's cells, then those of the protocols whose means are reported beside it."""
    companions = (get_protocol(name).cells() for name in task.companions)
    return tuple(dict.fromkeys((*protocol.cells(), *(c for cells in companions for c in cells))))
