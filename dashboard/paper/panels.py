"""The pairs of axes of a Plotly figure: one, or small charts in rows and columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

Layout = dict[str, Any]
NEAR = 0.01
"""Of the figure's height: a title that stands so near above a chart is its own."""


@dataclass(frozen=True, slots=True)
class Panel:
    """One chart: its place in the grid (from the top left), its traces and a layout that has its axes alone."""

    row: int
    column: int
    traces: list[dict[str, Any]]
    layout: Layout
    title: str | None


def panels_of(traces: Sequence[dict[str, Any]], layout: Layout) -> list[Panel]:
    """Sort ``traces`` by their axes. Raises NotImplementedError for axes that lie over others."""
    pairs = list(dict.fromkeys((trace.get("xaxis", "x"), trace.get("yaxis", "y")) for trace in traces))
    if pairs in ([], [("x", "y")]):
        return [Panel(0, 0, list(traces), layout, None)]
    places = {pair: _place(layout, *pair) for pair in pairs}
    lefts = sorted({x[0] for x, _ in places.values()})
    tops = sorted({y[1] for _, y in places.values()}, reverse=True)
    if len(set(places.values())) < len(pairs):
        raise NotImplementedError("a second pair of axes over the first has no drawing for print")
    notes = layout.get("annotations") or ()
    panels: list[Panel] = []
    for pair, (x, y) in places.items():
        own = [note for note in notes if _is_title(note, x, y[1])]
        panels.append(
            Panel(
                tops.index(y[1]), lefts.index(x[0]),
                [trace for trace in traces if (trace.get("xaxis", "x"), trace.get("yaxis", "y")) == pair],
                layout | {"xaxis": _axis(layout, pair[0]), "yaxis": _axis(layout, pair[1]), "annotations": ()},
                own[0]["text"] if own else None,
            )
        )  # fmt: skip
    return panels


def _place(layout: Layout, x: str, y: str) -> tuple[tuple[float, float], tuple[float, float]]:
    """The shares of the figure's width and height that a pair of axes takes."""
    (left, right), (bottom, top) = (tuple(_axis(layout, name).get("domain", (0.0, 1.0))) for name in (x, y))
    return (left, right), (bottom, top)


def _axis(layout: Layout, name: str) -> dict[str, Any]:
    return layout.get(f"{name[0]}axis{name[1:]}", {})


def _is_title(note: dict[str, Any], x: tuple[float, float], top: float) -> bool:
    return (
        (note.get("xref"), note.get("yref")) == ("paper", "paper")
        and x[0] <= note["x"] <= x[1]
        and 0 <= note["y"] - top < NEAR
    )
