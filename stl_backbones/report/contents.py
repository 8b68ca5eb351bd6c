"""What a report says: its facts, and one section after the other."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import cast

from stl_backbones.errors import InputError
from stl_backbones.report.class_data import breaking_file, class_file, flow_file
from stl_backbones.report.class_tables import (
    breaking_table,
    class_map,
    class_table,
    flow_tables,
)
from stl_backbones.report.data import (
    aggregate_file,
    cell_file,
    comparison_file,
    model_records,
)
from stl_backbones.report.numbers.aggregates import Findings
from stl_backbones.report.numbers.comparison import compare
from stl_backbones.report.numbers.flows import flows
from stl_backbones.report.numbers.overview import overview
from stl_backbones.report.numbers.requirements import Verdict
from stl_backbones.report.numbers.slices import SlicedColumn
from stl_backbones.report.pictures import cards, heat_map, severity_curves
from stl_backbones.report.published.tables import published_sections
from stl_backbones.report.read.provenance import (
    data_name,
    model_facts,
    paper_warnings,
    remarks,
    shared_facts,
    sources,
    warnings,
)
from stl_backbones.report.sections import Gallery, Group, Overview, Report
from stl_backbones.report.shift_tables import shift_sections
from stl_backbones.report.slice_tables import slice_sections
from stl_backbones.report.tables import (
    aggregate_table,
    comparison_table,
    requirement_table,
    severity_tables,
)
from stl_backbones.report.tasks.base import Task

MAX_PRECISION = 6
_CLASS_NAME = re.compile(r"[A-Z]\w*Dataset")  # all that some data sets have for a name


def make_contents(
    findings: Findings,
    *,
    precision: int = 1,
    compared: bool = False,
    verdicts: Sequence[Verdict] = (),
    gallery: Gallery | None = None,
    slices: Sequence[SlicedColumn] = (),
) -> Report:
    """Compute a report's contents.

    Args:
        findings: The models.
        precision: Decimals of printed percentages, 0 to 6.
        compared: Add the paired difference of two models.
        verdicts: Whether bounds are kept.
        gallery: Pictures of failures.
        slices: The data set cut by properties of its images.

    Raises:
        ValueError: If the precision is out of range, the paper has no rows for the protocol, or
            what is asked for does not fit the runs.
    """
    if not 0 <= precision <= MAX_PRECISION:
        raise InputError(f"precision must be in 0..{MAX_PRECISION}, got {precision}")
    runs, protocol = findings.runs, findings.protocol
    sections = (
        *_head(findings, verdicts, precision=precision),
        *((gallery,) if gallery is not None and gallery.pictures else ()),
        *_charts(findings),
        *_tables(findings, precision=precision, compared=compared),
        *shift_sections(findings, precision=precision),
        *published_sections(findings),
        *slice_sections(findings, slices, precision=precision),
        *_details(findings, precision=precision),
    )
    shared = shared_facts(runs, protocol, findings.task)
    beside = paper_warnings(runs, findings.task) if findings.paper else []
    return Report(
        title=_title(findings),
        lead=_lead(findings),
        precision=precision,
        warnings=[*warnings(runs, protocol), *beside],
        remarks=remarks(runs, protocol),
        sources=sources(runs, protocol),
        shared_facts=shared,
        model_facts=model_facts(runs, protocol, shared),
        records=model_records(findings),
        sections=sections,
    )


def _title(findings: Findings) -> str:
    swept = next((run for run in findings.runs if run.swept), None)
    if swept is not None:
        name = data_name(swept.provenance)
        if not _CLASS_NAME.fullmatch(name):
            return f"Robustness on {name}"
        labels = [run.label for run in findings.runs]
        return f"Robustness of {labels[0] if len(labels) == 1 else f'{len(labels)} models'}"
    there = {name for run in findings.runs for name in run.sets}
    names = [title for name, title in findings.task.sets.items() if name in there]
    return f"Robustness on {' and '.join(names)}"


def _lead(findings: Findings) -> str:
    name, protocol = findings.task.main.name, findings.protocol
    images = next((run.provenance.num_images for run in findings.runs if run.swept), 0)
    if not findings.swept:
        return f"{name} on sets of other images"
    if not protocol.corruptions:
        return f"{name}, protocol {protocol.name}, {images} images"
    corruptions = f"{len(protocol.corruptions)} corruptions"
    return f"{name} under {corruptions}, protocol {protocol.name}, {images} images"


def _head(findings: Findings, verdicts: Sequence[Verdict], *, precision: int) -> Iterator[object]:
    """What a reader sees first."""
    if findings.swept:
        yield Overview(overview(findings, precision=precision))
    yield cards(findings, cast(Task, findings.task).card_extras, precision=precision)
    if verdicts:
        yield requirement_table(verdicts)


def _charts(findings: Findings) -> Iterator[object]:
    """Numbers as colours and lines."""
    corrupted = findings.swept and bool(findings.protocol.corruptions)
    if corrupted:
        yield heat_map(findings)
    classes = class_map(findings) if findings.swept else None
    if classes is not None:
        yield classes
    if corrupted:
        yield severity_curves(findings)


def _tables(findings: Findings, *, precision: int, compared: bool) -> Iterator[object]:
    """The tables of models."""
    yield from cast(Task, findings.task).tables(findings)
    yield aggregate_table(findings, "summary", precision=precision)
    if compared:
        differences = compare(findings)
        yield comparison_table(findings, differences, precision=precision)
        yield comparison_file(findings, differences)


def _details(findings: Findings, *, precision: int) -> Iterator[object]:
    """Long tables, and numbers for other programs."""
    if findings.swept and findings.protocol.corruptions:
        by_corruption = aggregate_table(findings, "corruption", precision=precision)
        yield Group("By corruption", (by_corruption,), folded=True)
        yield Group("By severity", severity_tables(findings), folded=True)
    breaking = breaking_table(findings)
    if breaking is not None:
        yield Group("Breaking points", (breaking,))
        yield breaking_file(findings)
    found = [flows(run, findings.protocol) for run in findings.runs]
    between = flow_tables(findings, found)
    if between:
        yield Group("Confusion under corruption", between, folded=True)
        yield flow_file(findings, found)
    classes = class_table(findings)
    if classes is not None:
        hint = (
            f"{classes.title}: on clean images, in the protocol's average, under the "
            "corruption that takes most from it, and in its worst cell."
        )
        yield Group("Classes", (classes,), hint)
    yield cell_file(findings)
    if any(run.classes for run in findings.runs):
        yield class_file(findings)
    yield aggregate_file(findings)
