"""What every output says about where its numbers come from."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from stl_backbones.corruptions.catalog import level_text
from stl_backbones.corruptions.protocols import Protocol
from stl_backbones.records import Provenance
from stl_backbones.report.read.metrics import CellMetric, TaskMetrics
from stl_backbones.report.read.runs import APPROXIMATE_MODES, Run, stopped_mark
from stl_backbones.report.read.text import listed, listed_versions, plain

_SHA_SHOWN = 12  # hex digits; git's habit, enough to distinguish checkpoints

# Printed per model even where all models agree.
_BY_MODEL = ("Folder", "Checkpoint", "Cells")
# Printed once in a report, and not under every table.
_NO_SOURCE = ("Cells", "Folder", "Size", "Encoder", "Model")


def warnings(runs: Sequence[Run], protocol: Protocol) -> list[str]:
    """What must not be overlooked: limits, skipped files, missing cells, other settings, notes."""

    def incomplete(run: Run) -> str:
        missing = listed([cell.name for cell in run.missing(protocol)], limit=5)
        return f"{_incomplete(run, protocol)}; missing {missing}"

    limits = _sentences(runs, lambda run: _limits(run, protocol, name_files=True))
    return [
        *_choice(protocol),
        *limits,
        *map(incomplete, _partial(runs, protocol)),
        *_sentences(runs, _notes),
    ]


def remarks(runs: Sequence[Run], protocol: Protocol) -> list[str]:
    """The same in short, for every single table."""
    partial = [_incomplete(run, protocol) for run in _partial(runs, protocol)]
    return [
        *_choice(protocol),
        *_sentences(runs, lambda run: _limits(run, protocol)),
        *partial,
        *_sentences(runs, _notes),
    ]


def sources(runs: Sequence[Run], protocol: Protocol) -> tuple[str, ...]:
    """What a table says when it is copied alone: what was measured, on what, by what.

    First what all models share, then what is each one's own.
    """
    every = [
        {k: v for k, v in _facts(run, protocol, digits=_SHA_SHOWN).items() if k not in _NO_SOURCE}
        for run in runs
    ]
    shared = _common(every)
    named = {"Protocol": protocol.name} if any(run.swept for run in runs) else {}
    sentences = [f"Measured: {_phrase({**named, **shared})}."]
    for run, facts in zip(runs, every, strict=True):
        own = {label: text for label, text in facts.items() if label not in shared}
        sentences += [f"{run.label}: {_phrase(own)}."] if own else []
    return tuple(sentences)


def _common(every: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """The facts that all of them have."""
    first, *others = every
    return {k: v for k, v in first.items() if all(other.get(k) == v for other in others)}


def _phrase(facts: Mapping[str, str]) -> str:
    return "; ".join(
        text if label == "Images" else f"{label.lower()} {text}" for label, text in facts.items()
    )


def _sentences(runs: Sequence[Run], say: Callable[[Run], Iterable[str]]) -> list[str]:
    """Sentences, each of them once; what some models alone say, with their names."""
    return [
        sentence if len(labels) == len(runs) else f"{', '.join(labels)}: {sentence}"
        for sentence, labels in _grouped(runs, say).items()
    ]


def _grouped(
    runs: Sequence[Run], say: Callable[[Run], Iterable[str]]
) -> dict[str, dict[str, None]]:
    """Sentence -> the models that say it, in order."""
    found: dict[str, dict[str, None]] = {}
    for run in runs:
        for sentence in say(run):
            found.setdefault(sentence, {})[run.label] = None
    return found


def _records(run: Run) -> Iterator[tuple[str, Provenance]]:
    """Every record behind a run's numbers: the sweep's (without a name), then the sets'."""
    if run.swept:
        yield "", run.provenance
    for name, one in run.sets.items():
        yield name, one.provenance


def _limits(run: Run, protocol: Protocol, *, name_files: bool = False) -> Iterator[str]:
    for name, record in _records(run):
        where = f" ({name})" if name else ""
        if stopped_mark(record):
            yield _stopped(record)
        if record.num_images < record.num_images_total:
            yield f"{images(record)}{where}"
        if record.skipped and name_files:
            yield f"SKIPPED broken files{where}: {listed([plain(one) for one in record.skipped])}"
        elif record.skipped:
            yield f"SKIPPED {len(record.skipped)} broken files{where}"
        yield from _not_official(record, protocol)
    for name in run.unfinished:
        yield f"PARTIAL: {run.label} has no set {name}"


def _stopped(record: Provenance) -> str:
    """What a sweep that stopped early found out, and what its other numbers are."""
    sampling = record.sampling
    found = "; ".join(
        f"{one['target']}: {100 * one['estimate']:.2f} % ({100 * one['low']:.2f} .. "
        f"{100 * one['high']:.2f})"
        for one in sampling["targets"]
    )
    return (
        f"{stopped_mark(record)}: {sampling['headline']}; {found}; order seed "
        f"{sampling['order_seed']}; numbers of corrupted cells are estimates of the images drawn"
    )


def _not_official(record: Provenance, protocol: Protocol) -> Iterator[str]:
    """How corruptions differ from those that a protocol's numbers are published with."""
    mode = record.corruption_mode
    if mode in APPROXIMATE_MODES and protocol.published:
        equal = f"corruptions of mode {mode} equal the published ones"
        yield f"NOT OFFICIAL: {equal} in distribution only"
    if record.channel_order == "bgr":
        yield "NOT OFFICIAL: the corruptions expect RGB images and saw BGR ones"
    if mode == "files":
        source = plain(record.corruption_source)
        yield f"UNVERIFIED: {source} does not say how its corrupted images were made"
    elif record.seed:
        yield f"NOT OFFICIAL: seed {record.seed}, another draw of the corruptions than seed 0"


