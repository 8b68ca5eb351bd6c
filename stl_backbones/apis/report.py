"""From sweep folders to a report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from stl_backbones.report import csv_file, html, latex, markdown
from stl_backbones.report.document import make_document
from stl_backbones.report.runs import read_runs
from stl_backbones.results.atomic import write_atomically


@dataclass(frozen=True)
class ReportFiles:
    """What a report came to.

    Attributes:
        text: Main table and provenance as Markdown, for the terminal.
        folder: Where the files are.
        page: The HTML page among them.
    """

    text: str
    folder: Path
    page: Path


def make_report(
    folders: Sequence[str | Path],
    *,
    out: str | Path | None = None,
    protocol: str | None = None,
    names: Sequence[str] | None = None,
    paper: bool = False,
    partial: bool = False,
    precision: int = 1,
) -> ReportFiles:
    """Write the report of one or several sweeps of one data set.

    Writes ``report.md``, ``table.csv`` and ``cells.csv`` (unrounded fractions), ``table.tex`` and
    ``index.html``, whose bytes depend on the sweeps and these arguments alone.

    Args:
        folders: Sweep folders, one model each.
        out: Where to write; ``None`` means ``report`` in the first folder.
        protocol: Name of a protocol; ``None`` takes the recorded one.
        names: Labels, one per folder; ``None`` takes the recorded model names.
        paper: Add the paper's rows.
        partial: Print dashes for missing cells in place of refusing.
        precision: Decimals of printed percentages, 0 to 6.

    Raises:
        IncompleteRunsError: If cells are missing and ``partial`` is not set.
        FileNotFoundError: If a folder holds no sweep.
        KeyError: If the protocol is unknown.
        ValueError: If the runs cannot share a table, a file is damaged, or an argument does not
            fit.
    """
    paths = [Path(folder) for folder in folders]
    chosen, runs = read_runs(paths, protocol=protocol, names=names, partial=partial)
    document = make_document(runs, chosen, paper=paper, precision=precision)
    files = {
        "report.md": markdown.render(document),
        "table.csv": csv_file.render_table(document),
        "cells.csv": csv_file.render_cells(document),
        "table.tex": latex.render(document),
        "index.html": html.render(document),
    }
    folder = paths[0] / "report" if out is None else Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        write_atomically(folder / name, text.encode())
    return ReportFiles(markdown.render_head(document), folder, folder / "index.html")
