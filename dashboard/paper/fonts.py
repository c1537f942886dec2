"""Fonts as they are embedded in a PDF: the glyphs that are used, without tables for setting text."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

SETTING = ("GSUB", "GPOS", "GDEF", "BASE", "JSTF", "kern")
"""Tables that say how text is set. A PDF places its glyphs itself; reading these took a fifth of an export's time."""


@contextmanager
def embedded_without_setting() -> Generator[None]:
    """Let Matplotlib embed fonts without the tables of ``SETTING``; call it within ``style.drawing``."""
    from fontTools import subset

    opened: Any = subset.load_font

    def load_font(*arguments: Any, **options: Any) -> Any:
        font = opened(*arguments, **options)
        for table in SETTING:
            if table in font:
                del font[table]
        return font

    subset.load_font = load_font
    try:
        yield
    finally:
        subset.load_font = opened
