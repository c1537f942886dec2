"""A table as text: headings, cells as a paper prints them, and which of them are the best of their column."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from dashboard.export.digits import rounded, with_interval


@dataclass(frozen=True, slots=True)
class Column:
    """How a column of a table is printed.

    ``low`` and ``high`` name the columns of its interval; ``percent`` multiplies by 100; ``whole`` prints an integer or
    a text as it is; ``called`` gives texts another wording. ``best`` is ``max`` or ``min`` where the best value is to
    be marked: of the column, or of each group of rows that are alike in the column ``among``.

    In LaTeX: a ``key`` names its row, in every panel; a ``section`` stands above the rows that share it; the cells of
    a column ``across`` become headings of what the last column says of each key; ``paper`` is a shorter heading,
    ``note`` a sentence for the caption; what is not ``in_paper`` is left out.
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
    key: bool = False
    section: bool = False
    across: bool = False
    paper: str | None = None
    note: str | None = None
    in_paper: bool = True


@dataclass(frozen=True, slots=True)
class TextTable:
    """Headings [C], cells [R][C], and for each whether it is the best of its column.

    The last ``references`` rows are there to compare with; ``columns`` [C] say how each is printed, ``same`` [C]
    whether all rows say the same there.
    """

    caption: str
    headings: list[str]
    cells: list[list[str]]
    best: list[list[bool]]
    left: list[bool]
    columns: list[Column]
    same: list[bool]
    references: int = 0


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
        columns=shown,
        same=[_same(table, column, cells, references) for column, cells in zip(shown, printed, strict=True)],
        references=references,
    )


def markdown(table: TextTable) -> str:
    """The table as Markdown, with the best values in bold."""
    lines = [[_markdown(heading) for heading in table.headings], ["---" if left else "---:" for left in table.left]]
    for row, best in zip(table.cells, table.best, strict=True):
        lines.append(
            [f"**{_markdown(cell)}**" if mark else _markdown(cell) for cell, mark in zip(row, best, strict=True)]
        )
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + f"\n\n{_markdown(table.caption)}\n"


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


def _same(table: pd.DataFrame, column: Column, cells: list[str], references: int) -> bool:
    """Whether two rows or more all print the same; a reference may be missing, and print without the interval."""
    last = len(cells) - references
    if last < 2 or len(set(cells[:last])) > 1:
        return False
    values = table[column.name].tolist()
    return all(pd.isna(value) or value == values[0] for value in values[last:])


def _markdown(text: str) -> str:
    return re.sub(r"([\\`*_\[\]<>|])", r"\\\1", text).replace("\n", " ")
