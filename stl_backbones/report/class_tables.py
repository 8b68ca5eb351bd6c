"""What a report shows of classes: the table of the weakest ones, and the map of all."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from stl_backbones.corruptions.catalog import level_text
from stl_backbones.corruptions.protocols import Protocol
from stl_backbones.records import CLEAN
from stl_backbones.report.numbers.aggregates import Findings
from stl_backbones.report.numbers.breaking import (
    NOT_REACHED,
    Points,
    class_points,
    in_words,
    points_of,
)
from stl_backbones.report.numbers.classes import (
    ClassScore,
    class_scores,
    largest_falls,
    main_key,
    mean_class_scores,
    occurring,
    summarise_classes,
)
from stl_backbones.report.numbers.flows import Flows
from stl_backbones.report.numbers.format import cell_name, full_name, with_ties
from stl_backbones.report.numbers.summary import cells_of
from stl_backbones.report.read.runs import Run
from stl_backbones.report.sections import ClassMap, Column, Row, Table, Value

FLOWS_SHOWN = 3
FLOWS_NOTE = (
    "Of each corruption the flows whose share of the true class's {counted} rises most above the "
    "clean one, each at the severity where most is taken; classes on fewer than ten images are "
    "left out where others occur on more. flows.csv has more of them."
)
NO_FLOWS_NOTE = (
    "There are no flows between classes: what a detector finds by mistake has no true class."
)
BREAKING_NOTE = (
    "Severity 0 is clean; between measured severities the score is taken for a straight line. In "
    "brackets: 95 % interval, from the same resamples."
)
CLASSES_SHOWN = 100  # of a table; the map and classes.csv have all


def class_table(findings: Findings) -> Table | None:
    """Which classes break, and where; ``None`` where there are no scores by class."""
    key = main_key(findings.task)
    indices, total = _shown_classes(findings, key)
    by_run = [summarise_classes(run, findings.protocol, key, indices) for run in findings.runs]
    heads = {
        "clean": ("Clean", "On clean images"),
        "average": (findings.task.wording.short_average, "The protocol's mean"),
        "loss": ("Loss", "Largest loss against clean, of the mean of a corruption"),
        "under": ("under", "Corruption of that loss"),
        "cell": ("Worst cell", "Lowest score of a corruption at a severity"),
        "in": ("in", "Cell of that score"),
    }
    columns = tuple(
        Column(f"{number} {key}", title, meaning, run.label,
               better="lower" if key == "loss" else "higher")
        for number, run in enumerate(findings.runs)
        for key, (title, meaning) in heads.items()
    )  # fmt: skip
    rows = tuple(
        Row(
            findings.runs[0].class_names[index],
            {f"{number} {key}": value
             for number, by_class in enumerate(by_run)
             for key, value in _class_values(by_class.get(index), findings.protocol).items()},
        )
        for index in indices
    )  # fmt: skip
    title = f"Classes: {findings.task.class_scores.get(key)} (%) of the classes that occur"
    cut = f"The {len(rows)} of {total} classes that lose most; classes.csv has all of them."
    records = [one for run in findings.runs for one in run.classes.values()]
    has_flows = any(one.confusion is not None for one in records)
    notes = ((cut,) if len(rows) < total else ()) + (() if has_flows else (NO_FLOWS_NOTE,))
    return Table(title, "Class", columns, rows, rows_compete=False, notes=notes) if rows else None


def _shown_classes(findings: Findings, key: str) -> tuple[list[int], int]:
    """The classes that lose most, in the data's order, and how many occur."""
    occur = sorted({int(index) for run in findings.runs for index in occurring(run)})
    if len(occur) <= CLASSES_SHOWN:
        return occur, len(occur)
    falls = [largest_falls(run, findings.protocol, key) for run in findings.runs if run.classes]
    most = np.max(falls, axis=0)[occur]
    kept = np.argsort(-most, kind="stable")[:CLASSES_SHOWN]
    return [occur[index] for index in sorted(kept)], len(occur)


def _class_values(scores: ClassScore | None, protocol: Protocol) -> dict[str, Value]:
    """A class's row: its numbers, and in words where they are lowest."""
    if scores is None:
        return dict.fromkeys(("clean", "average", "loss", "under", "cell", "in"))
    values: dict[str, Value] = {"clean": scores.clean, "average": scores.average}
    if scores.is_never_found:
        return {**values, "loss": "", "under": "never found", "cell": "", "in": ""}
    worst, cell, loss = scores.worst, scores.cell, scores.loss
    if worst is None or cell is None:
        return {**values, **dict.fromkeys(("loss", "under", "cell", "in"))}
    names = [full_name(name) for name in worst.names]
    if loss is not None and loss <= 0:
        where: dict[str, Value] = {"loss": "none", "under": ""}
    else:
        where = {"loss": loss, "under": with_ties(names, of=len(protocol.corruptions))}
    found_in = with_ties([cell_name(name) for name in cell.names], of=len(protocol.cells()) - 1)
    return {**values, **where, "cell": cell.score, "in": found_in}


