"""Checkpoints laid over each other: errors, perplexity, differences with their intervals, agreement of codes."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
import plotly.graph_objects as go

from dashboard.figures.reconstruction import axis_name
from dashboard.figures.theme import (
    CLEAR,
    GREY,
    POINT_SCALE,
    TOOLBAR,
    USAGE_SCALE,
    hover,
    laid_out,
    layer_axis,
    layer_colour,
    layer_dash,
)

AXES = {
    "n_active": "active quantizers (first n layers)",
    "nominal_bps": "nominal bits per second (log2 K a layer)",
    "effective_bps": "effective bits per second (entropy of each layer)",
}
"""What an error can stand against: columns of the table of curves."""

MOST_NAMED = 12
"""Checkpoints that have an axis of their names among the parallel coordinates."""


def overlaid_errors(
    curves: pd.DataFrame, against: str, canonical: bool = False, numbers: Mapping[str, int] | None = None
) -> go.Figure:
    """Error of one metric, a line a checkpoint with its 95 % interval, against a column of AXES.

    ``numbers`` (1, 2, ...) choose the lines' colours by name, where they should not follow from their order.
    """
    figure = go.Figure()
    metric, unit = str(curves["metric"].iloc[0]), str(curves["unit"].iloc[0])
    shown = "" if unit == "1" else f" {unit}"
    for place, (name, rows) in enumerate(curves.groupby("checkpoint", sort=False), start=1):
        number = place if numbers is None else numbers[str(name)]
        rows = rows.sort_values("n_active")
        figure.add_trace(
            go.Scatter(
                x=rows[against], y=rows["value"], error_y=_bars(rows), mode="lines+markers", name=str(name),
                line={"color": layer_colour(number), "dash": layer_dash(number), "width": 2.5}, marker={"size": 7},
                customdata=rows[["n_active", "low", "high"]],
                hovertemplate=hover(
                    f"<b>{name}</b>, first %{{customdata[0]}} quantizers: <b>%{{y:.4g}}{shown}</b>",
                    "alone, with other clips: %{customdata[1]:.4g} to %{customdata[2]:.4g} (95 %)",
                ),
            )
        )  # fmt: skip
    laid_out(figure, x=AXES[against], y=axis_name(metric, unit, canonical), height=420)
    figure.update_yaxes(rangemode="tozero")
    return layer_axis(figure, sorted(set(curves["n_active"]))) if against == "n_active" else figure


def overlaid_perplexity(usage: pd.DataFrame) -> go.Figure:
    """Perplexity of each layer, a line a checkpoint with its 95 % interval."""
    figure = go.Figure()
    for number, (name, rows) in enumerate(usage.groupby("checkpoint", sort=False), start=1):
        figure.add_trace(
            go.Scatter(
                x=rows["layer"], y=rows["perplexity"], error_y=_bars(rows.rename(columns={"perplexity": "value"})),
                mode="lines+markers", name=str(name), marker={"size": 7}, customdata=rows[["codes", "tokens"]],
                line={"color": layer_colour(number), "dash": layer_dash(number), "width": 2.5},
                hovertemplate=hover(
                    f"<b>{name}</b>, layer %{{x}}: perplexity <b>%{{y:.1f}}</b>",
                    "of %{customdata[0]:,} codes, on %{customdata[1]:,} tokens",
                ),
            )
        )  # fmt: skip
    laid_out(figure, x="layer", y="perplexity (codes)", height=420)
    figure.update_yaxes(rangemode="tozero")
    return layer_axis(figure, sorted(set(usage["layer"])))


def differences(rows: pd.DataFrame, baseline: str, canonical: bool = False) -> go.Figure:
    """Difference of one metric to the baseline, a point a checkpoint with its paired interval; 0 is no difference."""
    metric, unit = str(rows["metric"].iloc[0]), str(rows["unit"].iloc[0])
    rows = rows.sort_values("delta", ascending=False)
    shown = "" if unit == "1" else f" {unit}"
    figure = go.Figure(
        go.Scatter(
            x=rows["delta"], y=rows["checkpoint"], mode="markers", marker={"size": 10, "color": layer_colour(1)},
            error_x=_bars(rows.rename(columns={"value": "_", "delta": "value"})),
            customdata=rows[["words", "low", "high", "value", "baseline"]],
            hovertemplate=hover(
                "<b>%{y}</b>: %{customdata[0]}",
                f"%{{x:+.4g}}{shown} (%{{customdata[1]:+.3g}} to %{{customdata[2]:+.3g}})",
                f"%{{customdata[3]:.4g}}{shown} against %{{customdata[4]:.4g}}{shown}",
            ),
        )
    )  # fmt: skip
    figure.add_vline(x=0, line={"color": GREY, "dash": "dash", "width": 2})
    title = f"{axis_name(metric, unit, canonical)} less that of {baseline}"
    laid_out(figure, x=title, y="checkpoint", height=max(180, 110 + 28 * len(rows)), legend=False)
    figure.update_yaxes(type="category")
    return figure


def agreement_image(matching: pd.DataFrame, name: str, baseline: str) -> go.Figure:
    """Adjusted mutual information of every layer of one checkpoint with every one of the baseline."""
    table = matching.pivot(index="layer", columns="baseline_layer", values="ami")
    figure = go.Figure(
        go.Heatmap(
            x=table.columns, y=table.index, z=table.to_numpy(), zmin=0, zmax=1, colorscale=USAGE_SCALE,
            texttemplate="%{z:.2f}", xgap=2, ygap=2,
            colorbar={"title": {"text": "AMI"}},
            hovertemplate=hover(
                f"layer %{{y}} of {name}, layer %{{x}} of {baseline}", "adjusted mutual information <b>%{z:.3f}</b>"
            ),
        )
    )  # fmt: skip
    laid_out(figure, x=f"layer of {baseline}", y=f"layer of {name}", height=400, legend=False)
    figure.update_xaxes(tickmode="array", tickvals=list(table.columns))
    figure.update_yaxes(tickmode="array", tickvals=list(table.index), autorange="reversed")
    return figure


def matching_image(cells: pd.DataFrame, name: str, baseline: str) -> go.Figure:
    """Moments that codes of one layer share, the matched pairs with the most of them along the diagonal.

    ``cells`` of a ``shared_moments`` table: ``code``, ``baseline_code``, ``tokens``, ``share`` (of the code's tokens)
    and ``matched``.
    """
    pairs = cells[cells["matched"]].sort_values("tokens", ascending=False, kind="stable")
    rows, columns = pairs["code"].tolist(), pairs["baseline_code"].tolist()
    shown, shares = (
        cells.pivot(index="code", columns="baseline_code", values=value).reindex(index=rows, columns=columns).fillna(0)
        for value in ("tokens", "share")
    )
    share = shares.to_numpy()
    figure = go.Figure(
        go.Heatmap(
            x=[str(code) for code in columns], y=[str(code) for code in rows], z=share, zmin=0, zmax=1,
            colorscale=USAGE_SCALE, customdata=shown.to_numpy(), colorbar={"title": {"text": "share"}},
            hovertemplate=hover(
                f"code %{{y}} of {name}, code %{{x}} of {baseline}",
                "<b>%{customdata:,}</b> tokens at the same moments, %{z:.0%} of the first",
            ),
        )
    )  # fmt: skip
    laid_out(figure, x=f"code of {baseline}", y=f"code of {name}", height=520, legend=False)
    figure.update_xaxes(type="category", nticks=20)
    figure.update_yaxes(type="category", nticks=20, autorange="reversed")
    return figure


def parallel_coordinates(table: pd.DataFrame) -> go.Figure:
    """One line a row over the columns of ``table``: numbers as they are, words as categories; the last one colours.

    Each line begins at the name of its ``checkpoint``, as far as so many names can be read.
    """
    if len(table) > MOST_NAMED:
        table = table.drop(columns="checkpoint", errors="ignore")
    dimensions: list[dict[str, object]] = []
    for column in table:
        values = table[column]
        if pd.api.types.is_numeric_dtype(values):
            dimensions.append({"label": column, "values": values.astype(float)})
        else:
            codes, names = pd.factorize(values.astype(str), sort=True)
            dimensions.append(
                {"label": column, "values": codes, "tickvals": list(range(len(names))), "ticktext": list(names)}
            )
    line = {"color": dimensions[-1]["values"], "colorscale": POINT_SCALE, "showscale": False}
    figure = go.Figure(go.Parcoords(dimensions=dimensions, line=line, labelangle=-12))
    names = dimensions[0].get("ticktext")
    longest = max(map(len, names)) if isinstance(names, list) else 0
    figure.update_layout(
        height=420,
        margin={"l": max(70, 8 * longest), "r": 70, "t": 80, "b": 24},
        font={"size": 13},
        paper_bgcolor=CLEAR,
        modebar=TOOLBAR,
    )
    return figure


def _bars(rows: pd.DataFrame) -> dict[str, object] | None:
    """Error bars from ``low`` and ``high`` around ``value``; None where there are none."""
    if rows["low"].isna().all():
        return None
    return {
        "type": "data", "symmetric": False, "array": rows["high"] - rows["value"],
        "arrayminus": rows["value"] - rows["low"], "thickness": 1.5, "width": 3,
    }  # fmt: skip
