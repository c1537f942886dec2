"""Sorted usage: the share of the most used code, the second, and so on, one curve a layer."""

from __future__ import annotations

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from dashboard.figures.theme import GREY, hover, laid_out, layer_colour, layer_dash, rank_ticks, share_ticks

MAX_POINTS = 400
"""Ranks drawn of a curve: on a logarithmic axis more would fall on the same pixels."""


def usage_curve(counts: pd.Series) -> pd.DataFrame:
    """Rank (1-based), count and share of the codes of one layer that were seen, most used first."""
    ordered = np.sort(counts.to_numpy(np.float64))[::-1]
    ordered = ordered[ordered > 0]
    table = pd.DataFrame({"rank": np.arange(1, len(ordered) + 1), "count": ordered})
    table["share"] = table["count"] / max(ordered.sum(), 1.0)
    return table


def usage_curves_figure(codes: pd.DataFrame, *, counts: str = "count") -> go.Figure:
    """One curve per layer on logarithmic axes, ending at the last code seen, and the line of equal use."""
    figure = go.Figure()
    smallest = 1.0
    for key, group in codes.groupby("layer"):
        layer = int(str(key))
        curve = usage_curve(group[counts])
        smallest = min(smallest, 1 / len(group), *curve["share"].tail(1))
        figure.add_trace(_curve(curve.iloc[_drawn_ranks(len(curve))], layer, len(curve), len(group)))
    for size in sorted({len(group) for _, group in codes.groupby("layer")}):
        figure.add_trace(_uniform(size))
    laid_out(figure, x="rank of the code, most used first", y="share of tokens", height=400)
    figure.update_xaxes({"type": "log"} | rank_ticks(int(codes.groupby("layer").size().max())))
    figure.update_yaxes({"type": "log"} | share_ticks(smallest, 1.0))
    return figure


def _drawn_ranks(length: int) -> np.ndarray:
    if length <= MAX_POINTS:
        return np.arange(length)
    return np.unique(np.geomspace(1, length, MAX_POINTS).round().astype(int)) - 1


def _curve(curve: pd.DataFrame, layer: int, seen: int, size: int) -> go.Scatter:
    return go.Scatter(
        x=curve["rank"], y=curve["share"], mode="lines" if len(curve) > 1 else "markers", name=f"layer {layer}",
        line={"color": layer_colour(layer), "dash": layer_dash(layer), "width": 2}, customdata=curve["count"],
        hovertemplate=hover(
            f"<b>layer {layer}</b>, rank %{{x}}", "%{customdata:,} tokens, %{y:.2%} of all",
            f"{seen:,} of {size:,} codes seen",
        ),
    )  # fmt: skip


def _uniform(size: int) -> go.Scatter:
    return go.Scatter(
        x=[1, size], y=[1 / size, 1 / size], mode="lines", name=f"equal use of {size:,} codes",
        line={"color": GREY, "dash": "dot", "width": 2}, hovertemplate=hover(f"equal use: 1 / {size:,} each"),
    )  # fmt: skip
