"""One clip over its time: how common the code is that each layer chooses, and the error of each frame."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from numpy.typing import NDArray

from dashboard.figures.reconstruction import axis_name
from dashboard.figures.theme import GREY, USAGE_SCALE, hover, laid_out, layer_colour, share_ticks

TIME = "time (s)"


def token_table(tokens: NDArray[np.integer], shares: Sequence[NDArray[np.float64]], seconds: float) -> pd.DataFrame:
    """A row a token and layer, of ``tokens`` [T', Q] that last ``seconds`` each and the ``shares`` [K] of codes.

    Columns: ``layer``, ``token`` (from 0), ``seconds`` (its middle), ``code``, ``share`` of the layer's tokens.
    """
    number = np.arange(len(tokens))
    rows = [
        pd.DataFrame({"layer": q + 1, "token": number, "seconds": (number + 0.5) * seconds, "code": tokens[:, q],
                      "share": share[tokens[:, q]]})
        for q, share in enumerate(shares)
    ]  # fmt: skip
    return pd.concat(rows, ignore_index=True)


def error_table(frame_errors: NDArray[np.float64], depths: Sequence[int], fps: float) -> pd.DataFrame:
    """A row a frame and depth, of ``frame_errors`` [N, T] at ``depths`` [N]: with 1, 2 and all quantizers, and without.

    Columns: ``n_active`` (-1: without quantization), ``frame`` (from 0), ``seconds`` (its middle), ``value``.
    """
    frame = np.arange(frame_errors.shape[1])
    rows = [
        pd.DataFrame({"n_active": depth, "frame": frame, "seconds": (frame + 0.5) / fps, "value": errors})
        for depth, errors in zip(depths, frame_errors, strict=True)
        if depth in (1, 2, max(depths), -1)
    ]
    return pd.concat(rows, ignore_index=True)


def token_image(table: pd.DataFrame) -> go.Figure:
    """Layers x time of a token_table; colour tells how common the code is in its layer, its number is in the hover."""
    cells = table.pivot(index="layer", columns="seconds", values="share")
    codes = table.pivot(index="layer", columns="seconds", values="code")
    with np.errstate(divide="ignore"):
        logs = np.log10(cells.to_numpy())
    logs[~np.isfinite(logs)] = np.nan
    low, high = float(np.nanmin(logs)), float(np.nanmax(logs))
    ticks = share_ticks(10.0**low, 10.0 ** max(high, low + 0.1))
    figure = go.Figure(
        go.Heatmap(
            z=logs, x=cells.columns, y=cells.index, colorscale=USAGE_SCALE, ygap=2, zmin=low, zmax=max(high, low + 0.1),
            customdata=np.stack([codes.to_numpy(), cells.to_numpy()], axis=-1), hoverongaps=False,
            hovertemplate=hover("layer %{y}, %{x:.2f} s", "<b>code %{customdata[0]}</b>", "%{customdata[1]:.2%}"),
            colorbar={
                "title": {"text": "share of the<br>layer's tokens"}, "thickness": 14, "ticktext": ticks["ticktext"],
                "tickvals": np.log10(ticks["tickvals"]).tolist(),
            },
        )
    )  # fmt: skip
    laid_out(figure, x=TIME, y="layer", height=150 + 30 * len(cells), legend=False)
    figure.update_yaxes(autorange="reversed", tickmode="array", tickvals=cells.index.tolist(), showgrid=False)
    return figure.update_xaxes(showgrid=False)


def error_over_time(table: pd.DataFrame, metric: str, unit: str, canonical: bool) -> go.Figure:
    """Lines of an error_table, one a depth."""
    figure = go.Figure()
    deepest = int(table["n_active"].max())
    for depth, rows in table.groupby("n_active", sort=False):
        n = int(str(depth))
        name = "without quantization" if n < 0 else f"{'all ' * (n == deepest > 1)}{n} quantizer{'s' * (n > 1)}"
        line = {"color": GREY, "dash": "dash"} if n < 0 else {"color": layer_colour(n)}
        figure.add_trace(
            go.Scatter(
                x=rows["seconds"], y=rows["value"], mode="lines", name=name, line=line | {"width": 2},
                hovertemplate=hover(f"<b>{name}</b>", "%{x:.2f} s: %{y:.4g}" + f" {unit}" * (unit != "1")),
            )
        )  # fmt: skip
    laid_out(figure, x=TIME, y=axis_name(metric, unit, canonical), height=320)
    figure.update_xaxes(range=[0.0, table["seconds"].max() + table["seconds"].min()])  # as the codes have it
    figure.update_yaxes(rangemode="tozero")
    return figure
