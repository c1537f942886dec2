"""The codes on a plane, coloured by usage, layer or norm; unseen codes have a symbol of their own."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from dashboard.figures.theme import GREY, POINT_SCALE, VERMILLION, hover, laid_out, layer_colour, share_ticks

COLOURS = ("usage", "layer", "norm")
MAX_SVG_POINTS = 2000
"""Above this the figure is drawn by WebGL, which is faster but becomes pixels in an exported SVG."""

Points = go.Scatter | go.Scattergl
HOVER_COLUMNS = ["layer", "code", "count", "share", "norm", "nearest_distance", "status"]
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "pentagon", "star", "hexagon", "triangle-down")


def codebook_map(
    points: pd.DataFrame, *, colour: str = "usage", x: str = "component 1", y: str = "component 2"
) -> go.Figure:
    """Draw ``points``: one row per code, with ``x``, ``y`` and the columns of the codes table.

    ``customdata`` starts with layer and code, so that a selection can be traced back.
    """
    unseen = points["count"] == 0
    figure = go.Figure(_by_layer(points, unseen) if colour == "layer" else _by_value(points, unseen, colour))
    laid_out(figure, x=x, y=y, height=620)
    # One unit is as long on both axes: distances are what the picture is about.
    figure.update_yaxes(scaleanchor="x", scaleratio=1, zeroline=False)
    figure.update_xaxes(zeroline=False)
    # The zoom stays when the colour changes, but not when the coordinates do.
    figure.update_layout(dragmode="pan", uirevision=f"{x} {y}")
    return figure


def _by_layer(points: pd.DataFrame, unseen: pd.Series) -> list[Points]:
    seen_traces: list[Points] = []
    unseen_traces: list[Points] = []
    for key, group in points.groupby("layer"):
        layer = int(str(key))
        name, dark = f"layer {layer}", unseen.loc[group.index]
        marker = {
            "color": layer_colour(layer),
            "symbol": SYMBOLS[(layer - 1) % len(SYMBOLS)],
            "size": 7,
            "opacity": 0.8,
        }
        cross = {"color": layer_colour(layer), "symbol": "x-thin-open", "size": 5, "opacity": 0.75}
        seen_traces.append(_points(points, group[~dark], name, marker).update(legendgroup=name))
        if dark.any():
            traced = _points(points, group[dark], f"{name}, unseen", cross)
            unseen_traces.append(traced.update(legendgroup=name, showlegend=False))
    return [*unseen_traces, *seen_traces, *([_crosses_meaning(points)] if unseen_traces else [])]


def _crosses_meaning(points: pd.DataFrame) -> Points:
    """An entry of the legend without points: the crosses of all layers are switched with their layer."""
    cross = {"color": GREY, "symbol": "x-thin-open", "size": 7}
    kind = go.Scatter if len(points) <= MAX_SVG_POINTS else go.Scattergl
    return kind(x=[None], y=[None], mode="markers", name="unseen, of any layer", marker=cross, hoverinfo="skip")


def _by_value(points: pd.DataFrame, unseen: pd.Series, colour: str) -> list[Points]:
    seen = points[~unseen]
    if colour == "usage":
        values, bar = np.log10(seen["share"]), _share_bar(seen["share"])
    else:
        values, bar = seen["norm"], {"title": {"text": "L2 norm<br> ", "font": {"size": 12}}}
    marker = {
        "color": values, "colorscale": POINT_SCALE, "size": 7, "opacity": 0.9, "showscale": bool(len(seen)),
        "colorbar": bar | {"thickness": 14, "len": 0.9}, "line": {"width": 0.5, "color": GREY},
    }  # fmt: skip
    cross = {"color": VERMILLION, "symbol": "x-thin-open", "size": 5, "opacity": 0.75}
    # Unseen codes go below: they are many, and what is used must stay visible.
    return [_points(points, points[unseen], "unseen", cross), _points(points, seen, "seen", marker)]


def _points(everything: pd.DataFrame, some: pd.DataFrame, name: str, marker: dict[str, Any]) -> Points:
    kind = go.Scatter if len(everything) <= MAX_SVG_POINTS else go.Scattergl
    return kind(
        x=some["x"], y=some["y"], mode="markers", name=f"{name} ({len(some):,})", marker=marker,
        customdata=some[HOVER_COLUMNS].astype(object).to_numpy(),
        hovertemplate=hover(
            "<b>layer %{customdata[0]}, code %{customdata[1]}</b>: %{customdata[6]}",
            "%{customdata[2]:,} tokens (%{customdata[3]:.2%})",
            "norm %{customdata[4]:.3g}, nearest code of its layer at %{customdata[5]:.3g}",
        ),
    )  # fmt: skip


def _share_bar(shares: pd.Series) -> dict[str, Any]:
    if shares.empty:
        return {}
    ticks = share_ticks(shares.min(), shares.max())
    return {
        "title": {"text": "share of<br>the layer's<br>tokens<br> ", "font": {"size": 12}},
        "tickvals": np.log10(ticks["tickvals"]).tolist(),
        "ticktext": ticks["ticktext"],
    }
