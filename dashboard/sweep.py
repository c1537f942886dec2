"""Several checkpoints as rows: their figures beside the settings in which they differ. No Streamlit here."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pandas as pd

from rvq_core.compare import Comparison

SWEEP = 3
"""From so many checkpoints on, settings and figures are shown as a sweep too."""

AXES_AT_FIRST, SHORT = 4, 12
"""Settings among parallel coordinates until others are chosen; characters of a word on them."""

_FIGURES = ("checkpoint", "in words", "value", "delta", "low", "high", "perplexity", "unseen", "codes")


def compared_table(comparison: Comparison, rows: pd.DataFrame) -> pd.DataFrame:
    """One row a checkpoint, the baseline first: error with its difference, perplexity, unseen codes."""
    usage = comparison.tables["usage"].groupby("checkpoint", sort=False)
    table = pd.DataFrame(
        {
            "perplexity": usage["perplexity"].mean(),
            "unseen": usage["unseen"].sum() / usage["codes"].sum(),
            "codes": usage["codes"].sum(),
        }
    )
    own = rows.set_index("checkpoint")
    for name, column in (
        ("words", "in words"),
        ("value", "value"),
        ("delta", "delta"),
        ("low", "low"),
        ("high", "high"),
    ):
        table[column] = own[name].reindex(table.index)
    table["in words"] = table["in words"].fillna("not compared")
    table.loc[comparison.baseline, "in words"] = "baseline"
    if len(rows):
        table.loc[comparison.baseline, "value"] = rows["baseline"].iloc[0]
    front = ["in words", "value", "delta", "low", "high"]
    return table[[*front, "perplexity", "unseen", "codes"]].rename_axis("checkpoint").reset_index()


def sweep_table(comparison: Comparison, rows: pd.DataFrame) -> pd.DataFrame:
    """The same with the settings that differ, a column each."""
    table = compared_table(comparison, rows)
    return table.merge(config_columns(comparison), left_on="checkpoint", right_index=True, how="left")


def config_columns(comparison: Comparison) -> pd.DataFrame:
    """Settings that differ, a column each, a row a checkpoint; numbers as numbers, so that they sort."""
    table = comparison.tables["config"]
    table = table.assign(value=pd.array([readable(value) for value in table["value"].tolist()], dtype="object"))
    wide = table.pivot(index="checkpoint", columns="setting", values="value")
    wide.columns.name = None
    return wide.apply(lambda column: pd.to_numeric(column) if _numeric(column) else column.astype(str))


def _numeric(values: pd.Series) -> bool:
    return all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)


def readable(value: str) -> Any:
    """A setting from JSON: numbers stay, all else becomes text."""
    found = json.loads(value)
    if found is None:
        return "not told"
    if isinstance(found, list):
        same = len(set(map(str, found))) == 1
        return f"{len(found)} x {found[0]}" if same else ", ".join(map(str, found))
    return found if isinstance(found, int | float) and not isinstance(found, bool) else str(found)


def short_settings(table: pd.DataFrame) -> list[str]:
    """Settings that can stand on an axis: numbers and short words."""
    others = [str(name) for name in table if name not in _FIGURES]
    return [name for name in others if table[name].astype(str).str.len().max() <= SHORT]


def parallel_axes(table: pd.DataFrame, settings: Sequence[str]) -> pd.DataFrame:
    """The columns of the parallel coordinates: names, settings, then figures, the error last."""
    figures_shown = [name for name in ("perplexity", "unseen", "value") if table[name].notna().all()]
    return table[["checkpoint", *settings, *figures_shown]].rename(columns={"value": "error"})
