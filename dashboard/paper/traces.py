"""Plotly's traces as Matplotlib artists: lines, points, bands, bars and cells."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dashboard.paper.cells import draw_cells
from dashboard.paper.colours import colour_map, rgba
from dashboard.paper.contours import draw_contours
from dashboard.paper.style import DASHES, HATCHES, INK, LINE_MARKERS, MARKERS, NAMED_DASHES, Preset

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Trace = dict[str, Any]
PIXELS = 7.0
"""Diameter of a usual mark on the page, which becomes the preset's."""

MANY_POINTS, SMALLEST = 300, 0.5
"""Above so many points in a figure marks shrink, down to this share: a column is narrower than a page."""

AS_LARGE = {"*": 1.6, "^": 1.15, "v": 1.15, "p": 1.15, "h": 1.1, "P": 1.1, "X": 1.1, "D": 0.85, "s": 0.9}
"""By how much marks of one nominal size must grow to look as large as a circle."""


@dataclass(slots=True)
class Canvas:
    """The axes and what is known of them: names along an axis, points in all, and the legend's entries as they come."""

    axes: Axes
    preset: Preset
    layout: dict[str, Any]
    x_places: list[Any] | None
    y_places: list[Any] | None
    points: int = 0
    entries: list[tuple[Any, str]] = field(default_factory=lambda: list[tuple[Any, str]]())

    def places(self, which: str) -> list[Any] | None:
        """Names along an axis; None along one of numbers."""
        return self.x_places if which == "x" else self.y_places

    def numbers(self, which: str, values: Any) -> NDArray[np.float64]:
        """Values of a trace as positions along an axis."""
        places = self.places(which)
        if places is None:
            return np.array([np.nan if value is None else value for value in values], dtype=np.float64)
        return np.array([places.index(value) for value in values], dtype=np.float64)

    def enter(self, artist: Any, trace: Trace) -> None:
        """Put a trace into the legend, unless it wants not to be there."""
        if trace.get("showlegend", True) and trace.get("name"):
            self.entries.append((artist, trace["name"]))


def draw_traces(traces: list[Trace], canvas: Canvas) -> None:
    """Draw the traces of one pair of axes. Raises NotImplementedError for one that has no drawing here."""
    _refuse_unknown(traces)
    bars = [trace for trace in traces if trace["type"] == "bar"]
    curves = [id(trace) for trace in traces if _is_plain_curve(trace)]
    for trace in traces:
        if trace["type"] == "bar":
            _bars(trace, bars, canvas)
        elif trace["type"] == "heatmap":
            draw_cells(trace, canvas)
        elif trace["type"] == "contour":
            draw_contours(trace, canvas)
        elif trace.get("fill") in ("toself", "tozeroy"):
            _band(trace, canvas)
        else:
            _scatter(trace, curves.index(id(trace)) if id(trace) in curves and len(curves) > 1 else None, canvas)


def _refuse_unknown(traces: list[Trace]) -> None:
    for trace in traces:
        kind = trace["type"]
        if kind not in ("scatter", "scattergl", "bar", "heatmap", "contour"):
            raise NotImplementedError(f"a trace of type {kind} has no drawing for print (dashboard/paper/traces.py)")
        if trace.get("fill", "none") not in ("none", "toself", "tozeroy"):
            raise NotImplementedError(f"fill = {trace['fill']} has no drawing for print: make the band one polygon")


def _is_plain_curve(trace: Trace) -> bool:
    """A line that the page tells apart by its colour alone; one with gaps draws bones or the like, no curve."""
    return (
        trace["type"] in ("scatter", "scattergl")
        and "lines" in trace.get("mode", "")
        and trace.get("fill", "none") == "none"
        and trace.get("line", {}).get("dash", "solid") == "solid"
        and not _has_gaps(trace["x"])
    )


def _has_gaps(values: Any) -> bool:
    return any(value is None or value != value for value in values)


def _scatter(trace: Trace, number: int | None, canvas: Canvas) -> None:
    """Points, a line, or both; ``number`` is that of a curve among several, which gets a style of its own."""
    mode = trace.get("mode", "lines")
    x, y = canvas.numbers("x", trace["x"]), canvas.numbers("y", trace["y"])
    marker, line = trace.get("marker", {}), trace.get("line", {})
    if "lines" in mode:
        artist = _line(x, y, trace, number, canvas)
    elif "markers" in mode and np.ndim(marker.get("color")):
        artist = _coloured_points(x, y, marker, canvas)
    elif "markers" in mode:
        look = _mark(marker, canvas)
        (artist,) = canvas.axes.plot(x, y, linestyle="none", zorder=3, **look)
        _enlarged(artist, look["markersize"], canvas.preset)
    else:
        artist = None
    _errors(trace, x, y, line.get("color") or marker.get("color"), canvas)
    if "text" in mode:
        _texts(trace, x, y, canvas)
    if artist is not None:
        canvas.enter(_legend_mark(artist, canvas.preset), trace)


