"""What a training run wrote down of itself: losses, error and usage against iterations, of one run or several."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from dashboard.figures.theme import TOOLBAR_ROOM, hover, laid_out, layer_colour, layer_dash, number_ticks

ITERATION = "training iteration"
UNITS = {
    "reconstruction": "loss on normalised features",
    "velocity": "loss on their steps",
    "commit": "squared distance",
    "position": "joint distance (m)",
}
"""What a loss is measured in; others have no unit that is known."""

TITLES = {
    "perplexity": "perplexity (codes)",
    "unseen": "unseen codes",
    "resets": "codes reset since the point before",
    "reset": "codes reset between snapshots",
    "spacings": "median move (neighbour distances)",
    "norm": "median norm of codes",
    "spacing": "median distance to the nearest code",
    "duplicates": "duplicate codes",
}
FORMS = {
    "perplexity": "%{y:.1f} codes perplexity",
    "spacings": "moved by %{y:.2f} neighbour distances",
    "norm": "norm %{y:.3g}",
    "spacing": "distance %{y:.3g}",
    "duplicates": "%{y:,} duplicate codes",
}
"""What a point says; others count codes."""


def error_over_training(table: pd.DataFrame) -> go.Figure:
    """Held-out MPJPE in mm, one line a ``run``; the lowest point of each is marked."""
    figure = go.Figure()
    for number, (run, rows) in enumerate(table.groupby("run", sort=False), start=1):
        figure.add_trace(_line(rows, str(run), number, "%{y:.1f} mm"))
        best = rows.iloc[int(rows["value"].argmin())]
        figure.add_trace(
            go.Scatter(
                x=[best["iteration"]], y=[best["value"]], mode="markers", name=f"lowest of {run}", showlegend=False,
                marker={"symbol": "star", "size": 13, "color": layer_colour(number)},
                hovertemplate=hover(f"<b>{run}</b>: lowest, %{{y:.1f}} mm", "iteration %{x:,}"),
            )
        )  # fmt: skip
    laid_out(figure, x=ITERATION, y="held-out MPJPE (mm)", legend=table["run"].nunique() > 1)
    figure.update_yaxes(rangemode="tozero")
    return figure


def losses_over_training(table: pd.DataFrame, names: list[str]) -> go.Figure:
    """One small chart a loss, on logarithmic axes, one line a ``run``."""
    columns = min(2, len(names))
    rows = -(-len(names) // columns)
    runs = list(dict.fromkeys(table["run"]))
    figure = make_subplots(rows, columns, subplot_titles=names, horizontal_spacing=0.1, vertical_spacing=0.4 / rows)
    laid_out(figure, x=ITERATION, y="", height=80 + 230 * rows, legend=len(runs) > 1)
    figure.update_layout(margin={"t": TOOLBAR_ROOM + (50 if len(runs) > 1 else 28)}, legend={"y": 1.1})
    figure.update_annotations(font={"size": 14}, yshift=4)
    for place, name in enumerate(names):
        row, column = place // columns + 1, place % columns + 1
        some = table[(table["series"] == name) & (table["value"] > 0)]
        for number, run in enumerate(runs, start=1):
            line = _line(some[some["run"] == run], run, number, f"{name} %{{y:.4g}}")
            figure.add_trace(line.update(showlegend=place == 0), row=row, col=column)
        title = {"text": UNITS.get(name, name), "standoff": 6}
        ticks = number_ticks(some["value"].min(), some["value"].max()) if len(some) else {}
        figure.update_yaxes({"type": "log", "title": title} | ticks, row=row, col=column)
    return figure


def usage_over_training(table: pd.DataFrame, series: str) -> go.Figure:
    """A series by layer, of TITLES: one line a layer of one run, or one a run of one layer."""
    several = table["run"].nunique() > 1
    figure = go.Figure()
    form = FORMS.get(series, f"%{{y:,}} codes {series.removesuffix('s')}")
    for number, (key, rows) in enumerate(table.groupby("run" if several else "layer", sort=False), start=1):
        figure.add_trace(_line(rows, str(key) if several else f"layer {key}", number, form))
    laid_out(figure, x=ITERATION, y=TITLES[series])
    figure.update_yaxes(rangemode="tozero")
    return figure


def _line(rows: pd.DataFrame, name: str, number: int, value: str) -> go.Scatter:
    return go.Scatter(
        x=rows["iteration"], y=rows["value"], mode="lines+markers" if len(rows) < 30 else "lines", name=name,
        legendgroup=name, line={"color": layer_colour(number), "dash": layer_dash(number), "width": 2},
        marker={"size": 5}, hovertemplate=hover(f"<b>{name}</b>, iteration %{{x:,}}", value),
    )  # fmt: skip
