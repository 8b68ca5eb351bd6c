"""Everything a report says, before any format."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from stl_backbones.corruptions.catalog import Protocol
from stl_backbones.errors import InputError
from stl_backbones.report.aggregate_tables import (
    aggregate_table,
    comparison_table,
    requirement_table,
)
from stl_backbones.report.aggregates import Aggregate, aggregates
from stl_backbones.report.cell_metrics import TaskMetric
from stl_backbones.report.cells import Draws
from stl_backbones.report.classification_tables import (
    layout_of_table_2,
    layout_of_table_3,
    with_columns_of_table_12,
)
from stl_backbones.report.comparison import Difference, compare
from stl_backbones.report.detection_tables import layout_of_table_5, mask_table
from stl_backbones.report.numbers import MARKS_NOTE, plain
from stl_backbones.report.paper import (
    PAPER_TABLES,
    PaperRow,
    check_detection_protocol,
    get_paper_table,
    paper_notes,
    paper_rows,
)
from stl_backbones.report.paper_detection import NOT_CORRUPTED
from stl_backbones.report.provenance import (
    approximation_note,
    model_facts,
    remarks,
    shared_facts,
    sources,
    warnings,
)
from stl_backbones.report.requirements import Requirement, Verdict, judge
from stl_backbones.report.runs import Run
from stl_backbones.report.sets import SET_TITLES
from stl_backbones.report.summary import Summary, summarise
from stl_backbones.report.table import Table, class_table, main_table, severity_tables
from stl_backbones.report.task_metrics import get_task_metric

MAX_PRECISION = 6


@dataclass(frozen=True)
class DocumentOptions:
    """What a report holds beside the models' own numbers.

    Attributes:
        paper: Add the paper's rows.
        precision: Decimals of printed percentages, 0 to 6.
        compare: Add the paired difference of two models.
        requirements: Bounds to judge the models by.
        by_interval: Judge by the unfavourable end of the interval.
    """

    paper: bool = False
    precision: int = 1
    compare: bool = False
    requirements: tuple[Requirement, ...] = ()
    by_interval: bool = False


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
        aggregates: Their aggregates with intervals, in the same order.
        main: The table in the layout of the paper's Table 12 or 13; ``None`` without a sweep.
        layouts: The tables in the layouts of the paper's Tables 2 and 3, or 5, where there are any.
        others: Tables by corruption of other numbers than the main one's.
        headline: The aggregates that matter most, with intervals.
        by_corruption: Aggregates by corruption, with intervals; ``None`` without a sweep.
        differences: Of two models, if asked for.
        comparison: The same as a table.
        verdicts: Whether bounds are kept, if there are any.
        requirements: The same as a table.
        severities: One table per severity.
        classes: Scores by class; ``None`` where the task has none.
        warnings: What must not be overlooked.
        shared_facts: Provenance that all models share: label -> text.
        model_facts: Model -> label -> text.
    """

    title: str
    protocol: Protocol
    metric: TaskMetric
    precision: int
    runs: tuple[Run, ...]
    summaries: tuple[Summary, ...]
    aggregates: tuple[Mapping[str, Aggregate], ...]
    main: Table | None
    layouts: Mapping[str, Table]
    others: Mapping[str, Table]
    headline: Table
    by_corruption: Table | None
    differences: tuple[Difference, ...]
    comparison: Table | None
    verdicts: tuple[Verdict, ...]
    requirements: Table | None
    severities: tuple[Table, ...]
    classes: Table | None
    warnings: Sequence[str]
    shared_facts: Mapping[str, str]
    model_facts: Mapping[str, Mapping[str, str]]

    def head_tables(self) -> Iterator[Table]:
        """The tables that a reader sees first, in order."""
        found = (self.requirements, *self.published_layouts, self.headline, self.comparison)
        yield from (table for table in found if table is not None)

    @property
    def published_layouts(self) -> tuple[Table, ...]:
        """The tables in a layout of the paper's."""
        main = () if self.main is None else (self.main,)
        return (*self.layouts.values(), *main, *self.others.values())


