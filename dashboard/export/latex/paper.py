"""What of a table belongs into a paper: columns that differ between rows, rows under headings, the rest in notes."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from dashboard.export.text_table import TextTable


@dataclass(frozen=True, slots=True)
class PaperTable:
    """A table for a paper: headings [C], cells [R][C], of which the first ``keys`` columns name the row.

    ``sections`` [R] is what stands above rows that share it (empty where nothing does); the last ``references`` rows
    are there to compare with.
    """

    caption: str
    headings: list[str]
    cells: list[list[str]]
    best: list[list[bool]]
    left: list[bool]
    keys: int
    sections: list[str]
    references: int


def paper_table(table: TextTable) -> PaperTable:
    """Leave out what a paper need not show; a column that says the same in every row goes into the caption."""
    table = _across(table)
    shown = [at for at, column in enumerate(table.columns) if column.in_paper and not column.section]
    same = [at for at in shown if table.same[at] and not table.columns[at].key]
    columns = sorted((at for at in shown if at not in same), key=lambda at: not table.columns[at].key)
    sections = [_section(table, row) for row in table.cells]
    order = sorted(range(len(sections)), key=lambda row: sections.index(sections[row]))
    return PaperTable(
        caption=" ".join([table.caption, *_notes(table, columns, same)]),
        headings=[table.columns[at].paper or table.headings[at] for at in columns],
        cells=[[table.cells[row][at] for at in columns] for row in order],
        best=[[table.best[row][at] for at in columns] for row in order],
        left=[table.left[at] for at in columns],
        keys=sum(table.columns[at].key for at in columns),
        sections=[sections[row] for row in order],
        references=table.references,
    )


def _across(table: TextTable) -> TextTable:
    """A row for each key and a column for each cell of the column ``across``, where the table has one."""
    at = next((at for at, column in enumerate(table.columns) if column.across), None)
    if at is None:
        return table
    key = next(place for place, column in enumerate(table.columns) if column.key)
    values = {(row[key], row[at]): row[-1] for row in table.cells}
    keys, names = (list(dict.fromkeys(row[place] for row in table.cells)) for place in (key, at))
    columns = [table.columns[key], *(dataclasses.replace(table.columns[-1], heading=name) for name in names)]
    cells = [[each, *(values.get((each, name), "") for name in names)] for each in keys]
    return TextTable(
        table.caption, [table.headings[key], *names], cells, [[False] * len(columns) for _ in keys],
        [table.left[key], *(table.left[-1] for _ in names)], columns, [False] * len(columns),
    )  # fmt: skip


def _section(table: TextTable, row: list[str]) -> str:
    """What stands above the row: the first of its sections, others in brackets."""
    cells = [cell for cell, column in zip(row, table.columns, strict=True) if column.section and cell]
    return cells[0] + "".join(f" ({cell})" for cell in cells[1:]) if cells else ""


def _notes(table: TextTable, columns: list[int], same: list[int]) -> list[str]:
    """What the caption has to tell besides: what all rows share, what columns mean, brackets and bold."""
    told = [_told(table.headings[at], table.cells[0][at]) for at in same]
    notes = [f"In all rows, {'; '.join(told)}."] if told else []
    notes += dict.fromkeys(note for at in columns if (note := table.columns[at].note) is not None)
    with_intervals = [at for at in [*columns, *same] if table.columns[at].low is not None]
    if any("[" in row[at] for row in table.cells for at in with_intervals):
        notes.append("Brackets: 95 % interval.")
    if any(row[at] for row in table.best for at in columns):
        notes.append("Bold: best.")
    return notes


def _told(heading: str, cell: str) -> str:
    name, bracket, unit = heading.partition(" (")
    return f"{name}: {cell} {unit[:-1]}" if bracket else f"{name}: {cell}"
