"""The tables for a paper: need the packages booktabs and graphicx."""

from __future__ import annotations

from collections.abc import Sequence

from stl_backbones.report.document import Document
from stl_backbones.report.numbers import MISSING, NOT_IN_PROTOCOL, plain
from stl_backbones.report.table import Row, Table

_ESCAPES = str.maketrans(
    {
        "\\": r"\textbackslash{}",
        "{": r"\{",
        "}": r"\}",
        "$": r"\$",
        "&": r"\&",
        "#": r"\#",
        "%": r"\%",
        "_": r"\_",
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


def render(document: Document) -> str:
    r"""A ``table*`` each with grouped header; warnings and notes below, provenance as comments."""
    facts = [f"{label}: {text}" for label, text in document.shared_facts.items()]
    facts += [
        f"{model}: " + "; ".join(f"{label.lower()} {text}" for label, text in facts_of.items())
        for model, facts_of in document.model_facts.items()
    ]
    comparison = () if document.comparison is None else (document.comparison,)
    lines = [
        "% needs \\usepackage{booktabs} and \\usepackage{graphicx}",
        *(f"% {plain(text)}" for text in (*facts, *document.warnings)),
    ]
    for table in (*document.published_layouts, document.headline, *comparison):
        lines += _float(table, document, facts)
    return "\n".join(lines) + "\n"


def _float(table: Table, document: Document, facts: Sequence[str]) -> list[str]:
    told = [*document.warnings, *table.notes, *facts]
    return [
        r"\begin{table*}[t]",
        r"\centering",
        rf"\caption{{{_caption(table, document)}}}",
        r"\setlength{\tabcolsep}{3pt}",
        r"\resizebox{\ifdim\width>\textwidth\textwidth\else\width\fi}{!}{%",
        *_tabular(table, document.precision),
        "}",
        r"\par\smallskip\raggedright\scriptsize",
        *(f"{escape(text)}\\par" for text in told),
        r"\end{table*}",
    ]


def _caption(table: Table, document: Document) -> str:
    metric, protocol = document.metric.name, document.protocol
    if table is document.main:
        text = (
            f"{document.title}: {metric} in percent, protocol {protocol.name} ({protocol.source})."
        )
    else:
        text = f"{document.title}: {table.title}."
    return " ".join([escape(text), *(rf"\textbf{{{escape(r)}.}}" for r in table.remarks)])


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
    own = [row for row in table.rows if not row.published]
    published = [row for row in table.rows if row.published]
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