def make_document(
    runs: Sequence[Run],
    protocol: Protocol,
    options: DocumentOptions | None = None,
    *,
    draws: Draws | None = None,
) -> Document:
    """Compute a report's contents.

    Args:
        runs: The models, at least one.
        protocol: The protocol that they were read for.
        options: What to add.
        draws: The resamples that they were read with.

    Raises:
        KeyError: If a requirement's name is unknown.
        ValueError: If the precision is out of range, the paper has no rows for the protocol, or
            what is asked for does not fit the runs.
    """
    options, draws = options or DocumentOptions(), draws or Draws(resamples=0)
    if not 0 <= options.precision <= MAX_PRECISION:
        raise InputError(f"precision must be in 0..{MAX_PRECISION}, got {options.precision}")
    metric = get_task_metric(runs[0].provenance.task)
    found = tuple(aggregates(run, protocol, metric) for run in runs)
    listed = partial(aggregate_table, runs, found, draws=draws, precision=options.precision)
    verdicts = judge(
        options.requirements,
        runs,
        found,
        protocol=protocol,
        metric=metric,
        by_interval=options.by_interval,
    )
    differences = compare(runs, found) if options.compare else ()
    shared = shared_facts(runs, protocol, metric)
    swept = any(run.swept for run in runs)
    document = Document(
        title=_title(runs),
        protocol=protocol,
        metric=metric,
        precision=options.precision,
        runs=tuple(runs),
        summaries=tuple(summarise(run, protocol) for run in runs),
        aggregates=found,
        main=_main(runs, found, protocol=protocol, metric=metric, paper=options.paper)
        if swept
        else None,
        layouts=_layouts(runs, found, protocol=protocol, paper=options.paper),
        others=_others(runs, found, protocol=protocol, metric=metric, paper=options.paper),
        headline=listed("summary"),
        by_corruption=listed("corruption") if swept else None,
        differences=differences,
        comparison=comparison_table(runs, differences, precision=options.precision)
        if differences
        else None,
        verdicts=verdicts,
        requirements=requirement_table(verdicts) if verdicts else None,
        severities=severity_tables(runs, protocol, metric=metric.name) if swept else (),
        classes=class_table(runs, protocol, runs[0].provenance.classes, metric=metric),
        warnings=_warnings(runs, protocol, paper=options.paper),
        shared_facts=shared,
        model_facts=model_facts(runs, protocol, shared),
    )
    return _marked(document, tuple(remarks(runs, protocol)), sources(runs, protocol))


def _title(runs: Sequence[Run]) -> str:
    swept = next((run for run in runs if run.swept), None)
    if swept is not None:
        return f"Robustness on {plain(swept.provenance.dataset)}"
    names = [title for name, title in SET_TITLES.items() if any(name in run.sets for run in runs)]
    return f"Robustness on {' and '.join(names)}"


def _warnings(runs: Sequence[Run], protocol: Protocol, *, paper: bool) -> list[str]:
    beside = approximation_note(runs) if paper else ""
    return [*warnings(runs, protocol), *([beside] if beside else [])]


def _marked(document: Document, said: tuple[str, ...], measured: tuple[str, ...]) -> Document:
    """Say in every table what it is of and what must not be overlooked: tables are copied."""

    def mark(value: Any) -> Any:
        if isinstance(value, Table):
            return dataclasses.replace(value, remarks=said, sources=measured)
        if isinstance(value, tuple):
            return tuple(map(mark, value))
        return {name: mark(table) for name, table in value.items()}

    names = ("main", "layouts", "others", "headline", "by_corruption", "comparison", "requirements",
             "severities", "classes")  # fmt: skip
    tables = {name: getattr(document, name) for name in names}
    return dataclasses.replace(
        document, **{name: mark(table) for name, table in tables.items() if table is not None}
    )


def _main(
    runs: Sequence[Run],
    found: Sequence[Mapping[str, Aggregate]],
    *,
    protocol: Protocol,
    metric: TaskMetric,
    paper: bool,
) -> Table:
    """The table by corruption, in the layout of the paper's Table 12 or 13."""
    task = runs[0].provenance.task
    rows = [summarise(run, protocol) for run in runs]
    published, notes = _published(protocol, task) if paper else ((), [])
    table = main_table(runs, rows, published, protocol=protocol, metric=metric)
    if task == "classification":
        table = with_columns_of_table_12(table, runs, found, published, protocol=protocol)
    return dataclasses.replace(table, notes=(MARKS_NOTE, *notes))


def _published(protocol: Protocol, task: str) -> tuple[tuple[PaperRow, ...], list[str]]:
    """The paper's rows by corruption, and what must be known of them."""
    if task == "detection":
        check_detection_protocol(protocol.name)
        return (), [NOT_CORRUPTED]
    if task == "classification" and protocol.name not in PAPER_TABLES:
        names = [f"'{name}'" for name, table in PAPER_TABLES.items() if table.task == task]
        return (), [f"The paper's rows by corruption are those of protocols {', '.join(names)}."]
    source, rows = get_paper_table(protocol.name, task), paper_rows(protocol.name)
    return rows, paper_notes(source, rows)


def _layouts(
    runs: Sequence[Run],
    found: Sequence[Mapping[str, Aggregate]],
    *,
    protocol: Protocol,
    paper: bool,
) -> dict[str, Table]:
    """File name -> table, in the layouts of Tables 2 and 3, or 5."""
    tables: dict[str, Table | None] = {}
    if runs[0].provenance.task == "classification":
        tables = {
            "classification": layout_of_table_2(runs, found, protocol=protocol, paper=paper),
            "other_images": layout_of_table_3(runs, found, paper=paper),
        }
    elif runs[0].provenance.task == "detection":
        tables = {"detection": layout_of_table_5(runs, found, protocol=protocol, paper=paper)}
    return {name: table for name, table in tables.items() if table is not None}


def _others(
    runs: Sequence[Run],
    found: Sequence[Mapping[str, Aggregate]],
    *,
    protocol: Protocol,
    metric: TaskMetric,
    paper: bool,
) -> dict[str, Table]:
    """File name -> table by corruption; of masks, where a model has them."""
    if runs[0].provenance.task != "detection":
        return {}
    masks = mask_table(runs, found, protocol=protocol, metric=metric, paper=paper)
    return {} if masks is None else {"masks": masks}
