"""Usage and error by group of clips: one row a group, with its interval, and a line for all clips together."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from dashboard.figures.clip_errors import unquantised_ticks
from dashboard.figures.reconstruction import axis_name, error_bars
from dashboard.figures.theme import BLUE, GREY, hover, laid_out

ROW_HEIGHT = 26


def group_usage_figure(rows: pd.DataFrame, overall: float) -> go.Figure:
    """Perplexity of each group in one layer, the largest on top, and the figure corrected for few tokens.

    ``rows`` of a ``group_usage`` table, of one layer; ``overall`` is the perplexity of all clips.
    """
    rows = rows.sort_values("perplexity").rename(
        columns={"perplexity": "value", "perplexity_low": "low", "perplexity_high": "high"}
    )
    told = rows[["clips", "tokens", "used", "only_here", "distance", "distance_chance"]].assign(
        interval=_interval(rows)
    )
    figure = go.Figure(
        [
            _marks(
                rows, told, "%{y}: perplexity <b>%{x:.4g}</b>", "95 %: %{customdata[6]}",
                "%{customdata[0]:,} clips, %{customdata[1]:,} tokens",
                "%{customdata[2]:,} codes used, %{customdata[3]:,} of them only here",
                "%{customdata[4]:.2f} from the others (%{customdata[5]:.2f} by chance)",
            ),
            go.Scatter(
                x=rows["perplexity_corrected"], y=rows["group"], mode="markers", name="corrected for few tokens",
                marker={"symbol": "diamond-open", "size": 10, "color": BLUE, "line": {"width": 2}},
                hovertemplate=hover("%{y}: corrected <b>%{x:.4g}</b>"),
            ),
        ]
    )  # fmt: skip
    return _finished(figure, rows, overall, "perplexity (codes)")


def group_error_figure(rows: pd.DataFrame, overall: float, canonical: bool = False) -> go.Figure:
    """Error of each group with all quantizers, the largest on top, and the unquantised error.

    ``rows`` of a reconstruction table, of one metric and depth: ``group``, ``value``, ``low``, ``high``, ``reference``,
    ``metric``, ``unit``; ``overall`` is the error of all clips.
    """
    rows = rows.sort_values("value")
    metric, unit = str(rows["metric"].iloc[0]), str(rows["unit"].iloc[0])
    shown = "" if unit == "1" else f" {unit}"
    told = pd.DataFrame({"interval": _interval(rows)})
    figure = go.Figure(_marks(rows, told, f"%{{y}}: <b>%{{x:.4g}}{shown}</b>", "95 %: %{customdata[0]}"))
    if rows["reference"].notna().any():
        figure.add_trace(unquantised_ticks(rows["reference"], rows["group"], shown))
    return _finished(figure, rows, overall, axis_name(metric, unit, canonical))


def _marks(rows: pd.DataFrame, told: pd.DataFrame, *lines: str) -> go.Scatter:
    return go.Scatter(
        x=rows["value"], y=rows["group"], mode="markers", name="clips of the group",
        marker={"size": 11, "color": BLUE}, error_x=error_bars(rows) if rows["low"].notna().any() else None,
        customdata=told, hovertemplate=hover(*lines),
    )  # fmt: skip


def _interval(rows: pd.DataFrame) -> list[str]:
    return [
        f"{low:.4g} to {high:.4g}" if low == low else "too few clips"
        for low, high in zip(rows["low"], rows["high"], strict=True)
    ]


def _finished(figure: go.Figure, rows: pd.DataFrame, overall: float, x: str) -> go.Figure:
    # A trace, not a shape: shapes have no entry in the legend.
    figure.add_trace(
        go.Scatter(
            x=[overall, overall], y=[rows["group"].iloc[0], rows["group"].iloc[-1]], mode="lines", name="all clips",
            line={"color": GREY, "dash": "dot", "width": 2}, hovertemplate=hover("all clips: <b>%{x:.4g}</b>"),
        )
    )  # fmt: skip
    laid_out(figure, x=x, y="group", height=130 + ROW_HEIGHT * len(rows))
    figure.update_yaxes(type="category", categoryorder="array", categoryarray=rows["group"].tolist(), dtick=1)
    figure.update_xaxes(rangemode="tozero")
    return figure
