"""From a Plotly figure to a Matplotlib one: axes, legend and title; the traces are drawn by ``traces``."""

from __future__ import annotations

import math
import re
import textwrap
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any, cast

import plotly.graph_objects as go
from plotly.basedatatypes import BasePlotlyType

from dashboard.paper.panels import Panel, panels_of
from dashboard.paper.parallel import draw_parallel, in_lines
from dashboard.paper.style import INK, MM, NAMED_DASHES, Preset
from dashboard.paper.ticks import labelled, thin_out

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.legend import Legend
    from matplotlib.text import Text
    from matplotlib.transforms import Bbox

    from dashboard.paper.traces import Canvas

CROWD, APART = 8, 1.15
"""From so many names below each other on they are made smaller until they stand so many of their heights apart."""

SMALLEST, READABLE = 0.6, 5.0
"""Names are not made smaller than this share of their size, nor than so many points; without room some are left out."""

BESIDE = 0.5
"""Of their height, between names beside each other."""

WIDEST, TITLE = 0.96, 1.1
"""Share of the figure's width that what stands above it may take; size of its title, of that of text."""

PAGE_HEIGHT = 400
"""Pixels of the page's usual figure: one that is twice as high there is twice as high on paper."""


def draw(figure: go.Figure, preset: Preset, title: str | None = None) -> Figure:
    """Draw the traces of ``figure`` at the size of ``preset``; call it within ``style.drawing``.

    Raises NotImplementedError for a kind of trace, or axes over others, that have no drawing here.
    """
    from matplotlib.figure import Figure

    layout: dict[str, Any] = figure.layout.to_plotly_json()
    panels = panels_of(traces_of(figure), layout)
    names = len(panels) == 1 and _places(panels[0], "y") is not None
    drawn = Figure(figsize=(preset.width * MM, _height(layout, preset, names=names) * MM), layout="constrained")
    grid = drawn.add_gridspec(max(each.row for each in panels) + 1, max(each.column for each in panels) + 1)
    entries: list[tuple[Any, str]] = []
    every = [
        _draw_panel(drawn.add_subplot(grid[panel.row, panel.column]), panel, preset, entries) for panel in panels
    ]  # fmt: skip
    above = None if title is None else _in_lines(drawn, title, preset)
    if layout.get("showlegend", True) and entries:
        _make_room(drawn, _legend(drawn, entries, above), preset)
    elif above is not None:
        drawn.suptitle(above, x=0.01, ha="left", fontsize=preset.text * TITLE)
    _settle(drawn, every)
    return drawn


def _draw_panel(axes: Axes, panel: Panel, preset: Preset, entries: list[tuple[Any, str]]) -> Axes:
    """One chart with its axes, and its title where it is one of several."""
    from dashboard.paper.traces import Canvas, draw_traces

    layout = panel.layout
    if panel.traces and panel.traces[0]["type"] == "parcoords":  # brings axes of its own
        draw_parallel(axes, panel.traces[0], preset)
        return axes
    points = sum(len(trace["x"]) for trace in panel.traces if "markers" in trace.get("mode", ""))
    canvas = Canvas(axes, preset, layout, _places(panel, "x"), _places(panel, "y"), points, entries)
    draw_traces(panel.traces, canvas)
    # Before the axes: lines across the figure widen them, as on the page.
    _shapes(axes, layout, preset)
    for which in ("x", "y"):
        _axis(axes, layout.get(f"{which}axis", {}), which, canvas, lying=canvas.y_places is not None)
    if layout.get("yaxis", {}).get("scaleanchor"):
        fixed = all(layout.get(f"{which}axis", {}).get("range") is not None for which in ("x", "y"))
        axes.set_aspect("equal", adjustable="box" if fixed else "datalim")
    if panel.title:
        axes.set_title(plain(panel.title), fontsize=preset.text)
    return axes