def _line(x: Any, y: Any, trace: Trace, number: int | None, canvas: Canvas) -> Any:
    line, marker = trace.get("line", {}), trace.get("marker", {})
    style: Any = NAMED_DASHES.get(line.get("dash", "solid"), "solid")
    look: dict[str, Any] = {}
    if "markers" in trace.get("mode", ""):
        look = _mark(marker or {"color": line.get("color")}, canvas)
    if number is not None:
        style = DASHES[number % len(DASHES)]
        mark = LINE_MARKERS[number % len(LINE_MARKERS)]
        look = {"marker": mark, "markersize": canvas.preset.mark * 0.9 * AS_LARGE.get(mark, 1.0), "markeredgewidth": 0}
        # A few marks on a long curve, each curve's in other places.
        look["markevery"] = 1 if len(x) <= 12 else (0.02 * number, 0.18)
    width = line.get("width", 2) / 2 * canvas.preset.line
    shape = {"hv": "steps-post", "vh": "steps-pre", "hvh": "steps-mid"}.get(line.get("shape", "linear"), "default")
    look = {"color": rgba(line.get("color"))} | look
    look["color"] = rgba(line.get("color")) or look["color"]
    (artist,) = canvas.axes.plot(x, y, linestyle=style, linewidth=width, drawstyle=shape, zorder=2.5, **look)
    return artist


def _mark(marker: Trace, canvas: Canvas) -> dict[str, Any]:
    preset, many = canvas.preset, canvas.points > MANY_POINTS
    symbol = str(marker.get("symbol", "circle"))
    name = symbol.removesuffix("-open")
    shrunk = max((MANY_POINTS / canvas.points) ** 0.3, SMALLEST) if many else 1.0
    mark = MARKERS[name.removesuffix("-dot")]
    size = np.ravel(marker.get("size", PIXELS))[0]
    # Symbols of lines alone take the colour of their line.
    drawn_line = re.search("thin|line", symbol) and not symbol.endswith("-open")
    colour = rgba(marker.get("line", {}).get("color") if drawn_line else marker.get("color"))
    look: dict[str, Any] = {
        "marker": mark, "markersize": float(size) / PIXELS * preset.mark * shrunk * 0.9 * AS_LARGE.get(mark, 1.0),
        "color": colour, "alpha": marker.get("opacity"), "markeredgewidth": preset.line * 0.8 * shrunk,
    }  # fmt: skip
    if symbol.endswith("-open") and not re.search("thin|line", symbol):
        look["markerfacecolor"] = "none"
    elif many and not symbol.endswith("-open"):
        look["markeredgewidth"] = 0.0
    elif not re.search("open|thin|line", symbol):
        # A rim in white: a mark on a bar of equal darkness is seen in grey too.
        look |= {"markeredgecolor": "white", "markeredgewidth": preset.line * 0.5}
    return look


def _coloured_points(x: Any, y: Any, marker: Trace, canvas: Canvas) -> Any:
    """Points whose colour is a value, with its bar."""
    values = np.asarray(marker["color"])
    if values.dtype.kind in "OUS":  # a colour for each
        look = _mark(marker | {"color": INK}, canvas)
        return canvas.axes.scatter(x, y, s=look["markersize"] ** 2, marker=look["marker"], c=[*map(rgba, values)])
    look = _mark(marker | {"color": INK}, canvas)
    points = canvas.axes.scatter(
        x, y, s=look["markersize"] ** 2, c=values, cmap=colour_map(marker.get("colorscale", "Viridis")),
        marker=look["marker"], alpha=marker.get("opacity"), linewidths=0.15, edgecolors=INK, zorder=3,
        vmin=marker.get("cmin"), vmax=marker.get("cmax"),
    )  # fmt: skip
    if marker.get("showscale") or marker.get("colorbar"):
        from dashboard.paper.cells import colour_bar

        colour_bar(points, marker.get("colorbar", {}), canvas)
    return points


def _legend_mark(artist: Any, preset: Preset) -> Any:
    """What stands in the legend: the same, in a size that can be seen."""
    from matplotlib.collections import PathCollection
    from matplotlib.lines import Line2D

    if isinstance(artist, PathCollection):
        cmap = artist.get_cmap()
        return Line2D([], [], linestyle="none", marker="o", color=cmap(0.6), markersize=preset.mark)
    if artist.get_linestyle() == "None":
        seen = Line2D([], [], linestyle="none")
        seen.update_from(artist)
        seen.set_markersize(max(preset.mark, min(artist.get_markersize(), preset.mark * 1.4)))
        if artist.get_marker() in ("x", "+"):
            seen.set_markeredgewidth(preset.line * 0.7)
        return seen
    return artist


