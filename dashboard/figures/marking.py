"""Marks on figures for what is selected elsewhere: the rest is faded, as Plotly does for a selection of its own."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from dashboard.figures.theme import VERMILLION, hover
from dashboard.figures.usage_curves import usage_curve
from dashboard.figures.usage_image import UsageGrid, ordered

FADED = 0.2
MARK = {"symbol": "star", "size": 13, "color": VERMILLION, "line": {"width": 1, "color": "white"}}


def mark_points(figure: go.Figure, values: Collection[Any], value_of: Callable[[Any, int], Any]) -> go.Figure:
    """Fade all points but those whose value, from a trace and the number of a point, is among ``values``.

    Only traces with points of their own count: lines, bands and limits stay as they are.
    """
    wanted = set(values)
    if not wanted:
        return figure
    traces: Any = figure.data
    for trace in traces:
        if trace.type == "bar" or (trace.type in ("scatter", "scattergl") and "markers" in (trace.mode or "")):
            count = 0 if trace.x is None else len(trace.x)
            trace.selectedpoints = [number for number in range(count) if value_of(trace, number) in wanted]
            trace.unselected = {"marker": {"opacity": FADED}}
    return figure


def mark_layers(figure: go.Figure, layers: Collection[int]) -> go.Figure:
    """Fade what stands at other places of an axis of layers."""
    return mark_points(figure, layers, lambda trace, number: trace.x[number])


def mark_clips(figure: go.Figure, clips: Collection[str]) -> go.Figure:
    """Fade the rows of other clips."""
    return mark_points(figure, clips, lambda trace, number: trace.y[number])


def with_selected_clips(figure: go.Figure, rows: pd.DataFrame, clips: int) -> go.Figure:
    """Lay the error curve of some clips (``n_active``, ``value``, ``low``, ``high``) over that of all."""
    rows = rows[rows["n_active"] >= 0]
    known = rows["low"].notna().all()
    errors = {"array": rows["high"] - rows["value"], "arrayminus": rows["value"] - rows["low"], "thickness": 1.5}
    between = ["95 %: %{customdata[0]:.4g} to %{customdata[1]:.4g}"] if known else []
    figure.add_trace(
        go.Scatter(
            x=rows["n_active"], y=rows["value"], mode="lines+markers", name=f"selected clips ({clips:,})",
            line={"color": VERMILLION, "width": 2, "dash": "dot"}, marker={"symbol": "star", "size": 9},
            error_y=errors if known else None, customdata=rows[["low", "high"]],
            hovertemplate=hover("selected clips, first %{x} quantizers: <b>%{y:.4g}</b>", *between),
        )
    )  # fmt: skip
    return figure


def mark_codes(figure: go.Figure, codes: Collection[tuple[int, int]], layers: Collection[int]) -> go.Figure:
    """Fade other codes of a map whose points' ``customdata`` begin with layer and code; without any, other layers."""
    if codes:
        return mark_points(figure, codes, _code_of)
    return mark_points(figure, layers, lambda trace, number: (_code_of(trace, number) or (None,))[0])


def _code_of(trace: Any, number: int) -> tuple[int, int] | None:
    if trace.customdata is None:
        return None
    return int(trace.customdata[number][0]), int(trace.customdata[number][1])


def mark_curves(
    figure: go.Figure, codes: pd.DataFrame, chosen: Collection[tuple[int, int]], layers: Collection[int], counts: str
) -> go.Figure:
    """Fade the sorted usage of other layers than ``layers``; a star at the rank of each chosen code that was seen."""
    if layers:
        named = {f"layer {layer}" for layer in layers}
        figure.for_each_trace(lambda trace: trace.update(opacity=1 if trace.name in named else FADED))
    if not chosen:
        return figure
    wanted, places = set(chosen), list[tuple[int, float, str]]()
    for key, group in codes.groupby("layer"):
        layer = int(str(key))
        ranked = ordered(group, "usage", counts)
        shares = usage_curve(ranked[counts])["share"]
        places += [
            (rank + 1, float(shares.iloc[rank]), f"layer {layer}, code {code}")
            for rank, code in enumerate(ranked["code"])
            if rank < len(shares) and (layer, int(code)) in wanted
        ]
    if places:
        ranks, shares_at, names = zip(*places, strict=True)
        figure.add_trace(_stars(ranks, shares_at, [f"<b>{name}</b>" for name in names]))
    return figure


def mark_cells(figure: go.Figure, grid: UsageGrid, codes: pd.DataFrame, order: str, counts: str,
               chosen: Collection[tuple[int, int]]) -> go.Figure:  # fmt: skip
    """A star on each cell of the usage image that holds a chosen code."""
    width = float(grid.last[0, 0] - grid.first[0, 0] + 1)
    wanted = set(chosen)
    cells: dict[tuple[float, int], None] = {}
    for key, group in ordered(codes, order, counts).groupby("layer"):
        layer = int(str(key))
        for place, code in enumerate(group["code"]):
            if (layer, int(code)) in wanted:
                cells[place // width * width, layer] = None
    if cells:
        x, y = zip(*cells, strict=True)
        figure.add_trace(_stars(x, y, None))
    return figure


def _stars(x: Collection[float], y: Collection[float], told: list[str] | None) -> go.Scatter:
    return go.Scatter(
        x=list(x), y=list(y), mode="markers", name="selected", marker=MARK, text=told,
        hoverinfo="skip" if told is None else None, hovertemplate=None if told is None else hover("%{text}"),
    )  # fmt: skip
