"""The layouts of the paper's Tables 2 and 3, and what Table 12 has beside Table 13's columns."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from stl_backbones.corruptions.catalog import Protocol
from stl_backbones.report.aggregates import Aggregate
from stl_backbones.report.numbers import MISSING_SHOWN, listed
from stl_backbones.report.paper import PaperRow
from stl_backbones.report.paper_classification import (
    table_2_notes,
    table_2_rows,
    table_3_notes,
    table_3_rows,
)
from stl_backbones.report.runs import Run
from stl_backbones.report.table import Column, Row, Table, Value, fraction, mode_mark

Found = Mapping[str, Aggregate]

COUNTS_NOTE = (
    "Params and MACs are counted on the model, for one image of the inference size. A MAC is one "
    "multiplication with its addition; what the paper calls FLOPs, and timm GMACs, are MACs."
)
_PARAMS = Column(
    "params",
    "Params (M)",
    "Parameters, in millions",
    unit="plain",
    better="neither",
    csv="parameters_millions",
)
_MACS = Column(
    "macs",
    "MACs (G)",
    "Multiply-accumulates per image, in billions; the paper calls them FLOPs",
    unit="plain",
    better="neither",
    csv="macs_billions",
)
# The protocols of Table 12: its 16 columns, and with spatter, which its averages seem to have.
_MEANS = {"stl-imagenet-c": "Mean 16", "stl-imagenet-c-17": "Mean 17"}


def layout_of_table_2(
    runs: Sequence[Run], found: Sequence[Found], *, protocol: Protocol, paper: bool
) -> Table | None:
    """Parameters, MACs, clean and robust accuracy, retention; ``None`` without a sweep."""
    if not any(run.swept for run in runs):
        return None
    columns = (
        _PARAMS,
        _MACS,
        Column("clean", "IN-1K", "Top-1 on clean images"),
        Column("average", "IN-C", f"Top-1, average of protocol {protocol.name}"),
        Column("retention", "Retention", "IN-C divided by IN-1K"),
    )
    return Table(
        f"Classification (layout of Table 2): top-1 (%), IN-C is protocol {protocol.name}",
        "Model",
        columns,
        _own_rows(runs, found, columns, paper=paper) + (table_2_rows() if paper else ()),
        notes=(COUNTS_NOTE, *(table_2_notes() if paper else ())),
    )


def layout_of_table_3(runs: Sequence[Run], found: Sequence[Found], *, paper: bool) -> Table | None:
    """Parameters, clean, ImageNet-A, ImageNet-R, mCE; ``None`` where nothing of it is measured."""
    keys = ("imagenet-a", "imagenet-r", "mce")
    if all(one[key].value is None for one in found for key in keys):
        return None
    columns = (
        _PARAMS,
        Column("clean", "Clean", "Top-1 on clean images"),
        Column("imagenet-a", "IN-A", "Top-1 on ImageNet-A, among its 200 classes"),
        Column("imagenet-r", "IN-R", "Top-1 on ImageNet-R, among its 200 classes"),
        Column("mce", "mCE", "Mean corruption error on the 15 of imagenet-c; lower is better",
               better="lower"),
    )  # fmt: skip
    return Table(
        "Other images (layout of Table 3): top-1 and mCE (%), mCE lower is better",
        "Model",
        columns,
        _own_rows(runs, found, columns, paper=paper) + (table_3_rows() if paper else ()),
        notes=(_mce_note(found), *(table_3_notes() if paper else ())),
    )


def _mce_note(found: Sequence[Found]) -> str:
    missing = next((one["mce"].missing for one in found if one["mce"].value is None), ())
    more = f" Not measured for it: {listed(missing, limit=MISSING_SHOWN)}." if missing else ""
    return (
        "mCE: mean over the 15 corruptions of Hendrycks & Dietterich of the error relative to "
        f"AlexNet's.{more}"
    )


def with_columns_of_table_12(
    table: Table,
    runs: Sequence[Run],
    found: Sequence[Found],
    paper: Sequence[PaperRow],
    *,
    protocol: Protocol,
) -> Table:
    """Add parameters and, in the protocols of Table 12, the means of 16 and 17 by name.

    Beside published rows both are needed: their average is as printed, and is not the mean of the
    16 columns; the mean of 16 of a published row is computed from its columns.
    """
    means = _MEANS if protocol.name in _MEANS else {}
    first, average, *others = table.columns
    columns = (
        _PARAMS,
        first,
        average,
        *(
            Column(name, title, f"Mean of protocol {name}; of a paper row, of its columns")
            for name, title in means.items()
        ),
        *others,
    )
    added: dict[str, dict[str, Value]] = {
        run.label: {"params": _millions(run), **{name: one[name].value for name in means}}
        for run, one in zip(runs, found, strict=True)
    }
    published: list[dict[str, Value]] = [
        {
            "params": row.params or None,
            **{
                name: fraction(row.column_mean) if name == "stl-imagenet-c" else None
                for name in means
            },
        }
        for row in paper
    ]
    own = [row for row in table.rows if not row.published]
    rest = [row for row in table.rows if row.published]
    rows = [
        dataclasses.replace(row, values={**row.values, **more})
        for row, more in [
            *((row, added[row.label]) for row in own),
            *zip(rest, published, strict=True),
        ]
    ]
    return dataclasses.replace(table, columns=columns, rows=tuple(rows))


def _own_rows(
    runs: Sequence[Run], found: Sequence[Found], columns: Sequence[Column], *, paper: bool
) -> tuple[Row, ...]:
    return tuple(
        Row(
            run.label,
            {column.key: one[column.key].value for column in columns if column.unit == "percent"}
            | {"params": _millions(run), "macs": _billions(run)},
            mark=mode_mark(run) if paper else "",
        )
        for run, one in zip(runs, found, strict=True)
    )


def _millions(run: Run) -> float | None:
    return run.provenance.parameters / 1e6 or None


def _billions(run: Run) -> float | None:
    return run.provenance.macs / 1e9 or None
