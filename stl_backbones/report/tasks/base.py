"""A task's part of a report: its numbers, its tables, and the paper's rows beside them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import cast

from stl_backbones.corruptions.protocols import Protocol
from stl_backbones.errors import InputError
from stl_backbones.records import Provenance
from stl_backbones.report.numbers.aggregates import Findings
from stl_backbones.report.paper.data_sets import why_apart
from stl_backbones.report.paper.tables import PAPER_TABLES, main_rows, paper_notes, paper_rows
from stl_backbones.report.read.metrics import TASKS, TaskMetrics, find_task
from stl_backbones.report.sections import Column, Row, Table
from stl_backbones.report.tables import main_columns, main_table


@dataclass(frozen=True)
class Task(TaskMetrics):
    """All that reports know of a task; see `TaskMetrics` for its numbers.

    Attributes:
        paper_protocols: Those beside whose numbers the paper's rows may stand.
        paper_data: The data that those rows are of, see `paper.data_sets`; empty for any.
        card_extras: Aggregates that the page's cards show if they were measured.
    """

    paper_protocols: tuple[str, ...] = ()
    paper_data: str = ""
    card_extras: tuple[str, ...] = ()

    def why_apart(self, record: Provenance) -> str:
        """Why numbers so measured may not stand beside the paper's: a phrase, or nothing."""
        return why_apart(record, self.paper_data) if self.paper_data else ""

    def tables(self, findings: Findings) -> Iterator[Table]:
        """The tables of models, in order; here the one by corruption.

        Raises:
            ValueError: If the paper's rows are asked for, and it has none for the protocol.
        """
        if findings.swept:
            yield self.main_table(findings)

    def main_table(self, findings: Findings) -> Table:
        """The table by corruption, with the paper's rows where they are asked for."""
        published, notes = self.published(findings.protocol.name) if findings.paper else ((), ())
        return main_table(findings, self.main_columns(findings.protocol), published, notes)

    def main_columns(self, protocol: Protocol) -> tuple[Column, ...]:
        """The columns of the table by corruption."""
        return main_columns(self, protocol)

    def published(self, protocol: str) -> tuple[Sequence[Row], Sequence[str]]:
        """The paper's rows by corruption, and what must be known of them.

        Raises:
            ValueError: If it has none for this protocol.
        """
        self.check_paper(protocol)
        rows = paper_rows(protocol)
        return main_rows(protocol), paper_notes(PAPER_TABLES[protocol], rows)

    def check_paper(self, protocol: str) -> None:
        """Refuse, by a ValueError, a protocol beside which the paper's rows may not stand."""
        if protocol not in self.paper_protocols:
            known = [
                f"'{name}' ({task})" for task in TASKS for name in get_task(task).paper_protocols
            ]
            raise InputError(
                f"--paper has no rows for protocol '{protocol}' and task '{self.name}'; expected "
                f"one of {', '.join(known)}"
            )


def register_task(task: Task) -> Task:
    """Make a task known to all reports, under its name.

    Raises:
        ValueError: If the name is taken.
    """
    if task.name in TASKS:
        raise InputError(f"task '{task.name}' is registered twice; choose another name")
    TASKS[task.name] = task
    return task


def get_task(name: str) -> Task:
    """Look a task up; a ValueError names the registered ones."""
    return cast(Task, find_task(name))
