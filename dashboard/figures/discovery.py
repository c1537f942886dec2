"""How many codes of each layer so many tokens show: within the data, and foreseen for twice as much."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from dashboard.figures.theme import GREY, hover, laid_out, layer_colour, rank_ticks, translucent

FORESEEN_DASH = "dot"


def discovery_figure(discovery: pd.DataFrame, codes: pd.DataFrame) -> go.Figure:
    """One curve a layer of the table ``discovery``, dotted beyond the data, with its 95 % band; a line at K.

    ``codes``: the table of layers, of which ``layer`` and ``codes`` are read.
    """
    figure = go.Figure()
    for key, curve in discovery.groupby("layer"):
        layer = int(str(key))
        if curve["low"].notna().all():
            figure.add_trace(_band(curve, layer))
        figure.add_trace(_curve(curve[~curve["extrapolated"]], layer, foreseen=False))
        # From the last point within the data on, so that the two meet.
        beyond = pd.concat([curve[~curve["extrapolated"]].tail(1), curve[curve["extrapolated"]]])
        figure.add_trace(_curve(beyond, layer, foreseen=True))
    for size in sorted(set(codes["codes"])):
        figure.add_hline(y=size, line={"color": GREY, "dash": "dash", "width": 1.5}, annotation_text=f"K = {size:,}")
    most = int(discovery["tokens"].max()) if len(discovery) else 1
    measured = int(discovery.loc[~discovery["extrapolated"], "tokens"].max()) if len(discovery) else 1
    figure.add_vline(x=measured, line={"color": GREY, "dash": "dot", "width": 1.5})
    laid_out(figure, x="tokens (vertical line: all of these; dotted curves: foreseen)", y="different codes", height=400)
    figure.update_xaxes({"type": "log"} | rank_ticks(most))
    figure.update_yaxes(rangemode="tozero")
    return figure


def _curve(curve: pd.DataFrame, layer: int, *, foreseen: bool) -> go.Scatter:
    return go.Scatter(
        x=curve["tokens"], y=curve["codes_expected"], mode="lines" if len(curve) > 1 else "markers",
        name=f"layer {layer}", legendgroup=f"layer {layer}", showlegend=not foreseen,
        line={"color": layer_colour(layer), "dash": FORESEEN_DASH if foreseen else "solid", "width": 2},
        customdata=curve[["low", "high"]],
        hovertemplate=hover(
            f"<b>layer {layer}</b>: %{{y:,.0f}} codes in %{{x:,}} tokens" + (", foreseen" if foreseen else ""),
            *(["%{customdata[0]:,.0f} to %{customdata[1]:,.0f} (95 %)"] if curve["low"].notna().all() else []),
        ),
    )  # fmt: skip


def _band(curve: pd.DataFrame, layer: int) -> go.Scatter:
    return go.Scatter(
        x=[*curve["tokens"], *curve["tokens"][::-1]], y=[*curve["high"], *curve["low"][::-1]], fill="toself",
        fillcolor=translucent(layer_colour(layer), 0.12), line={"width": 0}, hoverinfo="skip", showlegend=False,
        legendgroup=f"layer {layer}", mode="lines",
    )  # fmt: skip
