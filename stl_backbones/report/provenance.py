"""What every output says about where its numbers come from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from stl_backbones.corruptions.catalog import Protocol
from stl_backbones.records import Provenance
from stl_backbones.report.cell_metrics import CellMetric, TaskMetric
from stl_backbones.report.numbers import listed, listed_versions, plain
from stl_backbones.report.runs import Run

_SHA_SHOWN = 12  # hex digits; git's habit, enough to tell checkpoints apart

# Told per model even where all models agree.
_BY_MODEL = ("Folder", "Checkpoint", "Cells")


def warnings(runs: Sequence[Run], protocol: Protocol) -> list[str]:
    """What must not be overlooked: a limited data set, skipped files, missing cells, notes."""
    found: dict[str, None] = {}
    for name, record in _records(runs):
        found.update(dict.fromkeys(_limits(name, record)))
        if record.skipped:
            names = listed([plain(image) for image in record.skipped])
            found[f"SKIPPED broken files{_in(name)}: {names}"] = None
    for run in _partial(runs, protocol):
        cells = listed([cell.name for cell in run.missing(protocol)])
        found[f"PARTIAL: {run.label} has {cell_count(run, protocol)} cells; missing {cells}"] = None
    return [*found, *_notes(runs)]


def remarks(runs: Sequence[Run], protocol: Protocol) -> list[str]:
    """The same in short, for every single table."""
    found: dict[str, None] = {}
    for name, record in _records(runs):
        found.update(dict.fromkeys(_limits(name, record)))
        if record.skipped:
            found[f"SKIPPED {len(record.skipped)} broken files{_in(name)}"] = None
    for run in _partial(runs, protocol):
        found[f"PARTIAL: {run.label} has {cell_count(run, protocol)} cells"] = None
    return [*found, *_notes(runs)]


def _records(runs: Sequence[Run]) -> Iterator[tuple[str, Provenance]]:
    """Every record behind the numbers: the sweeps' (without a name), then the sets'."""
    for run in runs:
        if run.swept:
            yield "", run.provenance
        for name, one in run.sets.items():
            yield name, one.provenance


def _limits(name: str, record: Provenance) -> list[str]:
    limited = record.num_images < record.num_images_total
    return [f"{images(record)}{_in(name)}"] if limited else []


def _in(name: str) -> str:
    return f" ({name})" if name else ""


def _partial(runs: Sequence[Run], protocol: Protocol) -> list[Run]:
    swept = any(run.swept for run in runs)
    return [run for run in runs if swept and run.missing(protocol)]


def _notes(runs: Sequence[Run]) -> list[str]:
    """What the scoring said that every table must tell; of one model, where they differ."""
    by_note: dict[str, dict[str, None]] = {}
    for run in runs:
        records = [run.provenance, *(one.provenance for one in run.sets.values())]
        for note in (plain(note).rstrip(".") for record in records for note in record.notes):
            by_note.setdefault(note, {})[run.label] = None
    everyone = len(runs)
    return [
        note if len(labels) == everyone else f"{', '.join(labels)}: {note}"
        for note, labels in by_note.items()
    ]


def approximation_note(runs: Sequence[Run]) -> str:
    """What to know of rows beside published ones; empty if all have the package's own numbers."""
    found = [run for run in runs if run.is_approximate and run.swept]
    if not found:
        return ""
    names, mode = listed([run.label for run in found]), found[0].provenance.corruption_mode
    return f"{names}: measured in {mode} mode; use --mode exact for numbers beside published ones"


def images(provenance: Provenance) -> str:
    """For example ``'500 of 500 images'``, or ``'LIMITED: 20 of 500 images'``."""
    if provenance.num_images < provenance.num_images_total:
        return f"LIMITED: {provenance.num_images} of {provenance.num_images_total} images"
    return f"{provenance.num_images} of {provenance.num_images_total} images"


def cell_count(run: Run, protocol: Protocol) -> str:
    """For example ``'72 of 73'``."""
    total = len(protocol.cells())
    return f"{total - len(run.missing(protocol))} of {total}"


def shared_facts(runs: Sequence[Run], protocol: Protocol, metric: TaskMetric) -> dict[str, str]:
    """Facts that hold for all runs: label -> text."""
    first, *others = [_facts(run, protocol) for run in runs]
    wording = metric.wording
    cells = {
        "Protocol": f"{protocol.name} ({protocol.source}): {len(protocol.corruptions)} "
        f"corruptions, {len(protocol.cells()) - 1} corrupted cells and clean",
        _with_short(wording.average, wording.short_average): "mean over the protocol's severities "
        "per corruption, then over corruptions; "
        f"{_with_short(wording.retention, wording.short_retention)} is {wording.average} / Clean",
    }
    return {
        **(cells if any(run.swept for run in runs) else {}),
        "Metric": f"{metric.name}, {metric.definition}; in percent",
        **{one.name: one.definition for one in metric.cells[1:] if _is_given(one, runs)},
        **{
            label: text
            for label, text in first.items()
            if label not in _BY_MODEL and all(other[label] == text for other in others)
        },
    }


def _is_given(metric: CellMetric, runs: Sequence[Run]) -> bool:
    """Whether a model has the number, or every model of the task would."""
    return not metric.needs or any(metric.key in run.replicates for run in runs)


def _with_short(name: str, short: str) -> str:
    return name if name == short else f"{name} ({short})"


def model_facts(
    runs: Sequence[Run], protocol: Protocol, shared: Mapping[str, str]
) -> dict[str, dict[str, str]]:
    """Facts of each model that are not among the shared ones: model -> label -> text."""
    return {
        run.label: {
            label: text for label, text in _facts(run, protocol).items() if label not in shared
        }
        for run in runs
    }


def _facts(run: Run, protocol: Protocol) -> dict[str, str]:
    record = run.provenance
    custom = {n: v for n, v in record.custom_versions.items() if n in protocol.corruptions}
    swept = {
        "Data set": record.dataset,
        "Fingerprint": record.dataset_fingerprint,
        "Images": images(record),
        "Corruptions": f"{record.corruption_source}, engine {record.corruption_mode} "
        f"({record.corruption_package}), {record.channel_order.upper()} order, "
        f"seed {record.seed}",
        **({"Own corruptions": listed_versions(custom)} if custom else {}),
        "Inference": record.inference,
        "Cells": cell_count(run, protocol),
    }
    facts = {
        **(swept if run.swept else {}),
        **{
            f"Set {name}": f"{images(one.provenance)}, {one.provenance.inference}, fingerprint "
            f"{one.provenance.dataset_fingerprint}"
            for name, one in run.sets.items()
        },
        "Device": record.device,
        "Versions": listed_versions(record.versions),
        "Folder": run.folder.resolve().name,  # not the path, which is its owner's business
        "Config": f"sha256 {record.config_sha256[:_SHA_SHOWN]}",
        "Checkpoint": f"sha256 {record.checkpoint_sha256[:_SHA_SHOWN]}",
    }
    if record.parameters:
        facts["Size"] = f"{record.parameters} parameters, {record.macs or 'uncounted'} MACs"
    if record.encoder_parameters:
        facts["Encoder"] = f"{record.encoder_parameters} parameters"
    if plain(record.model) != run.label:
        facts["Model"] = record.model
    return {label: plain(text) for label, text in facts.items()}