def _choice(protocol: Protocol) -> list[str]:
    """That a mean is over chosen cells."""
    return (
        [f"CHOSEN CELLS: {protocol.name}; no mean here is that of {protocol.part_of}"]
        if (protocol.part_of)
        else []
    )


def _partial(runs: Sequence[Run], protocol: Protocol) -> list[Run]:
    swept = any(run.swept for run in runs)
    return [run for run in runs if swept and run.missing(protocol)]


def _incomplete(run: Run, protocol: Protocol) -> str:
    return f"PARTIAL: {run.label} has {_cell_count(run, protocol)} cells"


def _notes(run: Run) -> Iterator[str]:
    """What the scoring said that every table must say."""
    for record in (run.provenance, *(one.provenance for one in run.sets.values())):
        for note in record.notes:
            yield plain(note).rstrip(".")


def paper_warnings(runs: Sequence[Run], task: TaskMetrics) -> list[str]:
    """What to know of rows beside published ones; empty if they are the paper's kind of numbers."""
    found = _grouped([run for run in runs if run.swept], lambda run: _beside_paper(run, task))
    return [f"{', '.join(labels)}: {sentence}" for sentence, labels in found.items()]


def _beside_paper(run: Run, task: TaskMetrics) -> Iterator[str]:
    why = task.why_apart(run.provenance)
    if why:
        yield f"NOT COMPARABLE with the paper's rows: {why}"
    if run.is_approximate:
        mode = f"measured in {run.provenance.corruption_mode} mode"
        yield f"{mode}; use --mode exact for numbers beside published ones"


def data_name(record: Provenance) -> str:
    """The data set's own name, without its class or number of classes behind it."""
    return re.sub(r" \([^()]*\)$", "", plain(record.dataset))


def images(provenance: Provenance) -> str:
    """For example ``'500 of 500 images'``, or ``'LIMITED: 20 of 500 images'``."""
    counted = f"{provenance.num_images} of {provenance.num_images_total} images"
    is_limited = provenance.num_images < provenance.num_images_total
    listed = provenance.image_list.partition(" sha256 ")[0]
    counted = f"{counted}, those of list {listed}" if listed else counted
    counted = f"{counted}, {stopped_mark(provenance)}" if stopped_mark(provenance) else counted
    return f"LIMITED: {counted}" if is_limited else counted


def _cell_count(run: Run, protocol: Protocol) -> str:
    """For example ``'72 of 73'``."""
    total = len(protocol.cells())
    return f"{total - len(run.missing(protocol))} of {total}"


def shared_facts(runs: Sequence[Run], protocol: Protocol, task: TaskMetrics) -> dict[str, str]:
    """Facts that hold for all runs: label -> text."""
    common = _common([_facts(run, protocol) for run in runs])
    wording, unit = task.wording, task.main.unit.replace("fraction", "percent")
    share = _with_short(wording.retention, wording.short_retention)
    kept = f"; {share} is {wording.average} / Clean" if task.main.has_retention else ""
    cells = {
        "Protocol": f"{protocol.name} ({protocol.source}): {len(protocol.corruptions)} "
        f"corruptions, {len(protocol.cells()) - 1} corrupted cells and clean",
        _with_short(wording.average, wording.short_average): "mean over the protocol's severities "
        f"per corruption, then over corruptions{kept}",
    }
    return {
        **(cells if any(run.swept for run in runs) else {}),
        "Metric": f"{task.main.name}, {task.main.definition}; in {unit}",
        **{one.name: one.definition for one in task.cells[1:] if _is_given(one, runs)},
        **{label: text for label, text in common.items() if label not in _BY_MODEL},
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
        run.label: {k: v for k, v in _facts(run, protocol).items() if k not in shared}
        for run in runs
    }


def _engine(record: Provenance) -> str:
    """How images were corrupted; of files that do not say it, order and seed are unknown too."""
    mode = record.corruption_mode
    engine = f"{record.corruption_source}, engine {mode} ({record.corruption_package})"
    if mode == "files":
        return engine
    return f"{engine}, {record.channel_order.upper()} order, seed {record.seed}"


def _levels(protocol: Protocol) -> dict[str, str]:
    """What the severities are, of corruptions whose levels have a unit."""
    found = {
        name: [level_text(name, severity) for severity in severities]
        for name, severities in protocol.severities.items()
    }
    text = "; ".join(f"{name} {', '.join(own)}" for name, own in found.items() if any(own))
    return {"Levels": text} if text else {}


def _facts(run: Run, protocol: Protocol, *, digits: int | None = None) -> dict[str, str]:
    """Label -> text; of the fingerprints so many digits."""
    record = run.provenance
    custom = {n: v for n, v in record.custom_versions.items() if n in protocol.corruptions}
    swept = {
        "Data set": record.dataset,
        "Fingerprint": record.dataset_fingerprint[:digits],
        "Images": images(record),
        "Corruptions": _engine(record),
        **({"Corruptions beside the 19": listed_versions(custom)} if custom else {}),
        **_levels(protocol),
        "Inference": record.inference,
        "Cells": _cell_count(run, protocol),
    }
    facts = {
        **(swept if run.swept else {}),
        **{
            f"Set {name}": f"{images(one.provenance)}, {one.provenance.inference}, fingerprint "
            f"{one.provenance.dataset_fingerprint[:digits]}"
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
