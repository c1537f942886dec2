"""What each further quantizer buys: the error with the first n of them, and the step from one n to the next."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from dashboard.figures.theme import BLUE, GREY, VERMILLION, hover, laid_out, layer_axis, superscript, translucent

METRIC_NAMES = {
    "feature_mse": "feature MSE",
    "mpjpe": "MPJPE, body",
    "mpjpe_hands": "MPJPE, hands",
    "velocity_error": "joint velocity error",
    "acceleration_error": "joint acceleration error",
    "rotation_error": "joint rotation error",
    "foot_skating": "foot skating",
    "foot_skating_original": "foot skating of the original",
}
"""What a metric is called on an axis, where that is not its own name."""


def metric_name(metric: str, canonical: bool = False) -> str:
    """What a metric is called; ``canonical``: joints were posed on the canonical skeleton, which its name must tell."""
    name = METRIC_NAMES.get(metric, metric.replace("_", " "))
    return f"canonical-skeleton {name}" if canonical and metric.startswith("mpjpe") else name


def axis_name(metric: str, unit: str, canonical: bool = False) -> str:
    """Metric with its unit, as an axis title; normalised features have none."""
    name = metric_name(metric, canonical)
    return f"{name} (normalised features)" if unit == "1" else f"{name} ({superscript(unit)})"


def error_figure(rows: pd.DataFrame, canonical: bool = False) -> go.Figure:
    """Error against the number of active quantizers for one metric: line, 95 % band, unquantised reference."""
    rows = rows.sort_values("n_active")
    metric, unit = str(rows["metric"].iloc[0]), str(rows["unit"].iloc[0])
    shown = "" if unit == "1" else f" {unit}"
    figure = go.Figure([*_band(rows), _line(rows, shown), *_worse(rows, shown)])
    if rows["reference"].notna().any():
        figure.add_trace(_reference(rows, shown))
    laid_out(figure, x="active quantizers (first n layers)", y=axis_name(metric, unit, canonical), height=400)
    figure.update_yaxes(rangemode="tozero")
    return layer_axis(figure, rows["n_active"].tolist())


def gain_figure(rows: pd.DataFrame, canonical: bool = False) -> go.Figure:
    """How much each quantizer lowers the error of one metric, with its interval; a bar below zero makes it worse."""
    rows = rows[rows["n_active"] > 0].sort_values("n_active")
    rows = rows.reindex(columns=[*rows.columns, *{"gain_low", "gain_high"} - set(rows.columns)])
    changes = pd.DataFrame({"layer": rows["n_active"], "value": rows["gain"]})
    changes = changes.assign(low=rows["gain_low"], high=rows["gain_high"])
    metric, unit = str(rows["metric"].iloc[0]), str(rows["unit"].iloc[0])
    return change_figure(
        changes, (("lowers the error", BLUE), ("raises the error", VERMILLION)),
        f"gain: {axis_name(metric, unit, canonical)}", "quantizer (layer)", unit,
    )  # fmt: skip


def leave_one_out_figure(rows: pd.DataFrame, canonical: bool = False) -> go.Figure:
    """Error that one metric gains where a layer alone is left out, with its interval; below zero it does better."""
    changes = pd.DataFrame({"layer": rows["layer"], "value": rows["rise"]})
    changes = changes.assign(low=rows["rise_low"], high=rows["rise_high"])
    metric, unit = str(rows["metric"].iloc[0]), str(rows["unit"].iloc[0])
    return change_figure(
        changes, (("without it the error rises", BLUE), ("without it the error falls", VERMILLION)),
        f"rise: {axis_name(metric, unit, canonical)}", "layer left out", unit,
    )  # fmt: skip


def change_figure(
    changes: pd.DataFrame, names: tuple[tuple[str, str], tuple[str, str]], y: str, x: str, unit: str
) -> go.Figure:
    """Bars of ``layer``, ``value``, ``low``, ``high``; name and colour of those from 0 on, and of those below."""
    below = changes["value"] < 0
    figure = go.Figure()
    for (name, colour), part in zip(names, (changes[~below], changes[below]), strict=True):
        if len(part):
            figure.add_trace(_change_bars(part, name, colour, "" if unit == "1" else f" {unit}"))
    laid_out(figure, x=x, y=y, height=360, legend=bool(below.any()))
    return layer_axis(figure, changes["layer"].tolist())


def _line(rows: pd.DataFrame, unit: str) -> go.Scatter:
    return go.Scatter(
        x=rows["n_active"], y=rows["value"], mode="lines+markers", name="quantised",
        line={"color": BLUE, "width": 2.5}, marker={"size": 8}, customdata=rows[["low", "high", "gain"]],
        hovertemplate=hover(
            f"first %{{x}} quantizers: <b>%{{y:.4g}}{unit}</b>", f"the last of them bought %{{customdata[2]:.3g}}{unit}"
        ),
    )  # fmt: skip


def _band(rows: pd.DataFrame) -> list[go.Scatter]:
    """Interval as a filled area; nothing where there is none (one clip)."""
    known = rows.dropna(subset=["low", "high"])
    if known.empty:
        return []
    return [
        go.Scatter(
            x=[*known["n_active"], *known["n_active"][::-1]], y=[*known["high"], *known["low"][::-1]],
            mode="lines", fill="toself", fillcolor=translucent(BLUE, 0.2), line={"width": 0},
            name="95 % interval", hoverinfo="skip",
        )
    ]  # fmt: skip


def _worse(rows: pd.DataFrame, unit: str) -> list[go.Scatter]:
    flagged = rows[rows["worse"].astype(bool)]
    if flagged.empty:
        return []
    return [
        go.Scatter(
            x=flagged["n_active"], y=flagged["value"], mode="markers", name="worse than with one fewer",
            marker={"symbol": "triangle-up", "size": 15, "color": VERMILLION}, customdata=flagged["gain"].abs(),
            hovertemplate=hover(f"quantizer %{{x}} makes it <b>worse by %{{customdata:.3g}}{unit}</b>"),
        )
    ]  # fmt: skip


def _reference(rows: pd.DataFrame, unit: str) -> go.Scatter:
    return go.Scatter(
        x=[rows["n_active"].min() - 0.6, rows["n_active"].max() + 0.6], y=[rows["reference"].iloc[0]] * 2,
        mode="lines", name="without quantization", line={"color": GREY, "dash": "dash", "width": 2},
        hovertemplate=hover(
            f"decoder on the latents themselves: <b>%{{y:.4g}}{unit}</b>", "what is lost here, the codes did not lose"
        ),
    )  # fmt: skip


def _change_bars(part: pd.DataFrame, name: str, colour: str, unit: str) -> go.Bar:
    known = part["low"].notna().all()
    between = f"95 %: %{{customdata[0]:.3g}} to %{{customdata[1]:.3g}}{unit}" if known else "no interval: one clip"
    return go.Bar(
        x=part["layer"], y=part["value"], name=name, marker_color=colour, customdata=part[["low", "high"]],
        error_y=error_bars(part) if known else None,
        hovertemplate=hover(f"layer %{{x}}: <b>%{{y:.3g}}{unit}</b>", between),
    )  # fmt: skip


def error_bars(part: pd.DataFrame) -> dict[str, object]:
    """The interval ``low`` to ``high`` around ``value`` as Plotly draws it."""
    above, under = part["high"] - part["value"], part["value"] - part["low"]
    return {"type": "data", "array": above, "arrayminus": under, "color": GREY, "thickness": 1.5, "width": 5}
