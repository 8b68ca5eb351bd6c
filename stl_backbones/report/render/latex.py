"""The tables for a paper: need the packages booktabs and graphicx."""

from __future__ import annotations

from collections.abc import Sequence
from functools import singledispatch

from stl_backbones.report.numbers.format import MISSING, NOT_IN_PROTOCOL
from stl_backbones.report.read.text import plain
from stl_backbones.report.sections import Report, Row, Table

_ESCAPES = str.maketrans(
    {character: f"\\{character}" for character in "{}$&#%_"}
    | {
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "<": r"\textless{}",
        ">": r"\textgreater{}",
        "|": r"\textbar{}",
    }
)
_MARKS = {MISSING: "--", NOT_IN_PROTOCOL: r"$\cdot$"}


def escape(text: str) -> str:
    """Keep a name from being read as commands."""
    return text.translate(_ESCAPES).replace(NOT_IN_PROTOCOL, r"$\cdot$")


def render(report: Report) -> str:
    r"""A ``table*`` each with grouped header; warnings and notes below, provenance as comments."""
    lines = [
        "% needs \\usepackage{booktabs} and \\usepackage{graphicx}",
        *(f"% {plain(text)}" for text in (*report.facts, *report.warnings)),
    ]
    for section in report.sections:
        lines += render_section(section, report)
    return "\n".join(lines) + "\n"


@singledispatch
def render_section(section: object, report: Report) -> list[str]:
    """The lines of a section; kinds without a function of their own have none."""
    del section, report
    return []


@render_section.register
def _(section: Table, report: Report) -> list[str]:
    if not section.is_printed:
        return []
    caption = f"{report.title}: {section.caption or section.title}."
    remarks = [rf"\textbf{{{escape(remark)}.}}" for remark in report.remarks]
    texts = [*report.warnings, *section.notes, *report.facts]
    return [
        r"\begin{table*}[t]",
        r"\centering",
        rf"\caption{{{' '.join([escape(caption), *remarks])}}}",
        r"\setlength{\tabcolsep}{3pt}",
        r"\resizebox{\ifdim\width>\textwidth\textwidth\else\width\fi}{!}{%",
        *_tabular(section, report.precision),
        "}",
        r"\par\smallskip\raggedright\scriptsize",
        *(f"{escape(text)}\\par" for text in texts),
        r"\end{table*}",
    ]


def _tabular(table: Table, precision: int) -> list[str]:
    groups, rules, titles = [""], [], [escape(table.heading)]
    start = 2  # the first column holds the names
    for name, columns in table.groups():
        count = len(columns)
        groups.append(rf"\multicolumn{{{count}}}{{c}}{{{escape(name)}}}")
        if name:
            rules.append(rf"\cmidrule(lr){{{start}-{start + count - 1}}}")
        titles += [escape(column.title) for column in columns]
        start += count
    own, published = ([r for r in table.rows if r.published == kind] for kind in (False, True))
    return [
        rf"\begin{{tabular}}{{l{'r' * len(table.columns)}}}",
        r"\toprule",
        *([" & ".join(groups) + r" \\", " ".join(rules)] if rules else []),
        " & ".join(titles) + r" \\",
        r"\midrule",
        *_rows(table, own, precision),
        *([r"\midrule", *_rows(table, published, precision)] if published else []),
        r"\bottomrule",
        r"\end{tabular}",
    ]


def _rows(table: Table, rows: Sequence[Row], precision: int) -> list[str]:
    best = table.best()
    lines = []
    for row in rows:
        heading = escape(row.heading)
        # `\\` would take a bracket or a star that follows it for its own.
        cells = ["{}" + heading if heading.startswith(("[", "*")) else heading]
        for column in table.columns:
            text = table.text(row, column, precision)
            text = _MARKS.get(text, escape(text))
            bold = not row.published and (row.label, column.key) in best
            cells.append(rf"\textbf{{{text}}}" if bold else text)
        lines.append(" & ".join(cells) + r" \\")
    return lines
