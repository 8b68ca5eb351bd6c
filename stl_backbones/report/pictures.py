"""Cards, heat maps and severity curves of any task."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Literal

from stl_backbones.corruptions.protocols import Protocol
from stl_backbones.metrics import percentile_interval
from stl_backbones.records import CLEAN, Cell
from stl_backbones.report.numbers.aggregates import Aggregate, Aggregates, Findings
from stl_backbones.report.numbers.classes import class_scores, main_key
from stl_backbones.report.numbers.format import (
    MISSING,
    cell_name,
    full_name,
    quantity,
    with_ties,
)
from stl_backbones.report.numbers.keys import AVERAGE, Key, average_key, retention_key
from stl_backbones.report.numbers.summary import corruption_scores, weakest
from stl_backbones.report.read.runs import Run
from stl_backbones.report.sections import (
    Cards,
    CellDetail,
    Curve,
    Curves,
    Figure,
    HeatMap,
    Panel,
    Row,
)

LOWEST_CLASSES = 3  # classes that a cell of the heat map names


def cards(findings: Findings, extras: Sequence[str], *, precision: int) -> Cards:
    """Key figures of each model, and those of the aggregates ``extras`` that were measured."""
    wording = findings.task.wording
    named = {
        "clean": "Clean",
        average_key(findings.protocol).text: wording.average,
        retention_key(findings.protocol).text: wording.retention,
    }

    def figures(run: Run, found: Aggregates) -> Iterator[Figure]:
        for key, name in named.items() if findings.swept else ():
            if key in found:
                yield _figure(name, found[key])
        if findings.swept and findings.protocol.corruptions:
            yield from _weakest(run, findings, precision)
        for key in extras:
            if key in found and found[key].value is not None:
                yield _figure(found[key].title, found[key])

    return Cards({run.label: tuple(figures(run, found)) for run, found in findings.pairs})


def _weakest(run: Run, findings: Findings, precision: int) -> Iterator[Figure]:
    """The worst corruption and the worst cell."""
    protocol, main = findings.protocol, findings.task.main
    found = weakest(run, protocol, main) or (None, None)
    counts = (len(protocol.corruptions), len(protocol.cells()) - 1)
    for name, worst, count in zip(("Weakest under", "Weakest cell"), found, counts, strict=True):
        text = MISSING
        if worst is not None:
            names = [cell_name(one) for one in worst.names]
            score = quantity(worst.score, main.unit, precision)
            text = f"{with_ties(names, of=count)} ({score} {main.shown_unit})"
        yield Figure(name, text, kind="wide")


def _figure(name: str, one: Aggregate) -> Figure:
    kind: Literal["main", ""] = "main" if one.key in (AVERAGE, Key("mean", "chosen")) else ""
    return Figure(name, one.value, one.unit, one.interval, kind)


def heat_map(findings: Findings) -> HeatMap:
    """Corruption by severity."""
    protocol = findings.protocol

    def row(run: Run, name: str, mean: float | None) -> Row:
        levels = protocol.severities[name]
        values = {f"{level:g}": run.scores.get(Cell(name, level)) for level in levels}
        return Row(full_name(name), {**values, "mean": mean})

    maps = {}
    for run in findings.runs:
        means = corruption_scores(run, protocol)
        groups = protocol.columns.values()
        maps[run.label] = [[row(run, name, means[name]) for name in names] for names in groups]
    columns = tuple(f"{level:g}" for level in protocol.levels)
    clean = {run.label: run.scores.get(CLEAN) for run in findings.runs}
    details = {run.label: _details(run, findings) for run in findings.runs}
    return HeatMap("Corruption by severity", findings.task.main, columns, maps, _limits(findings),
                   clean, details)  # fmt: skip


def _details(run: Run, findings: Findings) -> dict[tuple[str, str], CellDetail]:
    """Interval and lowest classes of every cell that was measured."""
    names, found = run.class_names, {}
    key = main_key(findings.task)
    for cell in findings.protocol.cells():
        if cell.is_clean or cell not in run.scores:
            continue
        replicates = run.replicates[findings.task.main.key][cell]
        interval = percentile_interval(replicates[1:]) if len(replicates) > 1 else None
        scores = class_scores(run, key, cell)
        values = [] if scores is None else scores.values.tolist()
        lowest = sorted((value, n) for n, value in enumerate(values) if not math.isnan(value))
        classes = [(names[n], value) for value, n in lowest[:LOWEST_CLASSES]]
        more = sum(value == classes[-1][1] for value, _ in lowest[LOWEST_CLASSES:])
        if more:
            classes[-1] = (f"{classes[-1][0]} and {more} more", classes[-1][1])
        place = (full_name(cell.corruption), f"{cell.severity:g}")
        found[place] = CellDetail(cell.name, interval, tuple(classes))
    return found


def _limits(findings: Findings) -> tuple[float, float]:
    """Ends of the colour scale that all maps share: lowest and highest score, to a tenth."""
    values = [v for run in findings.runs for v in run.scores.values() if not math.isnan(v)]
    low = math.floor(10 * min(values, default=0.0) + 1e-9) / 10
    high = math.ceil(10 * max(values, default=1.0) - 1e-9) / 10
    return low, max(high, low + 0.1)


def severity_curves(findings: Findings) -> Curves:
    """One panel per group with a line per corruption; with several models, one per corruption."""
    runs, protocol = findings.runs, findings.protocol
    panels: list[Panel] = []
    for group, names in protocol.columns.items():
        if len(runs) == 1:
            lines = tuple(_curve(full_name(name), runs[0], name, protocol) for name in names)
            panels.append(Panel(group, full_name(group), lines))
            continue
        for name in names:
            lines = tuple(_curve(run.label, run, name, protocol) for run in runs)
            panels.append(Panel(group, full_name(name), lines))
    hint = (
        "From clean images to severity 5; a line breaks where a cell was not measured, and ends "
        "where the protocol does."
    )
    return Curves("Severity curves", hint, findings.task.main, tuple(panels))


def _curve(label: str, run: Run, corruption: str, protocol: Protocol) -> Curve:
    cells: dict[float, Cell] = {
        0: CLEAN,
        **{s: Cell(corruption, s) for s in protocol.severities[corruption]},
    }
    points = {
        severity: run.scores[cell]
        for severity, cell in cells.items()
        if cell in run.scores and not math.isnan(run.scores[cell])
    }
    return Curve(label, points, tuple(cells))
