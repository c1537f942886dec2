"""How many codes of each layer are used, rare, duplicate or unseen."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from dashboard.figures.theme import STATUS_COLOURS, hover, laid_out, layer_axis

MEANINGS = {
    "used": "seen, and neither rare nor a duplicate",
    "rare": "seen, but less than a tenth as often as if all codes were used equally",
    "duplicate": "lies on top of another code: one of the two is wasted",
    "unseen": "not chosen once by these tokens",
}


def status_table(codes: pd.DataFrame) -> pd.DataFrame:
    """Number of codes by layer (rows) and status (columns, all four)."""
    table = pd.crosstab(codes["layer"], codes["status"])
    return table.reindex(columns=list(STATUS_COLOURS), fill_value=0)


def status_figure(codes: pd.DataFrame) -> go.Figure:
    """Stacked bars, one per layer; each code counts once."""
    return status_bars(status_table(codes))


def status_bars(table: pd.DataFrame) -> go.Figure:
    """Stacked bars of numbers by layer (rows) and status (columns)."""
    totals = table.sum(axis=1)
    figure = go.Figure()
    for status, colour in STATUS_COLOURS.items():
        if table[status].any() or status in ("used", "unseen"):
            figure.add_trace(
                go.Bar(
                    x=table.index,
                    y=table[status],
                    name=status,
                    marker_color=colour,
                    customdata=table[status] / totals,
                    hovertemplate=hover(
                        f"layer %{{x}}: <b>%{{y:,}} {status}</b> (%{{customdata:.1%}})", MEANINGS[status]
                    ),
                )
            )
    figure.update_layout(barmode="stack")
    laid_out(figure, x="layer", y="codes")
    return layer_axis(figure, [int(layer) for layer in table.index])
