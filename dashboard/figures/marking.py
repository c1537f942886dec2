"""Marks on figures for what is selected elsewhere: the rest is faded, as Plotly does for a selection of its own."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from dashboard.figures.reconstruction import error_bars
from dashboard.figures.theme import VERMILLION, hover
from dashboard.figures.usage_image import UsageGrid, ordered

FADED = 0.2
MARK = {"symbol": "star", "size": 13, "color": VERMILLION, "line": {"width": 1, "color": "white"}}


def mark_points(figure: go.Figure, values: Collection[Any], values_of: Callable[[Any], Iterable[Any]]) -> go.Figure:
    """Fade all points but those whose value, of the values of a trace's points, is among ``values``.

    Only traces with points of their own count: lines, bands and limits stay as they are.
    """
    wanted = set(values)
    if not wanted:
        return figure
    traces: Any = figure.data
    for trace in traces:
        if trace.type == "bar" or (trace.type in ("scatter", "scattergl") and "markers" in (trace.mode or "")):
            trace.selectedpoints = [number for number, value in enumerate(values_of(trace)) if value in wanted]
            trace.unselected = {"marker": {"opacity": FADED}}
    return figure


def mark_layers(figure: go.Figure, layers: Collection[int]) -> go.Figure:
    """Fade what stands at other places of an axis of layers."""
    return mark_points(figure, layers, lambda trace: trace.x)


def mark_lines(figure: go.Figure, layers: Collection[int]) -> go.Figure:
    """Fade lines that are not called "layer 1", "layer 2", .. of these layers."""
    if layers:
        named = {f"layer {layer}" for layer in layers}
        figure.for_each_trace(lambda trace: trace.update(opacity=1 if trace.name in named else FADED))
    return figure


def mark_clips(figure: go.Figure, clips: Collection[str]) -> go.Figure:
    """Fade the rows of other clips."""
    return mark_points(figure, clips, lambda trace: trace.y)


def with_selected_clips(figure: go.Figure, rows: pd.DataFrame, clips: int) -> go.Figure:
    """Lay the error curve of some clips (``n_active``, ``value``, ``low``, ``high``) over that of all."""
    rows = rows[rows["n_active"] >= 0]
    known = rows["low"].notna().all()
    between = ["95 %: %{customdata[0]:.4g} to %{customdata[1]:.4g}"] if known else []
    figure.add_trace(
        go.Scatter(
            x=rows["n_active"], y=rows["value"], mode="lines+markers", name=f"selected clips ({clips:,})",
            line={"color": VERMILLION, "width": 2, "dash": "dot"}, marker={"symbol": "star", "size": 9},
            error_y=error_bars(rows) if known else None, customdata=rows[["low", "high"]],
            hovertemplate=hover("selected clips, first %{x} quantizers: <b>%{y:.4g}</b>", *between),
        )
    )  # fmt: skip
    return figure


def mark_codes(figure: go.Figure, codes: Collection[tuple[int, int]], layers: Collection[int]) -> go.Figure:
    """Fade other codes of a map whose points' ``customdata`` begin with layer and code; without any, other layers."""
    if codes:
        return mark_points(figure, codes, _codes_of)
    return mark_points(figure, layers, lambda trace: [layer for layer, _ in _codes_of(trace)])


def _codes_of(trace: Any) -> list[tuple[int, int]]:
    """Layer and code of each point; of points without ``customdata`` none."""
    data = trace.customdata
    return [] if data is None else [(int(row[0]), int(row[1])) for row in data]


def mark_curves(
    figure: go.Figure, codes: pd.DataFrame, chosen: Collection[tuple[int, int]], layers: Collection[int], counts: str
) -> go.Figure:
    """Fade the sorted usage of other layers than ``layers``; a star at the rank of each chosen code that was seen."""
    mark_lines(figure, layers)
    if not chosen:
        return figure
    places = _places(codes, "usage", counts, chosen)
    places = places[places[counts] > 0]
    if len(places):
        told = [
            f"<b>layer {layer}, code {code}</b>" for layer, code in zip(places["layer"], places["code"], strict=True)
        ]
        figure.add_trace(_stars(places["place"] + 1, places[counts] / places["total"], told))
    return figure


def mark_cells(figure: go.Figure, grid: UsageGrid, codes: pd.DataFrame, order: str, counts: str,
               chosen: Collection[tuple[int, int]]) -> go.Figure:  # fmt: skip
    """A star on each cell of the usage image that holds a chosen code."""
    if not chosen:
        return figure
    width = float(grid.last[0, 0] - grid.first[0, 0] + 1)
    places = _places(codes, order, counts, chosen)
    cells = places.assign(place=places["place"] // width * width)[["place", "layer"]].drop_duplicates()
    if len(cells):
        figure.add_trace(_stars(cells["place"], cells["layer"], None))
    return figure


def _places(codes: pd.DataFrame, order: str, counts: str, chosen: Collection[tuple[int, int]]) -> pd.DataFrame:
    """Rows of the chosen codes with their ``place`` in their layer (from 0, in ``order``) and the layer's ``total``."""
    table = ordered(codes, order, counts)
    layers = table.groupby("layer")
    table = table.assign(place=layers.cumcount(), total=layers[counts].transform("sum"))
    wanted = pd.DataFrame(list(chosen), columns=["layer", "code"])
    return table.merge(wanted, on=["layer", "code"]).sort_values(["layer", "place"])


def _stars(x: Collection[float], y: Collection[float], told: list[str] | None) -> go.Scatter:
    return go.Scatter(
        x=list(x), y=list(y), mode="markers", name="selected", marker=MARK, text=told,
        hoverinfo="skip" if told is None else None, hovertemplate=None if told is None else hover("%{text}"),
    )  # fmt: skip
