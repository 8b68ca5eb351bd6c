"""CSV for other programs: unrounded fractions, the unit in every header."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence

from stl_backbones.report.document import Document
from stl_backbones.report.numbers import listed_versions, plain
from stl_backbones.report.provenance import approximation_note
from stl_backbones.report.runs import Run
from stl_backbones.report.table import Value

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
)


def render_cells(document: Document) -> str:
    """One line per model and cell of the protocol; the score is empty where it is missing."""
    header = ("model", "corruption", "severity", f"{document.metric.key}_fraction")
    rows = (
        (run.label, cell.corruption, cell.severity, _number(run.scores.get(cell)), *provenance)
        for run in document.runs
        for provenance in [_provenance(run, document.protocol.name)]
        for cell in document.protocol.cells()
    )
    return _write((*header, *_PROVENANCE_HEADER), rows)


def render_table(document: Document) -> str:
    """One line per model, the paper's included: clean, average, retention, every corruption."""
    key = document.metric.key
    table = document.main
    header = [
        f"{column.key}_fraction" if column.key == "retention" else f"{column.key}_{key}_fraction"
        for column in table.columns
    ]
    total = len(document.protocol.cells())
    runs = {run.label: run for run in document.runs}

    def lines() -> Iterator[Sequence[object]]:
        for row in table.rows:
            values = [_number(row.values[column.key]) for column in table.columns]
            if row.published:
                name = row.label.removeprefix("paper: ")
                blank = [""] * (len(_PROVENANCE_HEADER) - 1)
                yield ("paper", name, *values, "", "", document.protocol.name, *blank, "")
                continue
            run = runs[row.label]
            measured = total - len(run.missing(document.protocol))
            provenance = _provenance(run, document.protocol.name)
            note = approximation_note([run]) if row.mark else ""
            yield ("own", row.label, *values, measured, total, *provenance, note)

    return _write(
        ("source", "model", *header, "cells_measured", "cells_total", *_PROVENANCE_HEADER, "note"),
        lines(),
    )


def _provenance(run: Run, protocol: str) -> list[str]:
    record = run.provenance
    known = {
        "protocol": protocol,
        "versions": listed_versions(record.versions),
        "custom_versions": listed_versions(record.custom_versions),
    }
    return [plain(str(known.get(n, getattr(record, n)))) for n in _PROVENANCE_HEADER]


def _number(value: Value) -> str:
    if isinstance(value, str):
        return value
    return "" if value is None else repr(float(value))  # the shortest text that reads back equal


def _write(header: Sequence[str], rows: Iterator[Sequence[object]]) -> str:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return buffer.getvalue()
