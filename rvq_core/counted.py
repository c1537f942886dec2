"""Numbers with what they count, as sentences have them."""

from __future__ import annotations


def counted(number: int, noun: str) -> str:
    """A number and its noun: '1 clip', '2 clips'."""
    return f"{number} {plural(noun, number)}"


def plural(noun: str, number: int) -> str:
    """A noun as it stands behind a number: 'clip' behind 1, 'clips' behind any other."""
    return noun if number == 1 else f"{noun}s"
