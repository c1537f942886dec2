"""A table as text: headings, cells as a paper prints them, and which of them are the best of their column."""

from __future__ import annotations

import re
import textwrap
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from dashboard.export.digits import rounded, with_interval

MANY = 6
"""Columns above which a table is set smaller and closer."""

SMALL = (r"\footnotesize", r"\setlength{\tabcolsep}{3pt}")


@dataclass(frozen=True, slots=True)
class Column:
    """How a column of a table is printed.

    ``low`` and ``high`` name the columns of its interval; ``percent`` multiplies by 100; ``whole`` prints an integer or
    a text as it is; ``called`` gives texts another wording. ``best`` is ``max`` or ``min`` where the best value is to
    be marked: of the column, or of each group of rows that are alike in the column ``among``.
    """

    name: str
    heading: str
    low: str | None = None
    high: str | None = None
    percent: bool = False
    whole: bool = False
    best: str | None = None
    among: str | None = None
    called: Callable[[str], str] | None = None


@dataclass(frozen=True, slots=True)
class TextTable:
    """Headings [C], cells [R][C], and for each whether it is the best of its column."""

    caption: str
    headings: list[str]
    cells: list[list[str]]
    best: list[list[bool]]
    left: list[bool]


def text_table(table: pd.DataFrame, columns: Sequence[Column], caption: str, *, references: int = 0) -> TextTable:
    """Print ``table``; columns that it lacks, or that hold nothing, are left out.

    The last rows, ``references`` of them, are there to compare with and never the best.
    """
    shown = [column for column in columns if column.name in table and table[column.name].notna().any()]
    printed = [_cells(table, column) for column in shown]
    marks = [_best(table, column, cells, references) for column, cells in zip(shown, printed, strict=True)]
    return TextTable(
        caption=caption,
        headings=[column.heading for column in shown],
        cells=[list(row) for row in zip(*printed, strict=True)],
        best=[list(row) for row in zip(*marks, strict=True)],
        left=[not pd.api.types.is_numeric_dtype(table[column.name]) for column in shown],
    )


def markdown(table: TextTable) -> str:
    """The table as Markdown, with the best values in bold."""
    lines = [[_markdown(heading) for heading in table.headings], ["---" if left else "---:" for left in table.left]]
    for row, best in zip(table.cells, table.best, strict=True):
        lines.append(
            [f"**{_markdown(cell)}**" if mark else _markdown(cell) for cell, mark in zip(row, best, strict=True)]
        )
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + f"\n\n{_markdown(table.caption)}\n"


def latex(table: TextTable, label: str) -> str:
    r"""The table as LaTeX, with the best values in bold; it needs ``\usepackage{booktabs}``."""
    align = "".join("l" if left else "r" for left in table.left)
    lines = [
        r"% needs \usepackage{booktabs}", r"\begin{table}", r"\centering", rf"\caption{{{_latex(table.caption)}}}",
        rf"\label{{tab:{label}}}", *(SMALL if len(table.left) > MANY else []),
        rf"\begin{{tabular}}{{{align}}}", r"\toprule",
        " & ".join(_stacked(*each) for each in zip(table.headings, table.left, strict=True)) + r" \\", r"\midrule",
    ]  # fmt: skip
    for row, best in zip(table.cells, table.best, strict=True):
        written = [_latex(cell) if left else _latex_number(cell) for cell, left in zip(row, table.left, strict=True)]
        cells = [rf"\textbf{{{cell}}}" if mark else cell for cell, mark in zip(written, best, strict=True)]
        lines.append(" & ".join(cells) + r" \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", r"\end{table}"]) + "\n"


def _cells(table: pd.DataFrame, column: Column) -> list[str]:
    factor = 100.0 if column.percent else 1.0
    values = table[column.name]
    if column.whole or not pd.api.types.is_numeric_dtype(values):
        called = column.called or str
        return ["" if pd.isna(value) else called(str(value)) for value in values]
    if column.low is None or column.high is None:
        return [rounded(float(value) * factor, None) if pd.notna(value) else "" for value in values]
    ends = zip(values, table[column.low], table[column.high], strict=True)
    return [
        with_interval(value * factor, low * factor, high * factor) if pd.notna(value) else ""
        for value, low, high in ends
    ]


def _best(table: pd.DataFrame, column: Column, cells: list[str], references: int) -> list[bool]:
    """The best value (of each group), and those that print the same; none where all do."""
    marks = np.zeros(len(cells), dtype=bool)
    if column.best is None:
        return marks.tolist()
    compared = table.iloc[: len(cells) - references].reset_index(drop=True)
    alike = [compared] if column.among is None else [rows for _, rows in compared.groupby(column.among)]
    for rows in alike:
        values = rows[column.name]
        if values.notna().sum() < 2:
            continue
        best = values.idxmax() if column.best == "max" else values.idxmin()
        printed = {at: cells[at].split(" ")[0] for at in rows.index}
        same = [at for at in rows.index if printed[at] == printed[best]]
        marks[same] = len(same) < len(rows)
    return marks.tolist()


def _markdown(text: str) -> str:
    return re.sub(r"([\\`*_\[\]<>|])", r"\\\1", text).replace("\n", " ")


_LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", '"': "''", "[": "{[}", "]": "{]}", "−": "$-$", "×": r"$\times$", "±": r"$\pm$",
    "²": r"\textsuperscript{2}",
}  # fmt: skip


def _latex(text: str) -> str:
    r"""Text as LaTeX prints it; letters that pdflatex does not know become their nearest in ASCII, or a question mark.

    >>> _latex("50 % of a_b in mm/s^2")
    '50 \\% of a\\_b in mm/s\\textsuperscript{2}'
    """
    powers = re.split(r"\^(\d)", " ".join(text.split()))
    parts = ["".join(map(_letter, part)) for part in powers[::2]]
    return "".join(
        part + (rf"\textsuperscript{{{powers[2 * i + 1]}}}" if i < len(parts) - 1 else "")
        for i, part in enumerate(parts)
    )


def _latex_number(text: str) -> str:
    """A number, or one with its interval, with a true minus.

    >>> _latex_number("-53 [-68, 1e-3]")
    '$-$53 {[}$-$68, 1e-3{]}'
    """
    return re.sub(r"(?<!\w)-(?=\d)", "$-$", _latex(text))


def _stacked(heading: str, left: bool) -> str:
    """A heading in lines as wide as its numbers, its unit in the last."""
    name, bracket, unit = heading.partition(" (")
    lines = [*textwrap.wrap(name, 14), *([f"({unit}"] if bracket else [])]
    joined = r" \\ ".join(map(_latex, lines))
    return joined if len(lines) == 1 else rf"\shortstack[{'l' if left else 'r'}]{{{joined}}}"


def _letter(character: str) -> str:
    if character in _LATEX:
        return _LATEX[character]
    if character.isascii():
        return character
    return unicodedata.normalize("NFKD", character).encode("ascii", "ignore").decode() or "?"