def class_map(findings: Findings) -> ClassMap | None:
    """Class by corruption; ``None`` where there are no scores by class."""
    key = main_key(findings.task)
    maps = {run.label: _map_rows(run, findings.protocol, key) for run in findings.runs}
    columns = (CLEAN.name, *findings.protocol.corruptions)
    values = [
        value
        for rows in maps.values()
        for row in rows
        for value in (row.values[column] for column in columns)
        if isinstance(value, float) and not math.isnan(value)
    ]
    if not values:
        return None
    low = math.floor(10 * min(values) + 1e-9) / 10
    high = max(math.ceil(10 * max(values) - 1e-9) / 10, low + 0.1)
    name = findings.task.class_scores[key]
    return ClassMap("Class by corruption", name, columns, maps, (low, high))


def _map_rows(run: Run, protocol: Protocol, key: str) -> tuple[Row, ...]:
    if not run.classes:
        return ()
    truth = next(iter(run.classes.values())).truth
    columns = {CLEAN.name: [CLEAN]} | {
        name: cells_of(protocol, name) for name in protocol.corruptions
    }
    means = {name: mean_class_scores(run, key, cells) for name, cells in columns.items()}
    drops = largest_falls(run, protocol, key)
    corrupted = [cell for cell in protocol.cells() if not cell.is_clean]
    found = {cell: class_scores(run, key, cell) for cell in corrupted}
    known = {cell: one.values for cell, one in found.items() if one is not None}
    cells, scores = [cell.name for cell in known], np.array(list(known.values()))

    def values(index: int) -> dict[str, Value]:
        row: dict[str, Value] = {
            name: None if mean is None else float(mean.values[index])
            for name, mean in means.items()
        }
        row |= {"worst": None, "worst_cell": "", "drop": None}
        row["frequency"] = float(truth[index] / truth.sum())
        if cells:
            worst = float(scores[:, index].min())
            lowest = [cell_name(cells[at]) for at in np.flatnonzero(scores[:, index] == worst)]
            row |= {"worst": worst, "worst_cell": with_ties(lowest, of=len(corrupted))}
        if np.isfinite(drops[index]):
            row["drop"] = float(drops[index])
        return row

    return tuple(Row(run.class_names[index], values(index)) for index in occurring(run))


def flow_tables(findings: Findings, found: Sequence[Flows]) -> tuple[Table, ...]:
    """The largest flows between classes under each corruption, one table per model that has any.

    Args:
        findings: The models.
        found: The flows of each, see `flows`.
    """
    counted = findings.task.counted
    columns = (
        Column("flow", "Flow", "The true class, and what it is taken for"),
        Column("cell", "Under", "Corruption and severity at which most is taken"),
        Column("share", "Share", f"Share of the true class's {counted}"),
        Column("clean", "Clean", "The same on clean images"),
    )
    tables = []
    for run, by_corruption in zip(findings.runs, found, strict=True):
        names = run.class_names
        rows = tuple(
            Row(full_name(corruption), {
                "flow": f"{names[flow.truth]} -> {names[flow.prediction]}",
                "cell": cell_name(flow.cell.name), "share": flow.share, "clean": flow.clean_share,
            })
            for corruption, several in by_corruption.items()
            for flow in several[:FLOWS_SHOWN]
        )  # fmt: skip
        title = f"Flows between classes: {run.label} (%)"
        if rows:
            notes = (FLOWS_NOTE.format(counted=counted),)
            tables.append(
                Table(title, "Corruption", columns, rows, rows_compete=False, notes=notes)
            )
    return tuple(tables)


def breaking_table(findings: Findings) -> Table | None:
    """Where models break under each corruption, and which class does first."""
    bound, protocol = findings.bound, findings.protocol
    if bound is None:
        return None
    key, columns, rows = main_key(findings.task), [], []
    for number, run in enumerate(findings.runs):
        columns.append(Column(f"{number}", "All", "The model's score", run.label))
        if run.classes:
            columns.append(Column(f"{number} class", "First class", "The class that breaks first",
                                  run.label))  # fmt: skip
    for corruption in protocol.corruptions:
        values: dict[str, Value] = {}
        for number, run in enumerate(findings.runs):
            values[str(number)] = _broken_at(
                points_of(run, protocol, corruption, bound, findings.task.main)
            )
            values[f"{number} class"] = _first_broken(
                run, class_points(run, protocol, corruption, bound, key)
            )
        rows.append(Row(full_name(corruption), values))
    title = f"Breaking points: severity at which {findings.task.main.name} falls below {bound}"
    return Table(title, "Corruption", tuple(columns), tuple(rows), rows_compete=False,
                 notes=(BREAKING_NOTE,))  # fmt: skip


def _broken_at(points: Points | None) -> str | None:
    if points is None:
        return None
    ends = None if points.intervals is None else points.intervals.tolist()
    text = in_words(float(points.replicates[0]), points.corruption, ends)
    strongest = level_text(points.corruption, points.strongest) or f"{points.strongest:g}"
    return f"{text} to {strongest}" if text == NOT_REACHED else text


def _first_broken(run: Run, points: Points | None) -> str | None:
    if points is None:
        return None
    occurs = occurring(run)
    own = points.replicates[0, occurs]
    if not np.isfinite(own).any():
        return "none"
    earliest = np.nanmin(own)
    first = occurs[own == earliest]
    names = [run.class_names[index] for index in first]
    intervals = points.intervals if len(names) == 1 else None
    ends = None if intervals is None else intervals[:, first[0]].tolist()
    return (
        f"{with_ties(names, of=len(occurs))}: {in_words(float(earliest), points.corruption, ends)}"
    )