def traces_of(figure: go.Figure) -> list[dict[str, Any]]:
    """The traces that are shown, with arrays as they were given."""
    traces = [trace.to_plotly_json() for trace in cast(tuple[BasePlotlyType, ...], figure.data)]
    return [trace for trace in traces if trace.get("visible") is not False]


def plain(text: str | None) -> str:
    """Text without Plotly's markup.

    >>> plain("times the<br>uniform <b>share</b><br> ")
    'times the uniform share'
    """
    return " ".join(re.sub(r"<[^>]*>", " ", text or "").split())


def _height(layout: dict[str, Any], preset: Preset, *, names: bool) -> float:
    """Height in mm; a figure of a few ``names`` below each other may be low."""
    if preset.fixed:
        return preset.height
    flat = layout.get("height", PAGE_HEIGHT) < PAGE_HEIGHT
    if layout.get("yaxis", {}).get("scaleanchor") and not flat:  # a map: about as high as wide
        return min(preset.width, preset.height * 1.45)
    lowest = 0.55 if names or flat else 0.85
    return min(preset.height * max(layout.get("height", PAGE_HEIGHT) / PAGE_HEIGHT, lowest), preset.tallest)


def _places(panel: Panel, which: str) -> list[Any] | None:
    """The names along an axis of categories, in its order; None along an axis of numbers."""
    axis = panel.layout.get(f"{which}axis", {})
    if axis.get("categoryarray") is not None:
        return list(axis["categoryarray"])
    values = [value for trace in panel.traces for value in _values(trace.get(which))]
    if axis.get("type") == "category" or any(isinstance(value, str) for value in values):
        return list(dict.fromkeys(values))
    return None


def _values(values: Any) -> list[Any]:
    return [] if values is None else list(values)


def _axis(axes: Axes, axis: dict[str, Any], which: str, canvas: Canvas, *, lying: bool) -> None:
    """One axis; where names stand along y (``lying``) the numbers, and their grid, are those of x."""
    from matplotlib.ticker import MaxNLocator

    places = canvas.places(which)
    scale, mine = getattr(axes, f"set_{which}scale"), getattr(axes, f"{which}axis")
    logarithmic = axis.get("type") == "log"
    if logarithmic:
        scale("log")
    else:
        mine.set_major_locator(MaxNLocator(nbins="auto", steps=[1, 2, 2.5, 5, 10]))
    mine.set_major_formatter(_number_format(axis.get("tickformat")))
    _ticks(axes, axis, which, places)
    if places is not None and axis.get("range") is None:
        # Half a place beyond the first and the last name: a mark stands on no edge.
        low, high = getattr(axes, f"get_{which}lim")()
        getattr(axes, f"set_{which}lim")(min(low, -0.5), max(high, len(places) - 0.5))
    _limits(axes, axis, which, logarithmic=logarithmic)
    getattr(axes, f"set_{which}label")(plain(axis.get("title", {}).get("text")))
    if axis.get("showgrid", True) and places is None and which == ("x" if lying else "y"):
        mine.grid(visible=True)
    if places is not None and len(places) > 1 and which == "y" and not canvas.preset.fixed:
        mine.set_tick_params(length=0)


def _ticks(axes: Axes, axis: dict[str, Any], which: str, places: list[Any] | None) -> None:
    from matplotlib.ticker import NullFormatter, NullLocator

    mine = getattr(axes, f"{which}axis")
    mine.set_minor_locator(NullLocator())
    mine.set_minor_formatter(NullFormatter())
    values = axis.get("tickvals")
    if values is not None:
        labels = axis.get("ticktext")
        labels = [_shown(value) for value in values] if labels is None else [plain(str(label)) for label in labels]
        mine.set_ticks(_numbers(values, places), labels)
    elif places is not None:
        mine.set_ticks(range(len(places)), [plain(str(place)) for place in places])


def _numbers(values: Any, places: list[Any] | None) -> list[float]:
    return [float(value) if places is None else float(places.index(value)) for value in values]


