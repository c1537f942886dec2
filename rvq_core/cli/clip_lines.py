"""What the terminal says of each clip: how long it is, its error, and what was done to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rvq_core.cli.shared import rows

if TYPE_CHECKING:
    import pandas as pd

TOLD = 100
"""Clips that the terminal lists; all stand in clips.parquet."""

DETAILS = ("at rest:", "bones:", "not used:")
"""Notes that are too long for a line; they stand in clips.parquet."""


def clip_lines(clips: pd.DataFrame) -> list[str]:
    """One line a clip, from the table of clips of a report."""
    found = rows(clips.head(TOLD))
    metric, unit = ("mpjpe", " mm") if "mpjpe" in clips else ("feature_mse", "")
    width = min(48, max(len(row["clip"]) for row in found))
    lines = [
        f"  {row['clip']:<{width}}{row['frames']:>7} frames{_error(row.get(metric), unit)}"
        f"  {_mark(row['held_out']):<10}  {_done(row['notes'])}".rstrip()
        for row in found
    ]
    left = len(clips) - len(found)
    return ["clips:", *lines, *([f"  {left} more in clips.parquet"] if left else [])]


def _error(value: float | None, unit: str) -> str:
    """The error in eleven characters, of which the first is a space; whole numbers where three digits are too few."""
    if value is None or value != value:
        return " " * 11
    return f" {f'{value:,.0f}' if abs(value) >= 1000 else f'{value:.3g}'}{unit}".rjust(11)


def _mark(held_out: object) -> str:
    return {"True": "held out", "False": "trained on"}.get(str(held_out), "")  # pandas' null has no truth


def _done(notes: str) -> str:
    steps = [note for note in notes.split("; ") if not note.startswith(DETAILS) and "share the turn" not in note]
    return "; ".join(step for step in steps if step) or "taken as it is"
