"""A table as LaTeX that fits a page of article, in one column or two."""

from __future__ import annotations

from collections.abc import Iterator

from dashboard.export.latex.layout import Layout, Measured, Part, laid_out
from dashboard.export.latex.letters import latex_number, latex_running, latex_text
from dashboard.export.latex.paper import PaperTable, paper_table
from dashboard.export.text_table import TextTable

WAITING = 10
"""Floats after which those that wait are set, as LaTeX keeps no more than 18."""

NEXT = r" \\ "


def latex(table: TextTable, label: str) -> str:
    r"""The table as LaTeX, with the best values in bold; it needs ``\usepackage{booktabs}``.

    A table that is longer than a page becomes several, labelled ``tab:LABEL``, ``tab:LABEL-2`` and so on.
    """
    shown = paper_table(table)
    layout = laid_out(shown)
    lines = [r"% needs \usepackage{booktabs}"]
    for number, part in enumerate(layout.parts, start=1):
        lines += _float(shown, layout, number, part, label)
        if number % WAITING == 0 and number < len(layout.parts):
            lines.append(r"\clearpage")
    return "\n".join(lines) + "\n"


def _float(table: PaperTable, layout: Layout, number: int, part: Part, label: str) -> Iterator[str]:
    kind, parts = "table*" if layout.wide else "table", len(layout.parts)
    caption = table.caption + (f" Part {number} of {parts}." if parts > 1 else "")
    yield rf"\begin{{{kind}}}"
    yield r"\centering\sloppy"
    yield rf"\caption{{{latex_running(caption)}}}"
    yield rf"\label{{tab:{label}{f'-{number}' if number > 1 else ''}}}"
    yield r"\medskip"
    yield rf"{layout.measured.size.command}\setlength{{\tabcolsep}}{{{layout.measured.size.between:g}pt}}"
    for place, columns in enumerate(part.panels):
        if place:
            yield r"\par\medskip"
        yield from _panel(layout.measured, columns, part.rows)
    yield rf"\end{{{kind}}}"


def _panel(measured: Measured, columns: list[int], rows: range) -> Iterator[str]:
    table = measured.table
    align = "".join("l" if table.left[at] else "r" for at in columns)
    yield rf"\begin{{tabular}}{{@{{}}{align}@{{}}}}"
    yield r"\toprule"
    yield " & ".join(_heading(measured, at) for at in columns) + r" \\"
    yield r"\midrule"
    for row in rows:
        yield from _above(measured, len(columns), rows, row)
        yield " & ".join(_cell(measured, row, at) for at in columns) + r" \\"
    yield r"\bottomrule"
    yield r"\end{tabular}"


def _above(measured: Measured, width: int, rows: range, row: int) -> Iterator[str]:
    """What stands between a row and the one before: the name of its section, a rule above the references."""
    table, first = measured.table, row == rows.start
    if table.sections[row] and (first or table.sections[row] != table.sections[row - 1]):
        if not first:
            yield r"\addlinespace"
        name = _lines([rf"\emph{{{latex_text(line)}}}" for line in measured.sections[table.sections[row]]], "t", "l")
        yield rf"\multicolumn{{{width}}}{{@{{}}l@{{}}}}{{{name}}} \\"
    elif not first and row == len(table.cells) - table.references:
        yield r"\midrule"


def _heading(measured: Measured, at: int) -> str:
    """A heading, its last line next to the rule."""
    align = "l" if measured.table.left[at] else "r"
    return _lines([latex_text(line) for line in measured.headings[at]], "b", align)


def _cell(measured: Measured, row: int, at: int) -> str:
    """A cell, its first line on that of its row."""
    table = measured.table
    written = map(latex_text if table.left[at] else latex_number, measured.cells[row][at])
    return _lines([rf"\textbf{{{line}}}" if table.best[row][at] else line for line in written], "t", "l")


def _lines(lines: list[str], place: str, align: str) -> str:
    """One line as it is, several below each other."""
    if len(lines) == 1:
        return lines[0]
    return rf"\begin{{tabular}}[{place}]{{@{{}}{align}@{{}}}}{NEXT.join(lines)}\end{{tabular}}"
