"""What a comparison comes to: a sentence a checkpoint, and its main figures for scripts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from rvq_core.compare.subjects import Subject
from rvq_core.counted import counted
from rvq_core.verdicts.facts import JUDGED_BY

RECORDED = ("metrics", "layers", "equal_rate", "config")
"""Tables whose rows report.json holds too; of ``metrics`` those with all quantizers, of ``equal_rate`` the last."""


def at_full_depth(metrics: pd.DataFrame, subject: str, depth: int, baseline_depth: int) -> pd.DataFrame:
    """Rows of one checkpoint with all quantizers of either."""
    full = (metrics["n_active"] == depth) & (metrics["baseline_n_active"] == baseline_depth)
    return metrics[full & (metrics["checkpoint"] == subject)]


def sentences(metrics: pd.DataFrame, subjects: Sequence[Subject]) -> list[str]:
    """One sentence a checkpoint: the error with all quantizers, against the baseline's."""
    return [_sentence(metrics, subject, subjects[0]) for subject in subjects[1:]]


def records(tables: Mapping[str, pd.DataFrame], subjects: Sequence[Subject]) -> dict[str, list[dict[str, Any]]]:
    """The rows of RECORDED, values as JSON knows them (null: not known)."""
    baseline = subjects[0]
    full = [at_full_depth(tables["metrics"], each.name, each.depth, baseline.depth) for each in subjects[1:]]
    rates = tables["equal_rate"]
    last = rates["n_active"] == rates.groupby(["checkpoint", "metric", "rate"])["n_active"].transform("max")
    shown = dict(tables) | {"metrics": pd.concat(full), "equal_rate": rates[last]}
    return {name: _rows(shown[name]) for name in RECORDED}


def _sentence(metrics: pd.DataFrame, subject: Subject, baseline: Subject) -> str:
    full = at_full_depth(metrics, subject.name, subject.depth, baseline.depth)
    metric = next((name for name in JUDGED_BY if name in set(full["metric"])), None)
    if metric is None:
        return f"{subject.name}: no reconstruction error can be compared with {baseline.name}."
    (row,) = _rows(full[full["metric"] == metric])
    unit = "" if row["unit"] == "1" else f" {row['unit']}"
    interval = "" if row["low"] is None else f" ({row['low']:+.3g} to {row['high']:+.3g})"
    return (
        f"{subject.name}: {row['words']}. {metric} {row['value']:.4g}{unit} against {row['baseline']:.4g}{unit}, "
        f"{row['delta']:+.3g}{unit}{interval}, on {counted(row['clips'], 'clip')}."
    )


def _rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    kept = table.astype(object).where(table.notna(), None)
    return [dict(zip(kept.columns, values, strict=True)) for values in kept.itertuples(index=False)]
