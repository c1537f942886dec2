"""Heat maps as vector cells, and the bars that explain their colours."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dashboard.paper.colours import colour_map
from dashboard.paper.style import HATCHES, INK

if TYPE_CHECKING:
    from matplotlib.collections import PolyCollection

    from dashboard.paper.traces import Canvas

Values = NDArray[np.float64]
MAX_WRITTEN = 144
"""Cells in which a number is written, where the page writes one."""


def draw_cells(trace: dict[str, Any], canvas: Canvas) -> None:
    """Cells [rows, columns] at the places of ``x`` and ``y``; NaN stays empty."""
    from matplotlib.patches import Patch

    values = np.array(trace["z"], dtype=np.float64)
    x, y = _edges(trace, "x", values.shape[1], canvas), _edges(trace, "y", values.shape[0], canvas)
    cmap = colour_map(trace.get("colorscale", "Viridis"))
    cells = _row_by_row(values, x, y, cmap, (trace.get("zmin"), trace.get("zmax")))
    one_colour = not trace.get("showscale", True)
    if one_colour:  # in grey it could be any value of the other cells
        cells.set(hatch=HATCHES[1], hatchcolor="white")
    canvas.axes.add_collection(cells)
    canvas.axes.autoscale_view()
    canvas.axes.set_xlim(x[0], x[-1])
    canvas.axes.set_ylim(y[0], y[-1])
    if trace.get("ygap"):
        for edge in y[1:-1]:
            canvas.axes.axhline(edge, color="white", linewidth=canvas.preset.line * 1.2, zorder=1.4)
    if trace.get("xgap"):
        for edge in x[1:-1]:
            canvas.axes.axvline(edge, color="white", linewidth=canvas.preset.line * 1.2, zorder=1.4)
    if trace.get("showlegend"):
        canvas.enter(Patch(facecolor=cmap(0.5), edgecolor="white", hatch=HATCHES[1] if one_colour else "", lw=0), trace)
    if trace.get("showscale", True):
        colour_bar(cells, trace.get("colorbar", {}), canvas)
    if trace.get("texttemplate"):
        _numbers(trace, values, x, y, canvas)


def _row_by_row(values: Values, x: Values, y: Values, cmap: Any, limits: tuple[Any, Any]) -> PolyCollection:
    """Rectangles of equal neighbours, each reaching below the next one: where they only touch, viewers show lines."""
    from matplotlib.collections import PolyCollection

    corners: list[list[tuple[Any, Any]]] = []
    shades: list[float] = []
    for row, line in enumerate(values):
        starts = np.flatnonzero(np.concatenate([[True], (line[1:] != line[:-1]) & ~(np.isnan(line[1:] + line[:-1]))]))
        starts = np.union1d(starts, np.flatnonzero(np.diff(np.isnan(line))) + 1)
        for start, end in zip(starts, [*starts[1:], len(line)], strict=True):
            if np.isnan(line[start]):
                continue
            right = x[end] if end == len(line) or np.isnan(line[end]) else x[end + 1]
            corners.append([(x[start], y[row]), (right, y[row]), (right, y[row + 1]), (x[start], y[row + 1])])
            shades.append(line[start])
    cells = PolyCollection(corners, array=shades, cmap=cmap, edgecolors="none", linewidths=0, zorder=1.2)
    cells.set_clim(*limits)
    return cells


def colour_bar(artist: Any, bar: dict[str, Any], canvas: Canvas) -> None:
    """A bar beside the axes with its title and, where the page names them, its ticks."""
    from matplotlib.ticker import NullLocator

    from dashboard.paper.draw import plain

    figure = canvas.axes.figure
    drawn: Any = figure.colorbar(artist, ax=canvas.axes, pad=0.02, aspect=22, fraction=0.06)
    # Matplotlib makes an image of it; a figure of points is to hold none.
    drawn.solids.set(rasterized=False, edgecolor="face", linewidth=0.4, alpha=1.0)
    drawn.outline.set_visible(False)
    if bar.get("tickvals") is not None:
        low, high = sorted(artist.get_clim())
        kept = [
            (float(value), plain(str(text)))
            for value, text in zip(bar["tickvals"], bar.get("ticktext") or bar["tickvals"], strict=True)
            if low - 1e-9 <= value <= high + 1e-9
        ]
        drawn.set_ticks([value for value, _ in kept], labels=[text for _, text in kept])
    drawn.ax.yaxis.set_minor_locator(NullLocator())
    title = bar.get("title", {})
    drawn.set_label(plain(title.get("text") if isinstance(title, dict) else title), fontsize=canvas.preset.text * 0.9)


def _edges(trace: dict[str, Any], which: str, count: int, canvas: Canvas) -> Values:
    """Borders of the cells [count + 1], half-way between their centres."""
    given = trace.get(which)
    centres = np.arange(count, dtype=np.float64) if given is None else canvas.numbers(which, given)
    if count == 1:
        return np.array([centres[0] - 0.5, centres[0] + 0.5])
    between = (centres[1:] + centres[:-1]) / 2
    return np.concatenate([[2 * centres[0] - between[0]], between, [2 * centres[-1] - between[-1]]])


def _numbers(trace: dict[str, Any], values: Any, x: Any, y: Any, canvas: Canvas) -> None:
    """The text of each cell, dark on light cells and light on dark ones."""
    if values.size > MAX_WRITTEN:
        return
    texts = trace.get("text")
    form = _form(str(trace["texttemplate"]))
    cmap = colour_map(trace.get("colorscale", "Viridis"))
    low = float(np.nanmin(values) if trace.get("zmin") is None else trace["zmin"])
    high = float(np.nanmax(values) if trace.get("zmax") is None else trace["zmax"])
    for row, column in np.ndindex(values.shape):
        if not np.isfinite(values[row, column]):
            continue
        red, green, blue, _ = cmap((values[row, column] - low) / max(high - low, 1e-12))
        shade = "white" if 0.299 * red + 0.587 * green + 0.114 * blue < 0.5 else INK
        written = form(values[row, column]) if texts is None else str(texts[row][column])
        canvas.axes.text(
            (x[column] + x[column + 1]) / 2, (y[row] + y[row + 1]) / 2, written, color=shade, ha="center",
            va="center", fontsize=canvas.preset.text * 0.8, zorder=3,
        )  # fmt: skip


def _form(template: str) -> Any:
    """The number format of a template such as ``%{z:.2f}``."""
    spec = template.partition(":")[2].partition("}")[0] or ".2g"
    return lambda value: format(value, spec)
