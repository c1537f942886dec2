"""The errors that a user can meet: one line that says what was expected, what was found, and what to do."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import TypeVar

LONGEST_PART = 600
"""Characters of each part of an error: what a file holds may be of any length."""


class RVQLensError(Exception):
    """Something the user brought, or asked for, does not fit.

    ``where`` names the file and, after a colon, the field; the three parts after it make one line:
    ``WHERE: expected EXPECTED, found FOUND; DO``. What cannot be printed is escaped, what is very long is cut.
    """

    def __init__(self, where: str, *, expected: str, found: str, do: str) -> None:
        self.where = _line(where)
        self.expected = _line(expected)
        self.found = _line(found)
        self.do = _line(do)
        super().__init__(f"{self.where}: expected {self.expected}, found {self.found}; {self.do}")


def _line(text: str) -> str:
    words = " ".join(text.split())
    short = words if len(words) <= LONGEST_PART else f"{words[: LONGEST_PART - 1]}…"
    return short if short.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in short)


class CheckpointError(RVQLensError):
    """A checkpoint cannot be read or does not hold what it must."""


class ClipError(RVQLensError):
    """A motion clip cannot be read or does not fit the checkpoint."""


class ReportError(RVQLensError):
    """A report folder cannot be read or written."""


class SettingsError(RVQLensError):
    """An option or a configuration value is out of range."""


class LostRankError(RVQLensError):
    """Of several processes that compute together one has ended."""


def some_of(names: Iterable[str], most: int = 6) -> str:
    """Names for a message: the first of them, and how many more there are."""
    shown = list(names)
    return ", ".join(shown[:most]) + (f" and {len(shown) - most} more" if len(shown) > most else "")


Kind = TypeVar("Kind", bound=RVQLensError)


def unreadable(path: Path, error: OSError, kind: type[Kind]) -> Kind:
    """The error of ``kind`` for a file or a folder that is there and that the system will not open."""
    what = "folder" if os.path.isdir(path) else "file"  # noqa: PTH112 - pathlib's own raises below a closed folder
    closed = isinstance(error, PermissionError)
    do = "check its permissions" if closed else "check the path, and the disk that it lies on"
    return kind(str(path), expected=f"a readable {what}", found=error.strerror or str(error), do=do)


class OtherRankError(Exception):
    """Another of several processes has failed, and tells why: this one stops without a word."""
