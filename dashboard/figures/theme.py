"""What all figures share: colours that colour-blind readers can tell apart, one layout, wording of hover texts.

Nothing here sets a text or a background colour: the figure takes those of the page, in the light theme and the dark.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go

# Okabe and Ito (2008), without the black and the yellow, which vanish on one of the two backgrounds.
BLUE, ORANGE, GREEN, VERMILLION, SKY, PURPLE = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#56B4E9", "#CC79A7"
VIOLET, BROWN = "#9955FF", "#8A5022"
"""Two more, as far from the six as those are from each other, to colour-blind readers too."""

GREY = "#8A8F98"
"""Reference lines and secondary marks: readable on white and on black."""

LAYER_COLOURS = (BLUE, ORANGE, GREEN, VERMILLION, SKY, PURPLE, VIOLET, BROWN)
LAYER_DASHES = ("solid", "dash", "dot", "dashdot")

STATUS_COLOURS = {"used": BLUE, "rare": SKY, "duplicate": PURPLE, "unseen": VERMILLION}
"""Colour of a code's status, in the order in which they are stacked."""

USAGE_SCALE = "Cividis"
POINT_SCALE = ["#35608D", "#2A788E", "#21918C", "#22A884", "#44BF70", "#7AD151", "#BDDF26", "#FDE725"]
"""Viridis without its dark end, which points on a dark page would be lost in."""

MAX_FINE_DECADES = 4
"""Logarithmic axes over more decades than this have one tick a decade."""

CONFIG = {"displaylogo": False, "toImageButtonOptions": {"format": "svg"}}
"""Options of the chart's own toolbar: the camera saves a vector image."""

CLEAR = "rgba(0,0,0,0)"
TOOLBAR = {"bgcolor": CLEAR, "color": GREY, "activecolor": BLUE}
"""Colours of that toolbar: Plotly's own are a dark bar where the paper has no colour."""

TOOLBAR_ROOM = 28
"""Pixels at the top of a figure that the toolbar appears in, above the legend."""

LINE = 1.3
"""Height of a line of Plotly's texts, in sizes of its font."""

FEW_TICKS, MOST_EVEN = 2, 5
"""Under so many ticks within its limits a logarithmic axis has up to so many round numbers evenly apart instead."""


def layer_colour(layer: int) -> str:
    """Colour of a layer (1-based); they repeat after eight, told apart by ``layer_dash``."""
    return LAYER_COLOURS[(layer - 1) % len(LAYER_COLOURS)]


def layer_dash(layer: int) -> str:
    """Line style of a layer (1-based), another one after every eight."""
    return LAYER_DASHES[(layer - 1) // len(LAYER_COLOURS) % len(LAYER_DASHES)]


def laid_out(figure: go.Figure, *, x: str, y: str, height: int = 380, legend: bool = True) -> go.Figure:
    """Give ``figure`` the common layout, with the axis titles ``x`` and ``y`` (units in them)."""
    # A row without text above the entries, however many lines these take, is where the toolbar appears.
    spacer = {"text": "\N{NO-BREAK SPACE}", "side": "top", "font": {"size": TOOLBAR_ROOM / LINE}}
    figure.update_layout(
        height=height,
        margin={"l": 8, "r": 16, "t": 16 + TOOLBAR_ROOM if legend else TOOLBAR_ROOM, "b": 8},
        paper_bgcolor=CLEAR,
        plot_bgcolor=CLEAR,
        modebar=TOOLBAR,
        showlegend=legend,
        legend={"orientation": "h", "yanchor": "bottom", "y": 1.02, "xanchor": "left", "x": 0, "title": spacer},
        hoverlabel={"align": "left"},
        font={"size": 13},
        bargap=0.35,
    )
    # automargin: long tick labels widen the margin instead of being cut.
    figure.update_xaxes(title={"text": x, "standoff": 8}, automargin=True)
    figure.update_yaxes(title={"text": y, "standoff": 14}, automargin=True)
    return figure


def layer_axis(figure: go.Figure, layers: Sequence[int]) -> go.Figure:
    """Show every layer number on the x axis, and nothing between them."""
    # Room for four: the bar of a single layer would otherwise fill the figure.
    pad = max(0.6, (4 - len(layers)) / 2)
    figure.update_xaxes(tickmode="array", tickvals=list(layers), range=[min(layers) - pad, max(layers) + pad])
    return figure


def share_ticks(low: float, high: float) -> dict[str, list[Any]]:
    """Ticks, as percentages, of a logarithmic axis of shares between ``low`` and ``high``.

    1, 2 and 5 of each decade where they are few, else decades alone.
    """
    values = _decade_values(low, high)
    return {"tickvals": values, "ticktext": [f"{100 * value:g} %" for value in values]}


def number_ticks(low: float, high: float) -> dict[str, list[Any]]:
    """Ticks of a logarithmic axis between ``low`` and ``high``, written out: 0.05, not 5 under a distant 0.01."""
    values = _decade_values(low, high)
    return {"tickvals": values, "ticktext": [f"{value:g}" for value in values]}


def _decade_values(low: float, high: float) -> list[float]:
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    digits: Sequence[int] = (1, 2, 5) if len(decades) <= MAX_FINE_DECADES else (1,)
    values = [digit * 10.0**decade for decade in decades for digit in digits]
    if sum(low <= value <= high for value in values) < FEW_TICKS and low < high:
        return _even_values(low, high)
    return values


def _even_values(low: float, high: float) -> list[float]:
    """Two to five round numbers between ``low`` and ``high``, evenly apart."""
    decade = 10.0 ** math.floor(math.log10(high - low))
    step = next(step for step in (decade / 5, decade / 2, decade, 2 * decade) if (high - low) / step < MOST_EVEN)
    return [round(i * step, 12) for i in range(math.ceil(low / step), math.floor(high / step) + 1)]


def rank_ticks(size: int) -> dict[str, list[Any]]:
    """Ticks of a logarithmic axis from 1 to ``size``: 1, 2 and 5 of each decade, and ``size`` where there is room."""
    values = [digit * 10**decade for decade in range(len(str(size))) for digit in (1, 2, 5)]
    kept = [value for value in values if value * 1.25 <= size]
    return {"tickvals": [*kept, size], "ticktext": [f"{value:,}" for value in [*kept, size]]}


def hover(*lines: str) -> str:
    """Make a hover template of lines, without the box that repeats the trace's name."""
    return superscript("<br>".join(lines)) + "<extra></extra>"


def superscript(text: str) -> str:
    """Text with the unit of accelerations as it is printed; tables keep it as ``mm/s^2``."""
    return text.replace("mm/s^2", "mm/s\N{SUPERSCRIPT TWO}")


def translucent(colour: str, alpha: float) -> str:
    """Turn ``#rrggbb`` into ``rgba(...)``."""
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},{alpha})"
