"""CSV for other programs: unrounded numbers, the unit in every header."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Iterable, Iterator, Sequence

from stl_backbones.metrics import Replicates, percentile_interval
from stl_backbones.records import CLEAN, Cell
from stl_backbones.report.comparison import Difference
from stl_backbones.report.document import Document
from stl_backbones.report.numbers import listed_versions, plain
from stl_backbones.report.provenance import approximation_note, images, remarks
from stl_backbones.report.runs import Run
from stl_backbones.report.table import PAPER_PREFIX, Column, Table, Value

_PROVENANCE_HEADER = (
    "protocol",
    "dataset",
    "dataset_fingerprint",
    "num_images",
    "num_images_total",
    "corruption_source",
    "corruption_mode",
    "corruption_package",
    "custom_versions",
    "channel_order",
    "seed",
    "inference",
    "device",
    "config_sha256",
    "checkpoint_sha256",
    "versions",
    "notes",
    "remarks",
)
_FORMULA = re.compile(r"\s*[=@]|[+-].|[\t\r]")
_MAIN_SET = "main"  # the images of the sweep itself


def render_all(document: Document) -> dict[str, str]:
    """File name -> text of all CSV files."""
    main = {} if document.main is None else {"table": document.main}
    tables = {**main, **document.layouts, **document.others}
    files = {f"{name}.csv": render_table(document, table) for name, table in tables.items()}
    files |= {"cells.csv": render_cells(document), "aggregates.csv": render_aggregates(document)}
    if document.differences:
        files["comparison.csv"] = render_differences(document)
    return files


def render_cells(document: Document) -> str:
    """One line per model and cell of the protocol, then per set of other images.

    A score is empty where it is missing; so is an interval where there are no resamples.
    """
    metrics = document.metric.cells
    header = [f"{one.key}_{end}{one.unit}" for one in metrics for end in ("", "low_", "high_")]

    def lines() -> Iterator[Sequence[object]]:
        for run in document.runs:
            provenance = _provenance(document, run)
            for cell in document.protocol.cells() if run.swept else ():
                scores = [_replicates(run, one.key, cell) for one in metrics]
                yield (
                    run.label,
                    _MAIN_SET,
                    cell.corruption,
                    cell.severity,
                    *(number for values in scores for number in values),
                    *provenance,
                )
            for name, own in run.sets.items():
                sets = [_with_ends(own.replicates[one.key]) for one in metrics]
                yield (run.label, name, CLEAN.corruption, CLEAN.severity,
                       *(number for values in sets for number in values),
                       *_provenance(document, run, name))  # fmt: skip

    return _write(("model", "set", "corruption", "severity", *header, *_PROVENANCE_HEADER), lines())


def _replicates(run: Run, key: str, cell: Cell) -> list[str]:
    found = run.replicates.get(key, {}).get(cell)
    return ["", "", ""] if found is None else _with_ends(found)


def _with_ends(replicates: Replicates) -> list[str]:
    """Value, lower and upper end."""
    ends = percentile_interval(replicates[1:]) if len(replicates) > 1 else (None, None)
    return [_number(value) for value in (float(replicates[0]), *ends)]


def render_aggregates(document: Document) -> str:
    """One line per model and aggregate: value, interval, and what is missing for it."""

    def lines() -> Iterator[Sequence[object]]:
        for run, found in zip(document.runs, document.aggregates, strict=True):
            for key, one in found.items():
                provenance = _provenance(document, run, _set_of(run, key))
                low, high = one.interval or (None, None)
                better = "lower" if one.lower_is_better else "higher"
                yield (run.label, key, _number(one.value), _number(low), _number(high), one.unit,
                       better, ", ".join(one.missing), *provenance)  # fmt: skip

    header = ("model", "aggregate", "value", "low", "high", "unit", "better", "missing")
    return _write((*header, *_PROVENANCE_HEADER), lines())


def render_differences(document: Document) -> str:
    """One line per aggregate: both models, their paired difference, its interval, p.

    The provenance is the first model's, then the second's.
    """

    def line(one: Difference) -> Sequence[object]:
        low, high = one.interval or (None, None)
        numbers = (one.first.value, one.second.value, one.value, low, high, one.p_value)
        better = "lower" if one.first.lower_is_better else "higher"
        measured = [
            fact
            for run in document.runs
            for fact in _provenance(document, run, _set_of(run, one.first.key))
        ]
        return (*labels, one.first.key, *map(_number, numbers), one.first.unit, better, *measured)

    labels = tuple(run.label for run in document.runs)
    header = ("first_model", "second_model", "aggregate", "first", "second", "difference", "low",
              "high", "p_value", "unit", "better")  # fmt: skip
    seconds = (f"second_{name}" for name in _PROVENANCE_HEADER)
    return _write((*header, *_PROVENANCE_HEADER, *seconds), map(line, document.differences))


def render_table(document: Document, table: Table) -> str:
    """One line per model, the paper's included."""
    header = [_header(column, document.metric.key) for column in table.columns]
    total = len(document.protocol.cells())
    runs = {run.label: run for run in document.runs}

    def lines() -> Iterator[Sequence[object]]:
        for row in table.rows:
            values = [_number(row.values.get(column.key)) for column in table.columns]
            if row.published:
                name = row.label.removeprefix(PAPER_PREFIX)
                blank = [""] * (len(_PROVENANCE_HEADER) - 1)
                yield ("paper", name, *values, "", "", document.protocol.name, *blank, "", "")
                continue
            run = runs[row.label]
            measured = total - len(run.missing(document.protocol))
            provenance = _provenance(document, run)
            note = approximation_note([run]) if row.mark else ""
            yield ("own", row.label, *values, measured, total, *provenance, note, _sets(run))

    return _write(
        ("source", "model", *header, "cells_measured", "cells_total", *_PROVENANCE_HEADER, "note",
         "sets"),
        lines(),
    )  # fmt: skip


