"""Sets of other images beside their clean partners, and beside the same models' corrupted ones."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from stl_backbones.metrics import percentile_interval
from stl_backbones.report.numbers.aggregates import Aggregates, Findings
from stl_backbones.report.numbers.format import MISSING, quantity, with_interval
from stl_backbones.report.numbers.keys import CLEAN_KEY, Key, average_key, retention_key
from stl_backbones.report.read.cells import Part
from stl_backbones.report.read.metrics import CellMetric
from stl_backbones.report.read.provenance import images
from stl_backbones.report.read.runs import Run
from stl_backbones.report.read.sets import own_clean
from stl_backbones.report.sections import Column, Group, Row, Table, Value
from stl_backbones.shift_sets import COCO_O, DOMAINS, SHIFT_SETS

_HINT = (
    "Sets of other images, each beside its clean partner. Gap is the set's score minus the "
    "partner's, retention their ratio."
)
_CONDITION_NOTE = (
    "Each row from the sums of its own images, not from means. Classes: how many occur in its "
    "truth; a class that neither occurs nor is predicted leaves the mean, one that is predicted "
    "without occurring counts as 0."
)
_BOTH_HINT = (
    "The same models on corrupted images and on sets of other images: whether the ones predict the "
    "others. Rank 1 is the best of this page's models."
)


def shift_sections(findings: Findings, *, precision: int) -> Iterator[object]:
    """The sets with their clean partners, and synthetic beside real; nothing without sets."""
    names = [name for name in findings.task.sets if any(name in run.sets for run in findings.runs)]
    if names:
        tables = (
            _table(findings, names, precision),
            *(one for name in names for one in _condition_tables(findings, name, precision)),
        )
        yield Group("Real shifts", tables, _HINT)
    swept = [run for run in findings.runs if run.scores]
    if names and swept and findings.protocol.corruptions:
        yield Group("Synthetic and real", (_both(findings, names, precision),), _BOTH_HINT)


def _table(findings: Findings, names: Sequence[str], precision: int) -> Table:
    """One row per set and model that was scored on it: score, clean partner, gap, retention."""
    main = findings.task.main
    heads = (
        ("score", "Score", f"{main.name} on the set"),
        ("clean", "Clean", f"{main.name} on its clean partner"),
        ("gap", "Gap", "Score minus clean, in points"),
        ("retention", "Retention", "Score divided by clean"),
        ("images", "Images", "How many were scored"),
    )
    columns = tuple(Column(*head) for head in heads)

    def row(name: str, run: Run, found: Aggregates) -> Row:
        title, partner = findings.task.sets[name], own_clean(name, run.sets)
        own, kept = found[Key("set", name).text], found[Key("set-retention", name).text]
        clean = found[Key("set", partner).text if partner else CLEAN_KEY.text]
        gap: Value = None
        if own.value is not None and clean.value is not None:
            gap = f"{100 * (own.value - clean.value):+.{precision}f}"
        texts: dict[str, Value] = {
            one: with_interval(entry.value, entry.interval, entry.unit, precision)
            for one, entry in (("score", own), ("clean", clean), ("retention", kept))
        }
        label = title if len(findings.runs) == 1 else f"{title}: {run.label}"
        return Row(label, {**texts, "gap": gap, "images": images(run.sets[name].provenance)})

    rows = [
        row(name, run, found) for name in names for run, found in findings.pairs if name in run.sets
    ]
    notes = tuple(
        f"{one.title}: clean is {one.clean}; terms: {one.terms}."
        for one in map(SHIFT_SETS.get, names)
        if one is not None
    )
    title = f"Sets of other images: {main.name} ({main.shown_unit})"
    return Table(title, "Set", columns, tuple(rows), rows_compete=False, notes=notes)


def _condition_tables(findings: Findings, name: str, precision: int) -> Iterator[Table]:
    """The set by each of its conditions: one row per value, one column per model."""
    main, title = findings.task.main, findings.task.sets[name]
    runs = [run for run in findings.runs if name in run.sets]
    heads = (*(run.label for run in runs), "Images", "Classes")
    columns = tuple(Column(str(number), head, head) for number, head in enumerate(heads))
    every = [run.sets[name].parts for run in runs]
    for column in dict.fromkeys(column for own in every for column in own):
        rows = []
        for value in sorted({value for own in every for value in own.get(column, {})}):
            parts = [own.get(column, {}).get(value) for own in every]
            texts = [_with_ends(one, main, precision) for one in parts]
            there = [one for one in parts if one is not None]
            texts += [_each(one.images for one in there), _each(len(one.classes) for one in there)]
            rows.append(Row(value, dict(zip((one.key for one in columns), texts, strict=True))))
        yield Table(f"{title} by {column}: {main.name} ({main.shown_unit})", column.capitalize(),
                    columns, tuple(rows), rows_compete=False, notes=(_CONDITION_NOTE,))  # fmt: skip


def _each(counts: Iterable[int]) -> str:
    """A count, or those of models that differ in it; empty for none."""
    return " / ".join(str(one) for one in dict.fromkeys(counts) if one)


def _with_ends(part: Part | None, metric: CellMetric, precision: int) -> str:
    """The number of a part with its interval."""
    if part is None:
        return MISSING
    value, *drawn = part.replicates[metric.key]
    ends = percentile_interval(np.array(drawn)) if drawn else None
    return with_interval(float(value), ends, metric.unit, precision)


def _both(findings: Findings, names: Sequence[str], precision: int) -> Table:
    """One row per model: score, retention and rank, of the protocol and of each set."""
    task, protocol = findings.task, findings.protocol
    places = [(f"Synthetic ({protocol.name})", average_key(protocol), retention_key(protocol))]
    domains = (COCO_O,) if set(names) & set(DOMAINS) else ()
    places += [
        (task.sets.get(n, "COCO-O, mean"), Key("set", n), Key("set-retention", n))
        for n in (*names, *domains)
    ]
    columns, values = (
        [Column("clean", "Clean", "On clean images")],
        [
            {"clean": quantity(found[CLEAN_KEY.text].value, task.main.unit, precision)}
            for found in findings.aggregates
        ],
    )
    for number, (group, score, kept) in enumerate(places):
        scores = [
            found[score.text].value if score.text in found else None
            for found in findings.aggregates
        ]
        kept_of = [
            found[kept.text].value if kept.text in found else None for found in findings.aggregates
        ]
        ranks = _ranks(scores)
        for key, head, meaning in (
            ("score", "Score", "Score"), ("kept", "Ret", "Divided by clean"),
            ("rank", "Rank", "Place among these models"),
        ):  # fmt: skip
            columns.append(Column(f"{key}{number}", head, f"{group}: {meaning}", group))
        for own, one, share, rank in zip(values, scores, kept_of, ranks, strict=True):
            own |= {
                f"score{number}": quantity(one, task.main.unit, precision),
                f"kept{number}": quantity(share, "fraction", precision),
                f"rank{number}": rank,
            }
    rows = tuple(Row(run.label, dict(own)) for run, own in zip(findings.runs, values, strict=True))
    note = (
        "Equal ranks in two groups of columns say that one predicts the other for these models "
        "only; few models, or ones alike, say little of others."
    )
    title = f"Synthetic and real: {task.main.name} ({task.main.shown_unit})"
    return Table(title, "Model", tuple(columns), rows, rows_compete=False, notes=(note,))


def _ranks(scores: Sequence[float | None]) -> list[str]:
    """Places from the best, equal ones alike; a dash without a score, or without another model."""
    known = [one for one in scores if one is not None and not math.isnan(one)]
    return [
        "-" if one not in known or len(known) < 2 else str(1 + sum(o > one for o in known))
        for one in scores
    ]


__all__ = ["shift_sections"]
