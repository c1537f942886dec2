"""Error against bits: what the codes cost, by each way of counting, and what is left of the error."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from dashboard.figures.reconstruction import axis_name
from dashboard.figures.theme import BLUE, GREEN, GREY, ORANGE, hover, laid_out

WAYS = {
    "nominal": (BLUE, "solid"),
    "effective": (ORANGE, "dash"),
    "conditional": (GREEN, "dot"),
}
"""Ways of counting bits, with colour and line."""


def rate_distortion_figure(rows: pd.DataFrame, reference: float | None = None, canonical: bool = False) -> go.Figure:
    """One metric's error against bits a second (a latent, where the time is unknown): a line for each way to count.

    ``reference``: the error without quantization.
    """
    rows = rows.sort_values("n_active")
    metric, unit = str(rows["metric"].iloc[0]), str(rows["unit"].iloc[0])
    by_second = rows["nominal_bps"].notna().all()
    suffix, per = ("bps", "bits a second") if by_second else ("bits", "bits a latent")
    shown = "" if unit == "1" else f" {unit}"
    figure = go.Figure()
    for way, (colour, dash) in WAYS.items():
        figure.add_trace(
            go.Scatter(
                x=rows[f"{way}_{suffix}"], y=rows["value"], mode="lines+markers", name=f"{way} bits",
                line={"color": colour, "dash": dash, "width": 2.5}, marker={"size": 7}, customdata=rows["n_active"],
                hovertemplate=hover(
                    f"%{{customdata}} quantizers: <b>%{{y:.4g}}{shown}</b>", f"at %{{x:.4g}} {per}, {way}"
                ),
            )
        )  # fmt: skip
    if reference is not None:
        figure.add_trace(
            go.Scatter(
                x=[0, rows[f"nominal_{suffix}"].max()], y=[reference] * 2, mode="lines", name="without quantization",
                line={"color": GREY, "dash": "dash", "width": 1.5}, hoverinfo="skip",
            )
        )  # fmt: skip
    laid_out(figure, x=per, y=axis_name(metric, unit, canonical), height=400)
    figure.update_yaxes(rangemode="tozero")
    return figure