def _limits(axes: Axes, axis: dict[str, Any], which: str, *, logarithmic: bool) -> None:
    get, put = getattr(axes, f"get_{which}lim"), getattr(axes, f"set_{which}lim")
    limits = axis.get("range")
    if limits is not None:
        low, high = (10.0**limit if logarithmic else limit for limit in limits)
        put(low, high)
    elif axis.get("rangemode") == "tozero" and not logarithmic:
        (low, high), data = get(), axes.dataLim
        first, last = (data.x0, data.x1) if which == "x" else (data.y0, data.y1)
        put(0.0 if first >= 0 else low, 0.0 if last <= 0 else high)
    elif logarithmic and axis.get("tickvals") is not None:
        # Ticks beyond the data would widen the axis.
        data = axes.dataLim
        low, high = (data.x0, data.x1) if which == "x" else (data.y0, data.y1)
        if 0 < low < high:
            put(low / (high / low) ** 0.03, high * (high / low) ** 0.03)
    if axis.get("autorange") == "reversed":
        low, high = sorted(get())
        put(high, low)


def _number_format(form: str | None) -> Any:
    from matplotlib.ticker import FuncFormatter

    if form and form.endswith("%"):
        digits = int(re.sub(r"\D", "", form) or 0)
        return FuncFormatter(lambda value, _: f"{100 * value:.{digits}f} %")
    return FuncFormatter(lambda value, _: _shown(value))


def _shown(value: Any) -> str:
    """A number on an axis, with a thousands separator and a true minus."""
    return f"{float(value):,.10g}".replace("-", "\N{MINUS SIGN}") if isinstance(value, int | float) else str(value)


def _shapes(axes: Axes, layout: dict[str, Any], preset: Preset) -> None:
    """Straight lines across the figure, and the words beside them."""
    for shape in layout.get("shapes") or ():
        line = shape.get("line", {})
        look: dict[str, Any] = {
            "color": line.get("color", INK), "linewidth": preset.line * 0.8,
            "linestyle": NAMED_DASHES.get(line.get("dash", "solid"), "solid"), "zorder": 1.5,
        }  # fmt: skip
        if shape.get("type") != "line":
            raise NotImplementedError(f"a shape of type {shape.get('type')} has no drawing for print")
        if shape["y0"] == shape["y1"]:
            axes.axhline(shape["y0"], **look)
        elif shape["x0"] == shape["x1"]:
            axes.axvline(shape["x0"], **look)
        else:
            axes.plot([shape["x0"], shape["x1"]], [shape["y0"], shape["y1"]], **look)
    for note in layout.get("annotations") or ():
        frames = {"x": axes.get_xaxis_transform(), "paper": axes.transAxes}
        place = frames["x"] if "paper" not in str(note.get("xref", "x")) else frames["paper"]
        if str(note.get("yref", "y")) == "y":
            place = axes.transData if str(note.get("xref", "x")) == "x" else axes.get_yaxis_transform()
        axes.text(
            note["x"], note["y"], plain(note.get("text")), transform=place, fontsize=preset.text * 0.85,
            ha={"auto": "center"}.get(note.get("xanchor", "center"), note.get("xanchor", "center")),
            va={"auto": "center", "middle": "center"}.get(note.get("yanchor", "bottom"), note.get("yanchor", "bottom")),
        )  # fmt: skip


def _settle(drawn: Figure, every: Sequence[Axes]) -> None:
    """Find the places of all parts, once, and mend what has too little room there."""
    _laid_out(drawn)
    mended = [mend(axes) for axes in every for mend in (_wrapped, _shrunk, _narrowed)]
    if any(mended):
        _laid_out(drawn)
    # Finding the places again for each format would take as long each time.
    drawn.set_layout_engine("none")
    for axes in every:
        thin_out(axes)


