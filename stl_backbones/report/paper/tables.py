"""The paper's published rows, and what can be said about them.

References:
    Zhao et al. 2023, "Fully Attentional Networks with Self-emerging Token Labeling"
    (arXiv:2401.03844): Tables 2, 4, 5, 12 and 13.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from importlib import resources

from stl_backbones.corruptions.protocols import get_protocol
from stl_backbones.report.numbers.keys import Key
from stl_backbones.report.sections import PAPER_PREFIX, Row, Value

_TENTH = Decimal("0.1")
_ROUNDING = Decimal("0.05")  # a number printed with one decimal is within half of the last
AVERAGE_TOLERANCE = Decimal("0.2")  # points; beyond it a printed average is named in a footnote


@dataclass(frozen=True)
class PaperTable:
    """Where the published rows of a protocol are.

    Attributes:
        number: The table by corruption.
        file: Its data file.
        summary_number: The table with the clean scores and retention.
        summary_file: Its data file.
        clean_column: Column of the clean score there.
        robust_column: Column of the robust score there.
        summary_names: Model's name in the table by corruption -> its name there, where they differ;
            ``None`` for a model that it does not have.
        caveat: Why the rows are not directly comparable with one's own.
        hidden: A corruption that the printed averages seem to have, without a column of its own.
    """

    number: int
    file: str
    summary_number: int
    summary_file: str
    clean_column: str
    robust_column: str
    summary_names: Mapping[str, str | None]
    caveat: str
    hidden: str = ""


_TABLE_12 = PaperTable(
    number=12,
    file="table12_imagenet_c.csv",
    summary_number=2,
    summary_file="table2_classification.csv",
    clean_column="in1k_top1",
    robust_column="in_c_acc",
    summary_names={
        "ResNet-18": "ResNet18",
        "MobileNetV2": "MBV2",
        "EfficientNet-B0": "EffiNet-B0",
        "PVT-V2-B0": "PVTv2-B0",
        "PVT-V2-B1": "PVTv2-B1",
        "ResNet-50": "ResNet50",
        "ViT-S": None,
        "ResNet-101": None,
        "ViT-B": None,
        "Swin-B-IN22k": None,  # Table 2's Swin-B is another model: IN-C 60.4, not 68.6
    },
    caveat="measured on other images and by the authors' own preprocessing",
    hidden="spatter",
)

_TABLE_13 = PaperTable(
    number=13,
    file="table13_cityscapes_c.csv",
    summary_number=4,
    summary_file="table4_segmentation.csv",
    clean_column="city_miou",
    robust_column="city_c_miou",
    summary_names={
        **{f"DLv3+ ({name})": f"DeepLabv3+ ({name})" for name in ("R50", "R101", "X65", "X71")},
        "ResNet-38": "ResNet38",
        "SETR (DeiT-S)": "SETR",
        "Swin-T": "SWIN-T",
    },
    caveat="measured on other corrupted images: the authors' generator feeds BGR images to "
    "corruptions that expect RGB",
)
PAPER_TABLES: Mapping[str, PaperTable] = {
    "stl-cityscapes-c": _TABLE_13,
    "stl-imagenet-c": _TABLE_12,
    "stl-imagenet-c-17": _TABLE_12,
}


@dataclass(frozen=True)
class PaperRow:
    """One published row, percent as printed; ``None`` where the paper, or our copy, has none.

    Attributes:
        model: Name in the table by corruption.
        average: The Average column.
        corruptions: Corruption -> percent.
        clean: Clean score of the summary table.
        robust: Robust score of the summary table, which is not always `average`.
        retention: Retention of the summary table, which belongs to `robust`.
        params: Parameters in millions, as printed; empty where the table has no such column.
    """

    model: str
    average: Decimal | None
    corruptions: Mapping[str, Decimal | None]
    clean: Decimal | None
    robust: Decimal | None
    retention: Decimal | None
    params: str = ""

    @property
    def column_mean(self) -> Decimal | None:
        """Mean of the corruption columns, rounded like them; ``None`` if one is missing."""
        known = [value for value in self.corruptions.values() if value is not None]
        if len(known) < len(self.corruptions):
            return None
        return (sum(known) / Decimal(len(known))).quantize(_TENTH, ROUND_HALF_UP)


def read_paper_table(file: str) -> list[dict[str, str]]:
    """Read one of the paper's tables, ``'table13_cityscapes_c.csv'`` say, as text, row by row."""
    path = resources.files("stl_backbones.report.paper") / file
    return list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))


def paper_rows(protocol: str) -> tuple[PaperRow, ...]:
    """The published rows of a protocol of `PAPER_TABLES`, in the paper's order."""
    table = PAPER_TABLES[protocol]
    summaries = {row["model"]: row for row in read_paper_table(table.summary_file)}
    rows = []
    for row in read_paper_table(table.file):
        name = table.summary_names.get(row["model"], row["model"])
        summary = {} if name is None else summaries[name]
        names = [one for one in get_protocol(protocol).corruptions if one in row]
        rows.append(
            PaperRow(
                model=row["model"],
                average=_number(row["average"]),
                corruptions={one: _number(row[one]) for one in names},
                clean=_number(summary.get(table.clean_column, "")),
                robust=_number(summary.get(table.robust_column, "")),
                retention=_number(summary.get("retention_pct", "")),
                params=row.get("params_m", ""),
            )
        )
    return tuple(rows)


