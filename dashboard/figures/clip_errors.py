"""The error of every clip at full depth; training and held-out clips told apart."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from dashboard.figures.reconstruction import axis_name
from dashboard.figures.theme import BLUE, GREY, ORANGE, SKY, hover, laid_out

MAX_CLIPS = 60
"""Clips drawn; of more, those with the largest error."""

KINDS = (
    ("held out from training", ORANGE, "diamond"),
    ("trained on", BLUE, "circle"),
    ("unknown to the checkpoint", SKY, "square"),
)
"""Name, colour and symbol for held_out True, False and unknown."""


def clip_table(clips: pd.DataFrame, clip_errors: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Rows of ``clips`` that have the metric, the worst first: clip, error, unquantised, held_out, frames, seconds."""
    unquantised = clip_errors[(clip_errors["n_active"] == -1) & (clip_errors["metric"] == metric)]
    table = clips[["clip", "frames", "seconds", "held_out"]].assign(error=clips[metric])
    table["unquantised"] = table["clip"].map(unquantised.set_index("clip")["value"])
    return table.dropna(subset=["error"]).sort_values("error", ascending=False, ignore_index=True)


def clip_error_figure(table: pd.DataFrame, metric: str, unit: str, canonical: bool = False) -> go.Figure:
    """One row a clip: a mark for its error with all quantizers, a tick for the error without quantization."""
    table = table.head(MAX_CLIPS)
    shown = "" if unit == "1" else f" {unit}"
    figure = go.Figure()
    if table["unquantised"].notna().any():
        figure.add_trace(unquantised_ticks(table["unquantised"], table["clip"], shown))
    for (name, colour, symbol), mask in zip(KINDS, _kinds(table), strict=True):
        if mask.any():
            figure.add_trace(_marks(table[mask], name, colour, symbol, shown))
    laid_out(figure, x=axis_name(metric, unit, canonical), y="clip", height=130 + 24 * len(table))
    figure.update_yaxes(autorange="reversed", categoryorder="array", categoryarray=table["clip"].tolist(), dtick=1)
    figure.update_xaxes(rangemode="tozero")
    return figure


def unquantised_ticks(errors: pd.Series, rows: pd.Series, unit: str) -> go.Scatter:
    """A grey tick in each row for the error without quantization; ``unit`` as it stands behind a number."""
    return go.Scatter(
        x=errors, y=rows, mode="markers", name="without quantization",
        marker={"symbol": "line-ns-open", "size": 11, "color": GREY, "line": {"width": 2}},
        hovertemplate=hover(f"%{{y}} without quantization: <b>%{{x:.4g}}{unit}</b>"),
    )  # fmt: skip


def _kinds(table: pd.DataFrame) -> tuple[pd.Series, pd.Series, pd.Series]:
    held_out = table["held_out"]
    return held_out.eq(True).fillna(False), held_out.eq(False).fillna(False), held_out.isna()


def _marks(part: pd.DataFrame, name: str, colour: str, symbol: str, unit: str) -> go.Scatter:
    return go.Scatter(
        x=part["error"], y=part["clip"], mode="markers", name=name,
        marker={"symbol": symbol, "size": 11, "color": colour}, customdata=part[["frames", "seconds"]],
        hovertemplate=hover(
            f"<b>%{{y}}</b>, {name}",
            f"<b>%{{x:.4g}}{unit}</b> over %{{customdata[0]:,}} frames (%{{customdata[1]:.1f}} s)",
        ),
    )  # fmt: skip
