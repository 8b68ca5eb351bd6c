"""Everything a report says, before any format."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from stl_backbones.corruptions.catalog import Protocol
from stl_backbones.report.numbers import MARKS_NOTE, plain
from stl_backbones.report.paper import PaperRow, get_paper_table, paper_notes, paper_rows
from stl_backbones.report.provenance import (
    approximation_note,
    model_facts,
    shared_facts,
    warnings,
)
from stl_backbones.report.runs import Run
from stl_backbones.report.summary import Summary, summarise
from stl_backbones.report.table import Table, class_table, main_table, severity_tables
from stl_backbones.report.task_metrics import TaskMetric, get_task_metric

MAX_PRECISION = 6


@dataclass(frozen=True)
class Document:
    """A report's contents.

    Attributes:
        title: Its heading.
        protocol: Which cells make it.
        metric: What its numbers are.
        precision: Decimals of printed percentages.
        runs: One's own models.
        summaries: Their numbers, in the same order.
        main: The table in the layout of the paper's Table 13.
        severities: One table per severity.
        classes: Scores by class; ``None`` where the task has none.
        warnings: What must not be overlooked.
        notes: Footnotes of the main table.
        shared_facts: Provenance that all models share: label -> text.
        model_facts: Model -> label -> text.
    """

    title: str
    protocol: Protocol
    metric: TaskMetric
    precision: int
    runs: tuple[Run, ...]
    summaries: tuple[Summary, ...]
    main: Table
    severities: tuple[Table, ...]
    classes: Table | None
    warnings: Sequence[str]
    notes: Sequence[str]
    shared_facts: Mapping[str, str]
    model_facts: Mapping[str, Mapping[str, str]]


def make_document(
    runs: Sequence[Run], protocol: Protocol, *, paper: bool = False, precision: int = 1
) -> Document:
    """Compute a report's contents.

    Args:
        runs: The models, at least one.
        protocol: The protocol that they were read for.
        paper: Add the paper's rows.
        precision: Decimals of printed percentages, 0 to 6.

    Raises:
        ValueError: If the precision is out of range, or the paper has no rows for the protocol.
    """
    if not 0 <= precision <= MAX_PRECISION:
        raise ValueError(f"precision must be in 0..{MAX_PRECISION}, got {precision}")
    task = runs[0].provenance.task
    metric = get_task_metric(task)
    published: tuple[PaperRow, ...] = ()
    notes = [MARKS_NOTE]
    found = warnings(runs, protocol)
    if paper:
        source = get_paper_table(protocol.name, task)
        published = paper_rows(protocol.name)
        notes += paper_notes(source, published)
        found += filter(None, [approximation_note(runs)])
    summaries = tuple(summarise(run, protocol) for run in runs)
    shared = shared_facts(runs, protocol, metric)
    return Document(
        title=f"Robustness on {plain(runs[0].provenance.dataset)}",
        protocol=protocol,
        metric=metric,
        precision=precision,
        runs=tuple(runs),
        summaries=summaries,
        main=main_table(runs, summaries, published, protocol=protocol, metric=metric.name),
        severities=severity_tables(runs, protocol, metric=metric.name),
        classes=class_table(runs, protocol, runs[0].provenance.classes),
        warnings=found,
        notes=notes,
        shared_facts=shared,
        model_facts=model_facts(runs, protocol, shared),
    )