def main_rows(protocol: str) -> tuple[Row, ...]:
    """The same as rows of the table by corruption; the mean of 16 is of the printed columns."""

    def values(row: PaperRow) -> dict[str, Value]:
        names = get_protocol(protocol).corruptions
        printed = {
            Key("corruption", name).text: fraction(row.corruptions.get(name)) for name in names
        }
        return {
            "clean": fraction(row.clean),
            "average": fraction(row.average),
            "retention": fraction(row.retention),
            "params": row.params or None,
            Key("mean", "stl-imagenet-c").text: fraction(row.column_mean),
            Key("mean", "stl-imagenet-c-17").text: None,
            **printed,
        }

    return tuple(published_row(row.model, values(row)) for row in paper_rows(protocol))


def published_row(model: str, values: Mapping[str, Value]) -> Row:
    """A row of the paper's, with the digits that it prints."""
    return Row(f"{PAPER_PREFIX}{model}", values, published=True, decimals=1)


def fraction(printed: Decimal | None) -> float | None:
    """A printed percentage as a fraction."""
    # Decimal first: 58.2 / 100 in binary is not the float nearest to 0.582.
    return None if printed is None else float(printed / 100)


def paper_notes(table: PaperTable, rows: tuple[PaperRow, ...]) -> list[str]:
    """What a reader must know about the published rows; computed from them, not typed."""
    notes = [
        f"Paper rows are the published ones (STL paper, Table {table.number}; clean and retention "
        f"from its Table {table.summary_number}), {table.caveat}. Their average is as printed."
    ]
    notes += average_notes(table, rows)
    conflicting = [
        f"{row.model} {row.robust} (here {row.average})"
        for row in rows
        if row.robust is not None and row.average is not None and row.robust != row.average
    ]
    where = f"Table {table.summary_number}, where retention is from,"
    notes += note_of(f"{where} prints another robust score", conflicting)
    return notes + (retention_notes(table) if rows else [])


def note_of(text: str, cases: Sequence[str]) -> list[str]:
    """A sentence with its cases; nothing without any."""
    return [f"{text}: {', '.join(cases)}."] if cases else []


def average_notes(table: PaperTable, rows: tuple[PaperRow, ...]) -> list[str]:
    """Rows whose printed average does not follow from their printed columns."""
    intact = [(row, row.average, row.column_mean) for row in rows]
    known = [(r, a, m) for r, a, m in intact if a is not None and m is not None]
    apart = [
        f"{row.model} {average} (mean {mean})"
        for row, average, mean in known
        if abs(average - mean) > AVERAGE_TOLERANCE
    ]
    notes = note_of(
        "The printed average differs from the mean of the row's own columns by more than "
        f"{AVERAGE_TOLERANCE}",
        apart,
    )
    if notes and table.hidden:
        beyond = [
            f"{row.model} ({table.hidden} would be {implied}, its clean score is {row.clean})"
            for row, _, _ in known
            for implied in [implied_column(row)]
            if implied is not None and row.clean is not None and implied - 2 > row.clean
        ]
        notes.append(
            f"The printed averages fit a mean that has {table.hidden} too, which the table does "
            f"not print{'; not ' if beyond else ''}{', '.join(beyond)}."
        )
    return notes


def implied_column(row: PaperRow) -> Decimal | None:
    """What one more column would have to be for the printed average to be the row's mean.

    Rounding of the printed numbers leaves it uncertain by up to 1.7 points.
    """
    values = [value for value in row.corruptions.values() if value is not None]
    if row.average is None or row.column_mean is None:
        return None
    return (row.average * (len(values) + 1) - sum(values)).quantize(_TENTH, ROUND_HALF_UP)


def retention_notes(table: PaperTable) -> list[str]:
    """Rows of the summary table whose printed retention is not robust / clean.

    Kept apart: what rounding of the two printed scores can explain, and what it cannot.
    """
    found = []
    for row in read_paper_table(table.summary_file):
        robust, clean = Decimal(row[table.robust_column]), Decimal(row[table.clean_column])
        printed = Decimal(row["retention_pct"])
        computed = (100 * robust / clean).quantize(_TENTH, ROUND_HALF_UP)
        if computed != printed:
            low = 100 * (robust - _ROUNDING) / (clean + _ROUNDING)
            high = 100 * (robust + _ROUNDING) / (clean - _ROUNDING)
            within = low - _ROUNDING <= printed <= high + _ROUNDING
            why = "rounding of the two can explain it" if within else "rounding cannot explain it"
            found.append(f"{row['model']} {printed} ({computed}; {why})")
    printed_by = f"Table {table.summary_number}'s printed retention"
    return note_of(f"{printed_by} is not its robust / clean score", found)


def _number(text: str) -> Decimal | None:
    return Decimal(text) if text else None
