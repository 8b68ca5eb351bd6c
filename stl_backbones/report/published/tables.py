"""Published rows in tables, beside one's own or set apart with the reason."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from stl_backbones.errors import InputError, unknown_name
from stl_backbones.report.numbers.aggregates import Findings
from stl_backbones.report.published.sources import SOURCES, Published
from stl_backbones.report.sections import Group, Row, Table

_HINT = (
    "Rows of others are as published, with their protocol's name; no mean is taken over them and "
    "one's own."
)


def check_published(names: Sequence[str], task: str) -> None:
    """Refuse names that are none, and sources of other tasks.

    Raises:
        UnknownNameError: If nobody of that name published anything here.
        InputError: If the numbers are of another task.
    """
    for name in names:
        if name not in SOURCES:
            raise unknown_name("source of published numbers", name, SOURCES)
        of_task = [key for key, make in SOURCES.items() if make()[0].task == task]
        if name not in of_task:
            known = ", ".join(of_task) or "none"
            raise InputError(f"--published {name} has no numbers of {task}; expected {known}")


def published_sections(findings: Findings) -> Iterator[Group]:
    """A group for each source that is asked for."""
    for name in dict.fromkeys(findings.published):
        tables = [table for one in SOURCES[name]() for table in _tables(one, name, findings)]
        yield Group(f"Published by {name}", tuple(tables), _HINT, folded=True)


def _tables(one: Published, source: str, findings: Findings) -> Iterator[Table]:
    """The rows of others below one's own of the same kind; one's others in a table before it."""
    beside: list[Row] = []
    apart: list[Row] = []
    reasons: list[str] = []
    for run, found in findings.pairs:
        why = "; ".join(one.why_apart(run))
        row = Row(run.label, one.own(run, found), "set apart" if why else "")
        (apart if why else beside).append(row)
        if why:
            reasons.append(f"{run.label} is set apart: {why}.")
    apart = [row for row in apart if any(value is not None for value in row.values.values())]
    if apart:
        yield Table(f"{one.title}: own numbers, NOT COMPARABLE with it", "Model", one.columns,
                    tuple(apart), notes=tuple(reasons))  # fmt: skip
    theirs = (
        Row(f"{source}: {label}", values, published=True, decimals=2)
        for label, values in one.rows.items()
    )
    notes = (*one.comments, *(() if apart else reasons))
    yield Table(one.title, "Model", one.columns, (*beside, *theirs), notes=notes)


__all__ = ["check_published", "published_sections"]
