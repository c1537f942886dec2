"""The codes on a plane, coloured by usage, layer or norm; unseen codes have a symbol of their own."""

from __future__ import annotations

from html import escape
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from numpy.typing import NDArray

from dashboard.figures.theme import (
    GREY,
    ORANGE,
    POINT_SCALE,
    STATUS_COLOURS,
    VERMILLION,
    hover,
    laid_out,
    layer_colour,
    number_ticks,
    share_ticks,
    translucent,
)

COLOURS = ("usage", "layer", "norm", "EMA count", "status")
MAX_SVG_POINTS = 2000
"""Above this the figure is drawn by WebGL, which is faster but becomes pixels in an exported SVG."""

MANY_POINTS = 20_000
"""Above this a point is small and tells layer, code and tokens alone: the page stays light, the picture legible."""

Points = go.Scatter | go.Scattergl
HOVER_COLUMNS = ["layer", "code", "count", "share", "norm", "nearest_distance", "status", "ema_count"]
STATUS_SYMBOLS = {"used": "circle", "rare": "square", "duplicate": "diamond", "unseen": "x-thin-open"}
DENSITY_CELLS = 120
"""Cells a side of the density behind the codes."""

DENSITY_SHARES = (0.99, 0.9, 0.75, 0.5)
"""Areas of the density: the smallest that hold so much of what the encoder gives, from pale to dark."""

SYMBOLS = ("circle", "square", "diamond", "triangle-up", "pentagon", "star", "hexagon", "triangle-down")


def codebook_map(
    points: pd.DataFrame,
    *,
    colour: str = "usage",
    x: str = "component 1",
    y: str = "component 2",
    behind: NDArray[np.float64] | None = None,
    second: pd.DataFrame | None = None,
    second_name: str = "",
) -> go.Figure:
    """Draw ``points``: one row per code, with ``x``, ``y`` and the columns of the codes table.

    ``customdata`` starts with layer and code, so that a selection can be traced back. ``behind`` [N, 2] are points
    whose density is drawn under the codes. ``second`` are the codes of another checkpoint (layer, code, x, y, norm),
    drawn as open diamonds, without ``customdata``: a selection leaves them out.
    """
    unseen = points["count"] == 0
    if colour == "layer":
        traces = _by_layer(points, unseen)
    elif colour == "status":
        traces = _by_status(points)
    else:
        traces = _by_value(points, unseen, colour)
    if second is not None:
        traces.insert(0, _second(second, second_name, colour, len(points)))
    everything = points if second is None else pd.concat([points, second])
    figure = go.Figure([*([] if behind is None else [_density(behind, everything)]), *traces])
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


def _by_status(points: pd.DataFrame) -> list[Points]:
    """One trace a status, what is used on top."""
    traces: list[Points] = []
    for status in reversed(STATUS_COLOURS):
        some = points[points["status"] == status]
        if len(some):
            marker = {"color": STATUS_COLOURS[status], "symbol": STATUS_SYMBOLS[status], "size": 7, "opacity": 0.85}
            traces.append(_points(points, some, status, marker))
    return traces


def _second(codes: pd.DataFrame, name: str, colour: str, others: int) -> Points:
    """Codes of another checkpoint, outlined; in the colours of their layers where layers are what is coloured."""
    shades = [layer_colour(int(layer)) for layer in codes["layer"]] if colour == "layer" else ORANGE
    kind = go.Scatter if len(codes) + others <= MAX_SVG_POINTS else go.Scattergl
    marker = {"color": shades, "symbol": "diamond-open", "size": 8, "opacity": 0.9, "line": {"width": 1.3}}
    drawn = kind(x=codes["x"], y=codes["y"], mode="markers", name=f"{escape(name)} ({len(codes):,})", marker=marker)
    if len(codes) + others > MANY_POINTS:
        return _lighter(drawn, marker).update(hovertemplate=hover(f"a code of {escape(name)}"))
    told = [
        f"<b>layer {layer}, code {code}</b> of {escape(name)}<br>norm {norm:.3g}"
        for layer, code, norm in zip(codes["layer"], codes["code"], codes["norm"], strict=True)
    ]
    return drawn.update(text=told, hovertemplate=hover("%{text}"))


def _reach(codes: NDArray[np.float64], vectors: NDArray[np.float64]) -> tuple[float, float]:
    """From where to where an axis shows the vectors: all of them, but no further than half the codes' span beyond."""
    low, high = float(codes.min()), float(codes.max())
    span = (high - low) or 1.0
    beyond = np.array([low - vectors.min(), vectors.max() - high]) + 0.05 * span  # room to fade out in
    before, after = np.clip(beyond, 0.15 * span, 0.5 * span)
    return low - float(before), high + float(after)


