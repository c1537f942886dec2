"""The tables that can be exported: the health of each layer, errors by number of quantizers, errors by clip."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic

import pandas as pd

from dashboard import words
from dashboard.export.registry import Source
from dashboard.export.text_table import Column
from dashboard.figures.reconstruction import axis_name, metric_name
from dashboard.figures.theme import superscript
from rvq_core.report import Report
from rvq_core.stats.metrics import UNITS


@dataclass(frozen=True, slots=True)
class TableEntry(Generic[Source]):
    """One table: its name, its title, its numbers of a report (or None), and how its columns are printed."""

    name: str
    title: str
    table: Callable[[Source], pd.DataFrame | None]
    columns: Callable[[Source], Sequence[Column]]
    references: int = 0
    """Last rows that are there to compare with."""


LAYER_COLUMNS = (
    Column("layer", "Layer", whole=True, key=True),
    Column("codes", "Codes", whole=True),
    Column("tokens", "Tokens", whole=True),
    Column("perplexity", "Perplexity", "perplexity_low", "perplexity_high", best="max"),
    Column("perplexity_ratio", "of K (%)", percent=True),
    Column("unseen", "Unseen", whole=True, best="min"),
    Column("duplicates", "Duplicates", whole=True),
    Column("top1_share", "Top code (%)", percent=True),
    Column("residual_energy", "Variance left (%)", percent=True),
    Column("train_perplexity", "Perplexity, training", best="max", paper="PPL, training", note="PPL: perplexity."),
    Column("held_out_perplexity", "Perplexity, held out", best="max", paper="PPL, held out", note="PPL: perplexity."),
)


def _errors(report: Report) -> pd.DataFrame | None:
    """One row a number of active quantizers, three columns a metric; the last row without quantization."""
    rows = report.overall
    if rows.empty:
        return None
    wide = rows.pivot(index="n_active", columns="metric", values=["value", "low", "high"])
    wide.columns = [metric if part == "value" else f"{metric}_{part}" for part, metric in wide.columns]
    unquantised = rows.drop_duplicates("metric").set_index("metric")["reference"]
    table = pd.concat([wide, unquantised.to_frame("unquantised").T]).astype(float)
    return table.rename_axis(index="quantizers").reset_index().astype({"quantizers": str})


def _error_columns(report: Report) -> list[Column]:
    units = report.overall.drop_duplicates("metric").set_index("metric")["unit"]
    canonical = words.is_canonical(report.clips)
    return [
        Column("quantizers", "Quantizers", key=True),
        *(
            Column(
                metric, axis_name(metric, str(units[metric]), canonical), f"{metric}_low", f"{metric}_high", best="min",
                paper=_short(metric, str(units[metric])), note=_note(metric, canonical),
            )
            for metric in UNITS
            if metric in units
        ),
    ]  # fmt: skip


SHORT = {
    "velocity_error": "velocity",
    "acceleration_error": "acceleration",
    "rotation_error": "rotation",
    "foot_skating_original": "skating, original",
}
"""Metrics in the narrow columns of a paper, whose caption says that they are errors."""


def _short(metric: str, unit: str) -> str:
    name = SHORT.get(metric, metric_name(metric))
    return name if unit == "1" else f"{name} ({superscript(unit)})"


def _note(metric: str, canonical: bool) -> str | None:
    """What the short name leaves out."""
    if metric == "feature_mse":
        return "Feature MSE is of normalised features."
    return "MPJPE is that of the canonical skeleton." if canonical and metric.startswith("mpjpe") else None


def _clips(report: Report) -> pd.DataFrame:
    known = {True: "held out", False: "trained on"}
    return report.clips.assign(held_out=report.clips["held_out"].map(known).fillna("not known").astype(str))


def _clip_columns(report: Report) -> list[Column]:
    return [
        Column("clip", "Clip", key=True),
        Column("frames", "Frames", whole=True),
        Column("tokens", "Tokens", whole=True, in_paper=False),
        Column("held_out", "In training"),
        *(dataclasses.replace(each, low=None, high=None, best=None) for each in _error_columns(report)[1:]),
    ]


REPORT_TABLES: tuple[TableEntry[Report], ...] = (
    TableEntry("layers", "Health of each layer", lambda report: report.layers, lambda _: LAYER_COLUMNS),
    TableEntry("reconstruction", "Error with the first n quantizers", _errors, _error_columns, references=1),
    TableEntry("clips", "Error of each clip, all quantizers", _clips, _clip_columns),
)
"""Every table of a report."""