def _band(trace: Trace, canvas: Canvas) -> None:
    x, y = canvas.numbers("x", trace["x"]), canvas.numbers("y", trace["y"])
    colour = rgba(trace.get("fillcolor") or trace.get("line", {}).get("color"))
    if trace["fill"] == "tozeroy":
        artist = canvas.axes.fill_between(x, y, 0, color=colour, linewidth=0, zorder=1.5)
    else:
        (artist,) = canvas.axes.fill(x, y, facecolor=colour, edgecolor="none", linewidth=0, zorder=1.5)
    canvas.enter(artist, trace)


def _bars(trace: Trace, bars: list[Trace], canvas: Canvas) -> None:
    """Bars, side by side or stacked as the page has them; each trace after the first has a hatch."""
    lying = trace.get("orientation") == "h"
    along, across = ("y", "x") if lying else ("x", "y")
    at, value = canvas.numbers(along, trace[along]), canvas.numbers(across, trace[across])
    number = next(i for i, other in enumerate(bars) if other is trace)
    mode = canvas.layout.get("barmode", "group")
    together = mode == "group" and any(_share_places(trace, other, along) for other in bars if other is not trace)
    room = 1 - canvas.layout.get("bargap", 0.2)
    width = room / len(bars) if together else room
    if together:
        at = at + (number - (len(bars) - 1) / 2) * width
    base = _base(trace, bars[:number], along, across, canvas) if mode in ("stack", "relative") else 0.0
    draw = canvas.axes.barh if lying else canvas.axes.bar
    colours = trace.get("marker", {}).get("color")
    colours = [rgba(each) for each in colours] if isinstance(colours, list | tuple) else rgba(colours)
    hatch = HATCHES[number % len(HATCHES)]
    artist = draw(
        at, value, width, base, color=colours, hatch=hatch, edgecolor="white" if hatch else "none", linewidth=0,
        zorder=2, alpha=trace.get("marker", {}).get("opacity") or trace.get("opacity"),
    )  # fmt: skip
    x, y = (value, at) if lying else (at, value)
    _errors(trace, x, y, INK, canvas)
    canvas.enter(artist, trace)


def _share_places(one: Trace, other: Trace, along: str) -> bool:
    return bool(set(np.ravel(one[along]).tolist()) & set(np.ravel(other[along]).tolist()))


def _base(trace: Trace, below: list[Trace], along: str, across: str, canvas: Canvas) -> NDArray[np.float64]:
    """Where each bar of a stack begins: on those of the traces before it."""
    sums: dict[float, float] = {}
    for other in below:
        for place, value in zip(canvas.numbers(along, other[along]), other[across], strict=True):
            sums[place] = sums.get(place, 0.0) + float(value)
    return np.array([sums.get(place, 0.0) for place in canvas.numbers(along, trace[along])])


def _errors(trace: Trace, x: Any, y: Any, colour: Any, canvas: Canvas) -> None:
    """Intervals as thin lines with caps."""
    for which in ("x", "y"):
        interval = trace.get(f"error_{which}") or {}
        if interval.get("array") is None or interval.get("visible") is False:
            continue
        up = np.asarray(interval["array"], dtype=np.float64)
        down = up if interval.get("arrayminus") is None else np.asarray(interval["arrayminus"], dtype=np.float64)
        look: dict[str, Any] = {f"{which}err": np.abs(np.stack([down, up]))}
        shade = INK if trace["type"] == "bar" else rgba(interval.get("color") or colour)
        canvas.axes.errorbar(
            x, y, **look, fmt="none", ecolor=shade, elinewidth=canvas.preset.line * 0.8,
            capsize=canvas.preset.mark * 0.5, capthick=canvas.preset.line * 0.8, zorder=2.8,
        )  # fmt: skip


def _texts(trace: Trace, x: Any, y: Any, canvas: Canvas) -> None:
    from dashboard.paper.draw import plain

    texts = trace.get("text")
    if texts is None:
        return
    for each, at, height in zip([texts] * len(x) if isinstance(texts, str) else texts, x, y, strict=True):
        canvas.axes.annotate(
            plain(str(each)), (at, height), xytext=(0, canvas.preset.mark), textcoords="offset points", ha="center",
            fontsize=canvas.preset.text * 0.8,
        )  # fmt: skip


def _enlarged(artist: Any, size: float, preset: Preset) -> None:
    """Ticks that stand for a value are drawn longer than a mark is wide."""
    if artist.get_marker() in ("|", "_"):
        artist.set_markersize(max(size, preset.mark))
        artist.set_markeredgewidth(preset.line * 1.2)
