"""Layers x codes: how often each code is used, as an image with a logarithmic colour; unseen codes stand out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from numpy.typing import NDArray

from dashboard.figures.theme import USAGE_SCALE, VERMILLION, hover, laid_out

ORDERS = ("usage", "code")
MAX_COLUMNS = 1024
"""More codes than this are put together in half as many cells: a screen has no more pixels in a row."""

MIN_HEIGHT = 280
"""Pixels that the colour bar needs for its numbers, however few the layers."""

Grid = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class UsageGrid:
    """Cells of the image [Q, columns]; NaN where a layer has no such code.

    ``relative`` is a cell's mean share divided by the uniform share 1 / K; ``count`` its tokens; ``unseen`` how many
    of its codes are unseen. ``first`` and ``last`` number its codes: ranks, or the codes themselves; ``code`` is the
    first of them as the codebook numbers it.
    """

    layers: list[int]
    relative: Grid
    count: Grid
    unseen: Grid
    first: Grid
    last: Grid
    code: Grid


def usage_grid(
    codes: pd.DataFrame, *, order: str = "usage", counts: str = "count", max_columns: int = MAX_COLUMNS
) -> UsageGrid:
    """Cells of all layers; ``order`` sorts codes by usage within their layer or by number, ``counts`` is the column."""
    groups = [(int(str(layer)), group) for layer, group in ordered(codes, order, counts).groupby("layer")]
    widest = max(len(group) for _, group in groups)
    size = 1 if widest <= max_columns else -(-widest // (max_columns // 2))  # wide enough to be clicked
    columns = -(-widest // size)
    rows = [
        _row(group[counts].to_numpy(np.float64), group["code"].to_numpy(np.float64), size, columns)
        for _, group in groups
    ]
    stacked = np.stack(rows)  # [Q, 6, columns]
    return UsageGrid([layer for layer, _ in groups], *(stacked[:, i] for i in range(6)))


def codes_of_cell(
    codes: pd.DataFrame, layer: int, places: tuple[int, int], *, order: str = "usage", counts: str = "count"
) -> pd.DataFrame:
    """Rows of ``codes`` that a cell stands for: those in ``places`` (first and last, both among them) of its layer."""
    first, last = places
    return ordered(codes[codes["layer"] == layer], order, counts).iloc[first : last + 1]


def usage_image(grid: UsageGrid, *, order: str = "usage") -> go.Figure:
    """Draw the cells; colour says how many times more often than under equal use."""
    seen = np.where(grid.count > 0, grid.relative, np.nan)
    columns = _places(grid)
    figure = go.Figure([_seen_cells(grid, seen, columns, order), _unseen_cells(grid, columns, order)])
    name = "codes, most used first (rank)" if order == "usage" else "code number"
    laid_out(figure, x=name, y="layer", height=max(MIN_HEIGHT, 150 + 46 * len(grid.layers)))
    # Layer 1 on top; the legend shows the colour of unseen cells, which the colour bar cannot.
    figure.update_yaxes(autorange="reversed", tickmode="array", tickvals=grid.layers, showgrid=False)
    figure.update_xaxes(showgrid=False)
    return figure


def with_clickable_cells(figure: go.Figure, grid: UsageGrid, *, order: str = "usage") -> go.Figure:
    """Lay a point that is not seen over each cell: a page is told of clicks on points alone, not on cells.

    The nearest point to the pointer is that of its cell. ``customdata`` begins with layer and first code of the cell.
    """
    layers = np.broadcast_to(np.asarray(grid.layers, dtype=np.float64)[:, None], grid.code.shape)
    data = np.concatenate([np.stack([layers, grid.code], axis=-1), _hover_data(grid)], axis=-1)
    width = float(grid.last[0, 0] - grid.first[0, 0] + 1)
    point = {"opacity": 0, "size": 1}
    figure.update_traces(hoverinfo="skip", hovertemplate=None, customdata=None)
    for unseen in (False, True):
        rows, columns = np.nonzero((grid.count == 0) if unseen else (grid.count > 0))
        figure.add_trace(
            go.Scatter(
                x=_places(grid)[columns],
                y=layers[rows, columns],
                mode="markers",
                marker=point,
                showlegend=False,
                selected={"marker": point},
                unselected={"marker": point},
                customdata=data[rows, columns].astype(object),  # lists in the page, and not looked at one by one here
                hovertemplate=_hover(grid, order, unseen=unseen, start=2),
            )
        )
    # The points would widen the axes by a margin for what they are drawn with.
    figure.update_xaxes(range=[-0.5 * width, (grid.code.shape[1] - 0.5) * width])
    figure.update_yaxes(range=[grid.layers[-1] + 0.5, grid.layers[0] - 0.5], autorange=False)
    figure.update_layout(hovermode="closest", hoverdistance=-1, dragmode="zoom", clickmode="event+select")
    return figure


def ordered(codes: pd.DataFrame, order: str, counts: str) -> pd.DataFrame:
    """The codes as they stand beside each other in their layer."""
    first = "code" if order == "code" else counts
    return codes.sort_values([first, "code"], ascending=[order == "code", True])


def _places(grid: UsageGrid) -> Grid:
    """Where the columns lie: at the number of their first code or rank."""
    return np.arange(grid.relative.shape[1]) * float(grid.last[0, 0] - grid.first[0, 0] + 1)


def _row(values: Grid, codes: Grid, size: int, columns: int) -> Grid:
    """One layer's cells [6, columns]: relative, count, unseen, first, last, code."""
    padded = np.full(size * columns, np.nan)
    padded[: len(values)] = values
    cells = padded.reshape(columns, size)
    present = (~np.isnan(cells)).sum(axis=1)
    total, uniform = np.nansum(values), np.nansum(values) / len(values)
    count = np.where(present > 0, np.nansum(cells, axis=1), np.nan)
    with np.errstate(divide="ignore", invalid="ignore"):
        relative = count / present / uniform if total > 0 else count * 0.0
    first = np.arange(columns) * size
    last = first + np.maximum(present, 1) - 1
    named = np.full(size * columns, np.nan)
    named[: len(codes)] = codes
    return np.stack([relative, count, (cells == 0).sum(axis=1), first, last, named[::size]]).astype(np.float64)


