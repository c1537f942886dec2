"""Perplexity of each layer, against what these tokens allow and what the codebook allows."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from dashboard.figures.theme import BLUE, GREEN, GREY, ORANGE, hover, laid_out, layer_axis

CORPORA = (("train", "training", "diamond", ORANGE), ("held_out", "held out", "square", GREEN))
"""Counts that a checkpoint may carry: column prefix, name, symbol, colour."""


def perplexity_figure(layers: pd.DataFrame) -> go.Figure:
    """Bars with 95 % intervals for these clips; lines for the ceiling min(K, N) and for K; marks for stored corpora.

    Of a checkpoint alone, before any clip has been run through it, ``layers`` has the columns of its corpora and K.
    """
    known = set(layers.columns[layers.notna().any()])
    figure = go.Figure()
    if "perplexity" in known:
        figure.add_trace(_bars(layers))
    if "perplexity_corrected" in known:
        figure.add_trace(_corrected(layers))
    for prefix, name, symbol, colour in CORPORA:
        if f"{prefix}_perplexity" in known:
            figure.add_trace(_corpus(layers, prefix, name, symbol, colour))
    figure.add_trace(_limit(layers, "codes", "K: all codes equally used", "dot"))
    if "ceiling" in known and (layers["ceiling"] < layers["codes"]).any():
        figure.add_trace(_limit(layers, "ceiling", "ceiling: one code a token", "dash"))
    laid_out(figure, x="layer", y="perplexity (codes)", height=400)
    figure.update_yaxes(rangemode="tozero")
    return layer_axis(figure, layers["layer"].tolist())


def _bars(layers: pd.DataFrame) -> go.Bar:
    interval = layers["perplexity_low"].notna().all()
    errors = {
        "type": "data",
        "symmetric": False,
        "array": layers["perplexity_high"] - layers["perplexity"],
        "arrayminus": layers["perplexity"] - layers["perplexity_low"],
        "color": GREY,
        "thickness": 2,
    }
    return go.Bar(
        x=layers["layer"],
        y=layers["perplexity"],
        error_y=errors if interval else None,
        name=f"these clips, {layers['tokens'].iloc[0]:,} tokens",
        marker_color=BLUE,
        customdata=layers[["perplexity_ratio", "tokens", "codes", "perplexity_low", "perplexity_high"]],
        hovertemplate=hover(
            "layer %{x}: perplexity <b>%{y:.1f}</b>",
            "%{customdata[0]:.1%} of %{customdata[2]:,} codes, on %{customdata[1]:,} tokens",
            *(["with other clips: %{customdata[3]:.1f} to %{customdata[4]:.1f} (95 %)"] if interval else []),
        ),
    )


def _corrected(layers: pd.DataFrame) -> go.Scatter:
    return go.Scatter(
        x=layers["layer"],
        y=layers["perplexity_corrected"],
        mode="markers",
        name="the same, bias-corrected",
        marker={"symbol": "circle-open", "size": 9, "color": GREY, "line": {"width": 2}},
        hovertemplate=hover(
            "layer %{x}: <b>%{y:.1f}</b> after Chao and Shen", "few tokens make the plain figure too low"
        ),
    )


def _corpus(layers: pd.DataFrame, prefix: str, name: str, symbol: str, colour: str) -> go.Scatter:
    tokens = layers[f"{prefix}_tokens"]
    return go.Scatter(
        x=layers["layer"],
        y=layers[f"{prefix}_perplexity"],
        mode="markers",
        name=f"{name}, {int(tokens.dropna().iloc[0]):,} tokens",
        marker={"symbol": symbol, "size": 10, "color": colour},
        customdata=tokens,
        hovertemplate=hover(
            f"layer %{{x}}, whole {name} corpus: perplexity <b>%{{y:.1f}}</b>",
            "%{customdata:,} tokens, counts stored in the checkpoint",
        ),
    )


def _limit(layers: pd.DataFrame, column: str, name: str, dash: str) -> go.Scatter:
    # Steps as wide as the layer's slot, so that the line also shows for one layer.
    x = [edge for layer in layers["layer"] for edge in (layer - 0.5, layer + 0.5)]
    y = [value for value in layers[column] for _ in range(2)]
    return go.Scatter(
        x=x, y=y, mode="lines", name=name, line={"color": GREY, "dash": dash, "width": 2},
        hovertemplate=hover(f"{name}: %{{y:,}}"),
    )  # fmt: skip
