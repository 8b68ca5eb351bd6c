"""Unrounded numbers for other programs, each line with what it was measured with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from stl_backbones.metrics import Replicates, percentile_interval
from stl_backbones.records import CLEAN, Provenance
from stl_backbones.report.numbers.aggregates import Aggregate, Findings
from stl_backbones.report.numbers.comparison import Difference
from stl_backbones.report.read.provenance import images, paper_warnings, remarks
from stl_backbones.report.read.runs import Run
from stl_backbones.report.read.text import listed_versions, plain
from stl_backbones.report.sections import DataFile, Value

PROVENANCE = (
    "protocol", "dataset", "dataset_fingerprint", "num_images", "num_images_total",
    "corruption_source", "corruption_mode", "corruption_package", "custom_versions",
    "channel_order", "seed", "inference", "device", "config_sha256", "checkpoint_sha256",
    "versions", "notes", "remarks",
)  # fmt: skip
MAIN_SET = "main"  # the images of the sweep itself

Line = Sequence[Value | int]


def model_records(findings: Findings) -> dict[str, Mapping[str, str]]:
    """Column -> text, of every model's row in a table; see `Report.records`."""
    total = len(findings.protocol.cells())
    found: dict[str, Mapping[str, str]] = {}
    for run in findings.runs:
        found[run.label] = {
            "cells_measured": str(total - len(run.missing(findings.protocol))),
            "cells_total": str(total),
            **dict(zip(PROVENANCE, measured_with(findings, run)[""], strict=True)),
            "note": ". ".join(paper_warnings([run], findings.task)) if findings.paper else "",
            "sets": _set_notes(run),
        }
    blank = dict.fromkeys(found[findings.runs[0].label], "")
    return {**found, "": {**blank, "protocol": findings.protocol.name}}


def cell_file(findings: Findings) -> DataFile:
    """One line per model and cell of the protocol, then per set of other images.

    A score is empty where it is missing; so is an interval where there are no resamples.
    """
    metrics = findings.task.cells

    def lines() -> Iterator[Line]:
        for run in findings.runs:
            cells = findings.protocol.cells() if run.swept else ()
            measured = measured_with(findings, run)
            for name, own in {"": run, **run.sets}.items():
                for cell in (CLEAN,) if name else cells:
                    found = [own.replicates.get(one.key, {}).get(cell) for one in metrics]
                    yield (run.label, name or MAIN_SET, cell.corruption, cell.severity,
                           *(number for values in found for number in _with_ends(values)),
                           *measured[name])  # fmt: skip

    header = [f"{one.key}_{end}{one.unit}" for one in metrics for end in ("", "low_", "high_")]
    first = ("model", "set", "corruption", "severity")
    return DataFile("cells", (*first, *header, *PROVENANCE), tuple(lines()))


def _with_ends(replicates: Replicates | None) -> Sequence[float | None]:
    """Value, lower and upper end."""
    if replicates is None:
        return (None, None, None)
    ends = percentile_interval(replicates[1:]) if len(replicates) > 1 else (None, None)
    return (float(replicates[0]), *ends)


def aggregate_file(findings: Findings) -> DataFile:
    """One line per model and aggregate: value, interval, and what is missing for it."""

    def lines() -> Iterator[Line]:
        for run, found in findings.pairs:
            measured = measured_with(findings, run)
            for name, one in found.items():
                yield (run.label, name, one.value, *(one.interval or (None, None)), one.unit,
                       _better(one), ", ".join(one.missing),
                       *measured[_set_of(run, one)])  # fmt: skip

    header = ("model", "aggregate", "value", "low", "high", "unit", "better", "missing")
    return DataFile("aggregates", (*header, *PROVENANCE), tuple(lines()))


def comparison_file(findings: Findings, differences: Sequence[Difference]) -> DataFile:
    """One line per aggregate: both models, their paired difference, its interval, p.

    The provenance is the first model's, then the second's.
    """

    def line(one: Difference) -> Line:
        measured = [text for run, found in every for text in found[_set_of(run, one.first)]]
        return (*(run.label for run in findings.runs), one.name, one.first.value,
                one.second.value, one.value, *(one.interval or (None, None)), one.p_value,
                one.first.unit, _better(one.first), *measured)  # fmt: skip

    every = [(run, measured_with(findings, run)) for run in findings.runs]
    header = ("first_model", "second_model", "aggregate", "first", "second", "difference", "low",
              "high", "p_value", "unit", "better")  # fmt: skip
    seconds = (f"second_{name}" for name in PROVENANCE)
    lines = tuple(map(line, differences))
    return DataFile("comparison", (*header, *PROVENANCE, *seconds), lines)


def _better(one: Aggregate) -> str:
    return "lower" if one.lower_is_better else "higher"


def measured_with(findings: Findings, run: Run) -> dict[str, list[str]]:
    """What lines were measured with: of the sweep (the empty name) and of sets of other images."""
    remarked = ". ".join(remarks([run], findings.protocol))

    def texts(name: str, record: Provenance) -> list[str]:
        known = {
            "protocol": record.protocol if name else findings.protocol.name,
            "versions": listed_versions(record.versions),
            "custom_versions": listed_versions(record.custom_versions),
            "notes": " ".join(record.notes),
            "remarks": remarked,
        }
        values = (known[n] if n in known else getattr(record, n) for n in PROVENANCE)
        return [plain(str(value)) for value in values]

    return {name: texts(name, one.provenance) for name, one in {"": run, **run.sets}.items()}


def _set_of(run: Run, one: Aggregate) -> str:
    """The set of other images that an aggregate is of; empty for the sweep."""
    is_of_set = one.key.kind in ("set", "set-retention") and one.key.name in run.sets
    return one.key.name if is_of_set else ""


def _set_notes(run: Run) -> str:
    """The images of a line's columns that are of other sets."""
    records = {name: one.provenance for name, one in run.sets.items()}
    notes = [f"{n}: {images(r)}, fingerprint {r.dataset_fingerprint}" for n, r in records.items()]
    return plain("; ".join(notes))
