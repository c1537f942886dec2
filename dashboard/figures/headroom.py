"""What better encoding alone would buy: beam search against greedy encoding, of every metric."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from dashboard.figures.reconstruction import error_bars, metric_name
from dashboard.figures.theme import BLUE, SKY, hover, laid_out

COLOURS = (SKY, BLUE)


def headroom_figure(table: pd.DataFrame) -> go.Figure:
    """Share of the greedy error that each beam takes off, by metric, with its interval."""
    table = table[table["gain_share"].notna()]
    figure = go.Figure()
    for number, (beam, part) in enumerate(table.groupby("beam")):
        shares = pd.DataFrame({"value": part["gain_share"]})
        shares = shares.assign(low=part["gain_low"] / part["greedy"], high=part["gain_high"] / part["greedy"])
        told = part[["greedy", "value"]].assign(unit=part["unit"].replace("1", ""), low=shares["low"])
        told = told.assign(high=shares["high"])
        figure.add_trace(
            go.Bar(
                x=shares["value"], y=part["metric"].map(short_name), orientation="h", name=f"beam of {beam}",
                marker_color=COLOURS[number % len(COLOURS)], customdata=told,
                error_x=error_bars(shares) if shares["low"].notna().all() else None,
                hovertemplate=hover(
                    f"%{{y}}, beam of {beam}: <b>%{{x:.2%}}</b> less error",
                    "%{customdata[0]:.4g} becomes %{customdata[1]:.4g} %{customdata[2]}",
                    "95 %: %{customdata[3]:.2%} to %{customdata[4]:.2%}",
                ),
            )
        )  # fmt: skip
    laid_out(figure, x="share of the error taken off", y="metric", height=360)
    figure.update_xaxes(tickformat=".0%")
    figure.update_yaxes(tickmode="linear", autorange="reversed")
    return figure


def short_name(metric: str) -> str:
    """What a metric is called under a bar."""
    return "latents" if metric == "latent_distortion" else metric_name(metric).removeprefix("joint ")