def _header(column: Column, metric: str) -> str:
    if column.csv:
        return column.csv
    ratio = column.key in ("retention", "mce")
    return f"{column.key}_fraction" if ratio else f"{column.key}_{metric}_fraction"


def _provenance(document: Document, run: Run, image_set: str = "") -> list[str]:
    """What a line was measured with: the sweep, or a set of other images."""
    record = run.sets[image_set].provenance if image_set else run.provenance
    known = {
        "protocol": record.protocol if image_set else document.protocol.name,
        "versions": listed_versions(record.versions),
        "custom_versions": listed_versions(record.custom_versions),
        "notes": " ".join(record.notes),
        "remarks": ". ".join(remarks([run], document.protocol)),
    }
    values = (known[n] if n in known else getattr(record, n) for n in _PROVENANCE_HEADER)
    return [plain(str(value)) for value in values]


def _set_of(run: Run, key: str) -> str:
    """The set of other images that an aggregate is of; empty for the sweep."""
    name = key.rpartition(":")[2].removesuffix("-retention")
    return name if name in run.sets else ""


def _sets(run: Run) -> str:
    """The images of a line's columns that are of other sets."""
    return plain(
        "; ".join(
            f"{name}: {images(one.provenance)}, fingerprint {one.provenance.dataset_fingerprint}"
            for name, one in run.sets.items()
        )
    )


def _number(value: Value) -> str:
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    return "nan" if math.isnan(value) else repr(float(value))  # the shortest that reads back equal


def _write(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(map(_inert, header))
    writer.writerows(map(_inert, row) for row in rows)
    return buffer.getvalue()


def _inert(value: object) -> object:
    """Mark a text that a spreadsheet would compute, ``=1+1``, as text."""
    if not isinstance(value, str) or not _FORMULA.match(value):
        return value
    try:
        float(value)
    except ValueError:
        return f"'{value}"
    return value
