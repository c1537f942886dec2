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
"""More codes than this are put together in cells: a screen has no more pixels in a row."""

MIN_HEIGHT = 280
"""Pixels that the colour bar needs for its numbers, however few the layers."""

Grid = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class UsageGrid:
    """Cells of the image [Q, columns]; NaN where a layer has no such code.

    ``relative`` is a cell's mean share divided by the uniform share 1 / K; ``count`` its tokens; ``unseen`` how many
    of its codes are unseen. ``first`` and ``last`` number its codes: ranks, or the codes themselves.
    """

    layers: list[int]
    relative: Grid
    count: Grid
    unseen: Grid
    first: Grid
    last: Grid


def usage_grid(
    codes: pd.DataFrame, *, order: str = "usage", counts: str = "count", max_columns: int = MAX_COLUMNS
) -> UsageGrid:
    """Cells of all layers; ``order`` sorts codes by usage within their layer or by number, ``counts`` is the column."""
    groups = [(int(str(layer)), group[counts].to_numpy(np.float64)) for layer, group in codes.groupby("layer")]
    widest = max(len(values) for _, values in groups)
    size = -(-widest // max_columns)
    rows = [
        _row(np.sort(values)[::-1] if order == "usage" else values, size, -(-widest // size)) for _, values in groups
    ]
    stacked = np.stack(rows)  # [Q, 5, columns]
    return UsageGrid([layer for layer, _ in groups], *(stacked[:, i] for i in range(5)))


def usage_image(grid: UsageGrid, *, order: str = "usage") -> go.Figure:
    """Draw the cells; colour says how many times more often than under equal use."""
    seen = np.where(grid.count > 0, grid.relative, np.nan)
    columns = np.arange(grid.relative.shape[1]) * float(grid.last[0, 0] - grid.first[0, 0] + 1)
    figure = go.Figure([_seen_cells(grid, seen, columns, order), _unseen_cells(grid, columns, order)])
    name = "codes, most used first (rank)" if order == "usage" else "code number"
    laid_out(figure, x=name, y="layer", height=max(MIN_HEIGHT, 150 + 46 * len(grid.layers)))
    # Layer 1 on top; the legend shows the colour of unseen cells, which the colour bar cannot.
    figure.update_yaxes(autorange="reversed", tickmode="array", tickvals=grid.layers, showgrid=False)
    figure.update_xaxes(showgrid=False)
    return figure


def _row(values: Grid, size: int, columns: int) -> Grid:
    """One layer's cells [5, columns]: relative, count, unseen, first, last."""
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
    return np.stack([relative, count, (cells == 0).sum(axis=1), first, last]).astype(np.float64)


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


def _hover(grid: UsageGrid, order: str, *, unseen: bool) -> str:
    place = "rank" if order == "usage" else "code"
    several = bool((grid.last > grid.first).any())
    where = f"layer %{{y}}, {place} %{{customdata[0]}}" + (" to %{customdata[1]}" if several else "")
    if unseen:
        return hover(where, "<b>unseen</b>: chosen by none of these tokens")
    lines = ["<b>%{customdata[2]:,} tokens</b>, %{customdata[3]:.2f} times the uniform share"]
    return hover(where, *lines, *(["%{customdata[4]} of these codes unseen"] if several else []))


def _decades(logs: Grid) -> tuple[int, int]:
    finite = logs[np.isfinite(logs)]
    if not finite.size:
        return -1, 1
    low, high = int(np.floor(finite.min())), int(np.ceil(finite.max()))
    return low, max(high, low + 1)
