"""Where on the body the error is: one bar a joint, with all quantizers and without quantization."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from dashboard.figures.reconstruction import axis_name, error_bars
from dashboard.figures.theme import BLUE, GREY, hover, laid_out

ROW_HEIGHT = 20


def joint_figure(rows: pd.DataFrame, canonical: bool = False) -> go.Figure:
    """Error of one metric by joint at full depth, the largest on top, with intervals and the unquantised error.

    ``rows`` of a reconstruction table: ``joint``, ``value``, ``low``, ``high``, ``reference``, ``metric``, ``unit``.
    """
    rows = rows.sort_values("value")
    metric, unit = str(rows["metric"].iloc[0]), str(rows["unit"].iloc[0])
    names = rows["joint"].str.replace("_", " ")
    figure = go.Figure(
        go.Bar(
            x=rows["value"], y=names, orientation="h", name="all quantizers", marker_color=BLUE,
            error_x=error_bars(rows) if rows["low"].notna().all() else None, customdata=rows[["low", "high"]],
            hovertemplate=hover(
                f"%{{y}}: <b>%{{x:.4g}} {unit}</b>", "95 %: %{customdata[0]:.4g} to %{customdata[1]:.4g}"
            ),
        )
    )  # fmt: skip
    if rows["reference"].notna().any():
        figure.add_trace(
            go.Scatter(
                x=rows["reference"], y=names, mode="markers", name="without quantization",
                marker={"symbol": "line-ns", "size": 12, "line": {"width": 2.5, "color": GREY}},
                hovertemplate=hover(f"%{{y}} without quantization: <b>%{{x:.4g}} {unit}</b>"),
            )
        )  # fmt: skip
    laid_out(figure, x=axis_name(metric, unit, canonical), y="joint", height=120 + ROW_HEIGHT * len(rows))
    figure.update_yaxes(tickmode="linear")
    return figure
