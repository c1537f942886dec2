"""How a table fits a page: its size, its columns in panels one below the other, its rows in parts."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby, pairwise

from dashboard.export.latex.letters import text_width, wrapped
from dashboard.export.latex.paper import PaperTable

PAGE, COLUMN = 345.0, 221.0
"""Points that a line has in article at 10pt, and in one of its two columns (of A4, which has less than letter)."""

HEIGHT = 535.0
"""Points that a page has for a float (550), less what is estimated."""

CELL, SHORT, SECTION = 110.0, 60.0, 200.0
"""Points at which a text in a cell, one where room is short, and what stands above rows go on in a new line."""

SLACK = 1.02
RULES, GAP = 16.0, 8.0
"""Points that the rules of a panel take, and the space between two."""


@dataclass(frozen=True, slots=True)
class Size:
    """A size of letters by its command: points of the letters, from line to line, and on each side of a column."""

    command: str
    letters: float
    line: float
    between: float


SIZES = (Size(r"\small", 9.0, 11.0, 4.0), Size(r"\footnotesize", 8.0, 9.5, 3.0))


@dataclass(frozen=True, slots=True)
class Part:
    """One float: its panels, each the columns that it shows, and the rows of all of them."""

    panels: list[list[int]]
    rows: range


@dataclass(frozen=True, slots=True)
class Layout:
    """The table as measured, whether its floats span both columns of a page that has two, and the floats themselves."""

    measured: Measured
    wide: bool
    parts: list[Part]


def laid_out(table: PaperTable) -> Layout:
    """The first way that sets the whole table in one float, or else the first of those that fit the width.

    Large before small, one column before the page, texts in short lines before panels.
    """
    whole = [list(range(len(table.headings)))]
    ways = [(COLUMN, size, CELL) for size in SIZES] + [(PAGE, size, CELL) for size in SIZES]
    found: list[Layout] = []
    for limit, size, cell in [*ways, (PAGE, SIZES[-1], SHORT)]:
        measured = Measured(table, size, cell)
        if measured.width(whole[0]) <= limit:
            found.append(Layout(measured, limit > COLUMN, measured.parts(whole, limit)))
    if not found:
        measured = Measured(table, SIZES[-1])
        found.append(Layout(measured, True, measured.parts(measured.panels(PAGE), PAGE)))
    return next((layout for layout in found if len(layout.parts) == 1), found[0])


@dataclass(frozen=True)
class Measured:
    """A table in one size: how its headings and its cells (at ``limit`` points) break, how wide and high it is."""

    table: PaperTable
    size: Size
    limit: float = CELL

    @cached_property
    def cells(self) -> list[list[list[str]]]:
        """Lines of each cell [R][C]; numbers stay in one."""
        return [
            [
                wrapped(text, self.size.letters, self.limit, bold=best) if left else [text]
                for text, best, left in zip(row, marks, self.table.left, strict=True)
            ]
            for row, marks in zip(self.table.cells, self.table.best, strict=True)
        ]

    @cached_property
    def sections(self) -> dict[str, list[str]]:
        """Lines of what stands above rows."""
        return {name: wrapped(name, self.size.letters, SECTION) for name in dict.fromkeys(self.table.sections) if name}

    @cached_property
    def headings(self) -> list[list[str]]:
        """Each as narrow as its column and its longest word allow, the unit in a line of its own."""
        return [self._heading(at) for at in range(len(self.table.headings))]

    @cached_property
    def widths(self) -> list[float]:
        """Points of each column."""
        return [max(self._text(at), *map(self._width, lines)) for at, lines in enumerate(self.headings)]

    def width(self, columns: Sequence[int]) -> float:
        """Points of a panel of these columns."""
        own = sum(self.widths[at] for at in columns) + 2 * self.size.between * (len(columns) - 1)
        return SLACK * max(own, *(self._width(line) for lines in self.sections.values() for line in lines), 0.0)

    def panels(self, limit: float) -> list[list[int]]:
        """As few as fit ``limit``, as alike in width as can be; each begins with the columns that name the row."""
        keys, others = list(range(self.table.keys)), list(range(self.table.keys, len(self.widths)))
        fewest = self._filled(keys, others, limit)
        runs = [others[start:end] for start in range(len(others)) for end in range(start + 1, len(others) + 1)]
        for width in sorted({self.width(keys + run) for run in runs}):
            panels = self._filled(keys, others, width)
            if len(panels) == len(fewest) and all(self.width(panel) <= width for panel in panels):
                return panels
        return fewest

    def parts(self, panels: list[list[int]], limit: float) -> list[Part]:
        """One float where all fits a page; else one a panel, and of rows that are too many as many as it takes."""
        rows = range(len(self.table.cells))
        lines = math.ceil(text_width(self.table.caption, 10.0) / limit) + 2
        height = HEIGHT - 12.0 * lines
        if sum(self._height(panel, rows) + GAP for panel in panels) <= height:
            return [Part(panels, rows)]
        return [Part([panel], some) for panel in panels for some in self._cut(panel, height)]

    def _cut(self, panel: list[int], height: float) -> Iterator[range]:
        """As few parts as fit, as alike in number of rows as can be."""
        rows = len(self.table.cells)
        fewest = max(1, int(self._height(panel, range(rows)) / height))
        for some in range(fewest, rows + 1):
            ends = [rows * number // some for number in range(some + 1)]
            parts = [range(start, end) for start, end in pairwise(ends)]
            if some == rows or all(self._height(panel, part) <= height for part in parts):
                yield from parts
                return

    def _height(self, panel: list[int], rows: range) -> float:
        heading = max(len(self.headings[at]) for at in panel) + 1
        lines = sum(max(len(self.cells[row][at]) for at in panel) for row in rows)
        names = [name for name, _ in groupby(self.table.sections[row] for row in rows) if name]
        return RULES + self.size.line * (heading + lines + sum(len(self.sections[name]) + 0.5 for name in names))

    def _filled(self, keys: list[int], others: Sequence[int], limit: float) -> list[list[int]]:
        panels: list[list[int]] = []
        for at in others:
            if panels and self.width([*panels[-1], at]) <= limit:
                panels[-1].append(at)
            else:
                panels.append([*keys, at])
        return panels

    def _heading(self, at: int) -> list[str]:
        name, bracket, unit = self.table.headings[at].partition(" (")
        given = [*name.split(), *([f"({unit}"] if bracket else [])]
        words = min(self.limit, max(map(self._width, given)))
        room = max(self._text(at), 3 * self.size.letters, words)
        return [*wrapped(name, self.size.letters, room), *([f"({unit}"] if bracket else [])]

    def _text(self, at: int) -> float:
        """Points of the widest cell."""
        return max(
            text_width(line, self.size.letters, bold=marks[at])
            for lines, marks in zip(self.cells, self.table.best, strict=True)
            for line in lines[at]
        )

    def _width(self, line: str) -> float:
        return text_width(line, self.size.letters)
