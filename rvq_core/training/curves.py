"""The history of a run as a tidy table."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, cast

import pandas as pd

from rvq_core.report import read_table
from rvq_core.report_shape import NUMBER, TEXT

ERROR = "held_out_mpjpe"
LOSSES = ("reconstruction", "velocity", "commit", "position")
COLUMNS = ("iteration", "series", "layer", "value")


def curves(training: dict[str, Any]) -> pd.DataFrame:
    """Rows of ``iteration``, ``series``, ``layer`` (1-based, null where a series has none) and ``value``.

    ``training`` is what a checkpoint stores; series are the losses by name, held_out_mpjpe (mm), perplexity and unseen
    by layer. What is no finite number is left out: headers can hold anything.
    """
    history = training.get("history")
    entries = cast(list[object], history) if isinstance(history, list) else []
    rows = [row for entry in entries if isinstance(entry, dict) for row in _rows(cast(dict[str, object], entry))]
    table = pd.DataFrame(rows, columns=list(COLUMNS)).astype({"layer": "Int64", "value": "float64"})
    return table.sort_values(["series", "layer", "iteration"], ignore_index=True)


def read_history(path: Path) -> pd.DataFrame:
    """The table of ``curves`` from the history.parquet of a run's folder. Raises ReportError."""
    return read_table(path, "rvq-lens train", columns={NUMBER: ("iteration", "layer", "value"), TEXT: ("series",)})


def losses(table: pd.DataFrame) -> list[str]:
    """Names of the series that are losses: those of our own runs first, others by name.

    A loss that was zero throughout is none: the training gave it no weight, or its motion has nothing it is taken of.
    """
    named = set(table.loc[table["layer"].isna() & table["value"].ne(0), "series"]) - {ERROR}
    return [name for name in LOSSES if name in named] + sorted(named - set(LOSSES))


def _rows(entry: dict[str, object]) -> list[tuple[int, str, int | None, float]]:
    iteration = _number(entry.get("iteration"))
    if iteration is None:
        return []
    found: list[tuple[int, str, int | None, float]] = []
    for series in entry.keys() - {"iteration"}:
        value = entry[series]
        by_layer = enumerate(cast(list[object], value), start=1) if isinstance(value, list) else [(None, value)]
        numbers = [(layer, _number(one)) for layer, one in by_layer]
        found += [(int(iteration), series, layer, number) for layer, number in numbers if number is not None]
    return found


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) else None
