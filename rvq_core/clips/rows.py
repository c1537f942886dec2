"""Lines of numbers in text files: read whole, checked before memory is taken, errors with the line's number."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rvq_core.errors import ClipError
from rvq_core.limits import TEXT, bounded_bytes

Array = NDArray[np.float64]

_LARGEST = 1e9  # no length and no angle of a person's motion; keeps float32 from overflowing later
_LONGEST_NUMBER = 64  # characters, with the space after it


class Line(NamedTuple):
    """A line of a file and its number, from 1 on."""

    number: int
    text: bytes


def text_lines(path: Path) -> list[bytes]:
    """Lines of a file, with any kind of line end; a byte order mark is left out."""
    try:
        return bounded_bytes(path, TEXT, ClipError).removeprefix(b"\xef\xbb\xbf").splitlines()
    except OSError as error:
        raise ClipError(
            str(path), expected="a text file", found=f"{type(error).__name__}: {error}", do="check the file"
        ) from error


def line_error(
    path: Path, line: int, expected: str, found: str, do: str = "repair or leave out this file"
) -> ClipError:
    """Make the ``ClipError`` that names a file's line."""
    return ClipError(f"{path}: line {line}", expected=expected, found=found, do=do)


def read_numbers(path: Path, line: int, words: Sequence[bytes]) -> list[float]:
    """Numbers of sane size from words; raises ``ClipError`` with the line's number."""
    try:
        numbers = [float(word) for word in words]
    except ValueError:
        numbers = [np.nan]
    if not (np.abs(numbers) <= _LARGEST).all():
        bad = next(word for word in words if not _is_number(word))
        raise line_error(path, line, f"numbers up to {_LARGEST:.0e}", repr(bad.decode(errors="replace")[:40]))
    return numbers


def check_count(path: Path, declared: int, found: int) -> tuple[str, ...]:
    """Compare the number of frames that the header declares to the lines there are.

    Some exporters miscount, mostly by one. Frames that are missing raise ``ClipError``; a note tells all else.
    """
    if found == 0 or declared > found + 1:
        raise ClipError(
            f"{path}: MOTION",
            expected=f"{declared} frames, as its header declares",
            found=f"{found} lines",
            do="get the whole file: this one is cut short",
        )
    return () if declared == found else (f"the header declares {declared} frames; all {found} in the file were read",)


def read_rows(path: Path, rows: Sequence[Line], columns: int) -> Array:
    """One row [columns] of numbers a line; raises ``ClipError`` with the number of a line that differs."""
    values = np.empty((len(rows), columns))
    for row, (number, text) in enumerate(rows):
        words = text.split() if len(text) <= _LONGEST_NUMBER * columns else []
        if len(words) != columns:
            found = f"{len(words)}" if words else f"a line of {len(text)} characters"
            raise line_error(path, number, f"{columns} numbers, one for each channel", found)
        try:
            values[row] = [*map(float, words)]
        except ValueError:
            read_numbers(path, number, words)
    for row in strange_rows(values):
        read_numbers(path, rows[row].number, rows[row].text.split())
    return values


def strange_rows(values: Array) -> list[int]:
    """The first row of ``values`` [T, C] that holds something else than numbers of sane size, if any does."""
    return [int(row) for row in np.flatnonzero(~(np.abs(values) <= _LARGEST).all(axis=1))[:1]]


def _is_number(word: bytes) -> bool:
    try:
        return abs(float(word)) <= _LARGEST
    except ValueError:
        return False
