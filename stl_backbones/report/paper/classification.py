"""The paper's Tables 2 and 3: classification, and images from elsewhere.

References:
    Zhao et al. 2023, "Fully Attentional Networks with Self-emerging Token Labeling"
    (arXiv:2401.03844).
"""

from __future__ import annotations

from decimal import Decimal

from stl_backbones.report.paper.tables import (
    PAPER_TABLES,
    fraction,
    note_of,
    published_row,
    read_paper_table,
    retention_notes,
)
from stl_backbones.report.sections import Row

TABLE_2, TABLE_3 = "table2_classification.csv", "table3_ood.csv"
_OTHER_NAMES = {  # of a model in Table 3 -> in Table 2
    "ConvNext-T": "ConvNeXt-T",
    "ConvNext-S": "ConvNeXt-S",
    "ConvNext-B": "ConvNeXt-B",
}


def table_2_rows() -> tuple[Row, ...]:
    """Parameters, MACs, clean and robust accuracy, retention; as printed."""
    return _rows(
        TABLE_2,
        {"clean": "in1k_top1", "average": "in_c_acc", "retention": "retention_pct"},
        {"params": "params_m", "macs": "flops_g"},
    )


def table_3_rows() -> tuple[Row, ...]:
    """Parameters, clean accuracy, ImageNet-A, ImageNet-R, mCE; as printed."""
    columns = {"clean": "in1k_top1", "set:imagenet-a": "in_a_acc", "set:imagenet-r": "in_r_acc"}
    return _rows(TABLE_3, {**columns, "mce": "in_c_mce"}, {"params": "params_m"})


def _rows(file: str, percents: dict[str, str], texts: dict[str, str]) -> tuple[Row, ...]:
    return tuple(
        published_row(
            row["model"],
            {
                **{key: fraction(Decimal(row[column])) for key, column in percents.items()},
                **{key: row[column] for key, column in texts.items()},
            },
        )
        for row in read_paper_table(file)
    )


def table_2_notes() -> tuple[str, ...]:
    """What a reader must know of Table 2's rows; computed from them, not typed."""
    table = PAPER_TABLES["stl-imagenet-c"]
    return (
        f"Paper rows are the published ones (STL paper, Table 2), {table.caveat}.",
        *retention_notes(table),
        *_other_averages(),
    )


def _other_averages() -> list[str]:
    """Where Table 12 prints another robust score; its STL rows are those of other labelers."""
    table = PAPER_TABLES["stl-imagenet-c"]
    averages = {
        table.summary_names.get(row["model"], row["model"]): row["average"]
        for row in read_paper_table(table.file)
    }
    labelers: dict[str, list[str]] = {}
    for row in read_paper_table("table8_heterogeneous_labelers.csv"):
        if row["token_labeler"]:
            key = f"STL ({row['model']}) {row['in_c_acc']}"
            labelers.setdefault(key, []).append(row["token_labeler"])
    found = []
    for row in read_paper_table(TABLE_2):
        other = averages.get(row["model"], row["in_c_acc"])
        if other != row["in_c_acc"]:
            names = labelers.get(f"{row['model']} {other}")
            source = f", Table 8's score with {' or '.join(names)}" if names else ""
            found.append(f"{row['model']} {row['in_c_acc']} (Table 12: {other}{source})")
    return note_of("Table 12 prints another IN-C score", found)


def table_3_notes() -> tuple[str, ...]:
    """What a reader must know of Table 3's rows; computed from them, not typed."""
    caveat = PAPER_TABLES["stl-imagenet-c"].caveat
    clean = {row["model"]: row["in1k_top1"] for row in read_paper_table(TABLE_2)}
    rows = read_paper_table(TABLE_3)
    apart = [
        f"{row['model']} {row['in1k_top1']} (Table 2: {clean[name]})"
        for row in rows
        for name in [_OTHER_NAMES.get(row["model"], row["model"])]
        if clean.get(name, row["in1k_top1"]) != row["in1k_top1"]
    ]
    same: dict[tuple[str, ...], list[str]] = {}
    for row in rows:
        scores = (row["in1k_top1"], row["in_a_acc"], row["in_r_acc"])
        same.setdefault(scores, []).append(row["model"])
    copies = [
        f"{' and '.join(models)} ({', '.join(scores)})"
        for scores, models in same.items()
        if len(models) > 1
    ]
    return (
        f"Paper rows are the published ones (STL paper, Table 3), {caveat}.",
        *note_of("Table 3 prints another clean score than Table 2", apart),
        *note_of("Equal in clean, IN-A and IN-R, so one of them is likely a copy", copies),
    )
