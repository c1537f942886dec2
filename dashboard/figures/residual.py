"""Residual energy: the part of the latents' variance that is left after each layer."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from dashboard.figures.theme import BLUE, GREY, VERMILLION, hover, laid_out, layer_axis


def residual_figure(layers: pd.DataFrame) -> go.Figure:
    """Share of the variance left after 0, 1, .. Q layers beside an ideal code's; a layer that adds to it is flagged."""
    known = layers.dropna(subset=["residual_energy"]).sort_values("layer")
    x, y = [0, *known["layer"].tolist()], [1.0, *known["residual_energy"].tolist()]
    rising = [i for i in range(1, len(y)) if y[i] > y[i - 1]]
    figure = go.Figure(
        go.Scatter(
            x=x, y=y, mode="lines+markers", name="left after the layer", line={"color": BLUE, "width": 2.5},
            marker={"size": 8}, hovertemplate=hover("after layer %{x}: <b>%{y:.2%}</b> of the variance is left"),
        )
    )  # fmt: skip
    ideal = known.dropna(subset=["gaussian_energy"]) if "gaussian_energy" in known else known[:0]
    if len(ideal):
        figure.add_trace(
            go.Scatter(
                x=[0, *ideal["layer"]], y=[1.0, *ideal["gaussian_energy"]], mode="lines+markers",
                name="ideal code of these bits, Gaussian latents", line={"color": GREY, "width": 2, "dash": "dash"},
                marker={"size": 6, "symbol": "diamond"},
                hovertemplate=hover("an ideal code of the bits of %{x} layers leaves <b>%{y:.2%}</b>"),
            )
        )  # fmt: skip
    if rising:
        figure.add_trace(
            go.Scatter(
                x=[x[i] for i in rising], y=[y[i] for i in rising], mode="markers", name="more left than before",
                marker={"symbol": "triangle-up", "size": 15, "color": VERMILLION},
                hovertemplate=hover("layer %{x} adds to the residual"),
            )
        )  # fmt: skip
    laid_out(
        figure, x="layers applied", y="variance of the latents left", height=360, legend=bool(rising) or len(ideal) > 0
    )
    figure.update_yaxes(rangemode="tozero", tickformat=".0%")
    return layer_axis(figure, x)