def _density(vectors: NDArray[np.float64], points: pd.DataFrame) -> go.Contour:
    """Where the vectors lie: the smallest areas that hold 99, 90, 75 and 50 % of them, as far as _reach tells.

    By shares, not by height: deep layers crowd at the origin, and what is a hundredth as high is most of layer 1.
    """
    from scipy.ndimage import gaussian_filter  # here: exports draw maps without it, and it takes long to import

    limits = [_reach(points[axis].to_numpy(), vectors[:, number]) for number, axis in enumerate(("x", "y"))]
    counts, x_edges, y_edges = np.histogram2d(vectors[:, 0], vectors[:, 1], bins=DENSITY_CELLS, range=limits)
    smooth = gaussian_filter(counts, 1.5).T
    count = len(DENSITY_SHARES)
    # Height 1 on the edge of the largest area, 2 on that of the next: contours come at even steps.
    z = np.interp(
        _held_within(smooth, len(vectors)), [0.0, *DENSITY_SHARES[::-1], 1.0], [count + 1, *range(count, 0, -1), 0]
    )
    steps = [[0, translucent(GREY, 0)], [0.2, translucent(GREY, 0.14)], [1, translucent(GREY, 0.75)]]
    return go.Contour(
        x=(x_edges[:-1] + x_edges[1:]) / 2, y=(y_edges[:-1] + y_edges[1:]) / 2, z=z, colorscale=steps,
        contours={"start": 1, "end": count, "size": 1}, zmin=0, zmax=count + 1,
        showscale=False, line={"width": 0.5, "color": translucent(GREY, 0.5)}, hoverinfo="skip", showlegend=True,
        name="what the encoder gives (50, 75, 90, 99 %)",
    )  # fmt: skip


def _held_within(density: NDArray[np.float64], total: int) -> NDArray[np.float64]:
    """Of each cell: the share of ``total`` vectors that lies in cells at least as dense; 1 in empty ones."""
    order = np.argsort(-density, axis=None, kind="stable")
    held = np.empty(density.size)
    held[order] = np.cumsum(density.ravel()[order]) / max(total, 1)
    return np.where(density > 0, held.reshape(density.shape), 1.0)


def _by_value(points: pd.DataFrame, unseen: pd.Series, colour: str) -> list[Points]:
    seen = points[~unseen]
    values, bar = _values(seen, colour)
    marker = {
        "color": values, "colorscale": POINT_SCALE, "size": 7, "opacity": 0.9, "showscale": bool(len(seen)),
        "colorbar": bar | {"thickness": 14, "len": 0.9}, "line": {"width": 0.5, "color": GREY},
    }  # fmt: skip
    cross = {"color": VERMILLION, "symbol": "x-thin-open", "size": 5, "opacity": 0.75}
    # Unseen codes go below: they are many, and what is used must stay visible.
    return [_points(points, points[unseen], "unseen", cross), _points(points, seen, "seen", marker)]


def _values(seen: pd.DataFrame, colour: str) -> tuple[NDArray[np.float64], dict[str, Any]]:
    """What colours the points, and its colour bar."""
    if colour == "usage":
        return np.log10(seen["share"].to_numpy(np.float64)), _share_bar(seen["share"])
    if colour == "norm":
        return seen["norm"].to_numpy(np.float64), {"title": {"text": "L2 norm<br> ", "font": {"size": 12}}}
    counts = seen["ema_count"].to_numpy(np.float64)
    # A count of 0 has no logarithm: it looks like the smallest other.
    counts = np.maximum(counts, counts[counts > 0].min() if (counts > 0).any() else 1.0)
    title = {"title": {"text": "EMA count<br>(tokens a<br>batch)<br> ", "font": {"size": 12}}}
    ticks = number_ticks(counts.min(), counts.max()) if len(counts) else {"tickvals": [], "ticktext": []}
    return np.log10(counts), title | ticks | {"tickvals": np.log10(ticks["tickvals"]).tolist()}


def _points(everything: pd.DataFrame, some: pd.DataFrame, name: str, marker: dict[str, Any]) -> Points:
    kind = go.Scatter if len(everything) <= MAX_SVG_POINTS else go.Scattergl
    drawn = kind(x=some["x"], y=some["y"], mode="markers", name=f"{name} ({len(some):,})", marker=marker)
    title = "<b>layer %{customdata[0]}, code %{customdata[1]}</b>"
    if len(everything) > MANY_POINTS:
        told = some[["layer", "code", "count"]].astype(object).to_numpy()
        return _lighter(drawn, marker).update(customdata=told, hovertemplate=hover(title, "%{customdata[2]:,} tokens"))
    return drawn.update(
        customdata=some[HOVER_COLUMNS].astype(object).to_numpy(),
        hovertemplate=hover(
            f"{title}: %{{customdata[6]}}",
            "%{customdata[2]:,} tokens (%{customdata[3]:.2%})",
            "norm %{customdata[4]:.3g}, nearest code of its layer at %{customdata[5]:.3g}",
            *(["EMA count %{customdata[7]:.2f}"] if some["ema_count"].notna().any() else []),
        ),
    )


def _lighter(drawn: Points, marker: dict[str, Any]) -> Points:
    """The same points with a ``marker`` half as wide, in single precision: a screen shows no more."""
    shades = np.asarray(marker["color"])
    lighter = marker | {
        "size": marker["size"] / 2,
        "color": shades.astype(np.float32) if shades.dtype.kind == "f" else marker["color"],
    }
    return drawn.update(x=np.asarray(drawn.x, np.float32), y=np.asarray(drawn.y, np.float32), marker=lighter)


def _share_bar(shares: pd.Series) -> dict[str, Any]:
    if shares.empty:
        return {}
    ticks = share_ticks(shares.min(), shares.max())
    return {
        "title": {"text": "share of<br>the layer's<br>tokens<br> ", "font": {"size": 12}},
        "tickvals": np.log10(ticks["tickvals"]).tolist(),
        "ticktext": ticks["ticktext"],
    }