def _laid_out(drawn: Figure) -> None:
    """Find the places of all parts, without drawing any."""
    engine = drawn.get_layout_engine()
    assert engine is not None
    engine.execute(drawn)


def _wrapped(axes: Axes) -> bool:
    """Break the titles of axes that are longer than their axis; whether there was one."""
    changed = False
    for label, room in ((axes.xaxis.label, axes.bbox.width), (axes.yaxis.label, axes.bbox.height)):
        box = label.get_window_extent()
        length = box.width if label is axes.xaxis.label else box.height
        text = label.get_text()
        if length > room and " " in text:
            count = math.ceil(length / room)
            label.set_text(in_lines(text, math.ceil(len(text) / count) + 5))
            changed = True
    return changed


def _shrunk(axes: Axes) -> bool:
    """Make names below each other smaller where they have too little room; whether they had."""
    labels = [label for _, label in labelled(axes, "y")]
    if len(labels) < CROWD:
        return False
    return _resized(labels, axes.bbox.height / len(labels) / APART / max(_extent(label).height for label in labels))


def _narrowed(axes: Axes) -> bool:
    """The same with words beside each other; numbers are thinned out instead."""
    labels = [label for _, label in labelled(axes, "x")]
    if not any(re.search(r"[A-Za-z]", label.get_text()) for label in labels):
        return False
    boxes = [_extent(label) for label in labels]
    steps = [(a.x0 + a.x1 - b.x0 - b.x1) / 2 for a, b in pairwise(boxes)]
    needed = [(a.width + b.width) / 2 + BESIDE * a.height for a, b in pairwise(boxes)]
    return _resized(labels, min((abs(step) / room for step, room in zip(steps, needed, strict=True)), default=1.0))


def _resized(labels: Sequence[Text], share: float) -> bool:
    """Make labels as small as this share of their size, as far as they can be read; whether they had to be."""
    if share >= 1:
        return False
    for label in labels:
        size = float(label.get_fontsize())
        label.set_fontsize(max(size * max(share, SMALLEST), min(size, READABLE)))
    return True


def _extent(label: Text) -> Bbox:
    return label.get_window_extent()


def _in_lines(drawn: Figure, title: str, preset: Preset) -> str:
    """The title, broken where it is wider than the figure."""
    probe = drawn.text(0, 0, title, fontsize=preset.text * TITLE)
    share = probe.get_window_extent().width / (WIDEST * drawn.bbox.width)
    probe.remove()
    return title if share <= 1 else textwrap.fill(title, int(len(title) / share))


def _legend(drawn: Figure, entries: list[tuple[Any, str]], title: str | None) -> Legend:
    """Above the axes, in as many columns as fit, below the title."""
    handles, labels = [handle for handle, _ in entries], [plain(label) for _, label in entries]

    def made(columns: int) -> Legend:
        return drawn.legend(handles, labels, loc="outside upper left", ncols=columns, title=title, alignment="left")

    for columns in _columns(len(labels))[:-1]:
        legend = made(columns)
        if legend.get_window_extent().width <= WIDEST * drawn.bbox.width:
            return legend
        legend.remove()
    return made(1)


def _make_room(drawn: Figure, legend: Legend, preset: Preset) -> None:
    """Make the figure higher where its legend would take more than a quarter of it."""
    lacking = legend.get_window_extent().height - drawn.bbox.height / 4
    if lacking > 0 and not preset.fixed:
        tallest = max(preset.tallest * MM, drawn.get_figheight())
        drawn.set_figheight(min(drawn.get_figheight() + lacking / drawn.dpi, tallest))


def _columns(entries: int) -> list[int]:
    """Numbers of columns to try, the most first: of those that need as many rows the fewest, so that rows are even.

    >>> _columns(7)
    [4, 3, 2, 1]
    """
    rows = [-(-entries // columns) for columns in range(1, min(entries, 6) + 1)]
    return sorted({-(-entries // row) for row in rows}, reverse=True)