def _seen_cells(grid: UsageGrid, seen: Grid, columns: Grid, order: str) -> go.Heatmap:
    logs = np.log10(seen)
    low, high = _decades(logs)
    ticks = list(range(low, high + 1, -(-(high - low) // 5)))
    return go.Heatmap(
        z=logs, x=columns, y=grid.layers, xtype="array", zmin=low, zmax=high, colorscale=USAGE_SCALE,
        customdata=_hover_data(grid), hoverongaps=False, hovertemplate=_hover(grid, order, unseen=False), ygap=3,
        colorbar={
            "title": {"text": "times the<br>uniform share<br> ", "font": {"size": 12}}, "thickness": 14,
            "tickvals": ticks, "ticktext": [f"{10.0**tick:g}×" for tick in ticks],
        },
    )  # fmt: skip


def _unseen_cells(grid: UsageGrid, columns: Grid, order: str) -> go.Heatmap:
    return go.Heatmap(
        z=np.where(grid.count == 0, 1.0, np.nan), x=columns, y=grid.layers, zmin=0, zmax=1, ygap=3,
        colorscale=[[0, VERMILLION], [1, VERMILLION]], showscale=False, hoverongaps=False, name="unseen",
        customdata=_hover_data(grid), hovertemplate=_hover(grid, order, unseen=True), showlegend=True,
    )  # fmt: skip


def _hover_data(grid: UsageGrid) -> Grid:
    shift = np.stack([grid.first, grid.last, grid.count, grid.relative, grid.unseen], axis=-1)
    return np.nan_to_num(shift)


def _hover(grid: UsageGrid, order: str, *, unseen: bool, start: int = 0) -> str:
    """Words of a cell whose data begin at place ``start``; where they do not begin the list its code stands before.

    A list with codes is that of points to click: of a cell of several codes a click shows all of them.
    """
    place = "rank" if order == "usage" else "code"
    several = bool((grid.last > grid.first).any())
    first, last, count, relative, none = (f"customdata[{start + i}]" for i in range(5))
    where = f"layer %{{y}}, {place} %{{{first}}}" + (f" to %{{{last}}}" if several else "")
    if start and order == "usage" and not several:
        where += f": code %{{customdata[{start - 1}]}}"
    click = ["click to choose among them"] if start and several else []
    if unseen:
        return hover(where, "<b>unseen</b>: chosen by none of these tokens", *click)
    lines = [f"<b>%{{{count}:,}} tokens</b>, %{{{relative}:.2f}} times the uniform share"]
    return hover(where, *lines, *([f"%{{{none}}} of these codes unseen"] if several else []), *click)


def _decades(logs: Grid) -> tuple[int, int]:
    finite = logs[np.isfinite(logs)]
    if not finite.size:
        return -1, 1
    low, high = int(np.floor(finite.min())), int(np.ceil(finite.max()))
    return low, max(high, low + 1)
