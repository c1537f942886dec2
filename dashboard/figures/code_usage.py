"""One code over the clips: which clips choose it, how often, beside its share everywhere."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from numpy.typing import NDArray

from dashboard.figures.theme import BLUE, GREY, hover, laid_out

MAX_CLIPS = 20
"""Clips drawn: those with the largest shares."""


def usage_over_clips(
    tokens: Sequence[NDArray[np.integer]], clips: Sequence[str], layer: int, code: int
) -> pd.DataFrame:
    """Of each clip, from its ``tokens`` [T', Q]: ``clip``, ``tokens`` on the code, ``of`` and ``share``.

    ``layer`` is 1-based. The largest shares first, clips without the code left out.
    """
    counts = [int((clip[:, layer - 1] == code).sum()) for clip in tokens]
    table = pd.DataFrame({"clip": list(clips), "tokens": counts, "of": [len(clip) for clip in tokens]})
    table = table[table["tokens"] > 0]
    table = table.assign(share=table["tokens"] / table["of"])
    return table.sort_values(["share", "tokens", "clip"], ascending=[False, False, True], ignore_index=True)


def code_usage_figure(usage: pd.DataFrame, overall: float) -> go.Figure:
    """Bars of the clips of a usage_over_clips table, at most 20; a line at the share ``overall``."""
    shown = usage.head(MAX_CLIPS)[::-1]
    figure = go.Figure(
        go.Bar(
            x=shown["share"], y=shown["clip"], orientation="h", name="of the clip's tokens", marker_color=BLUE,
            customdata=shown[["tokens", "of"]],
            hovertemplate=hover("<b>%{y}</b>", "%{customdata[0]:,} of %{customdata[1]:,} tokens, %{x:.1%}"),
        )
    )  # fmt: skip
    figure.add_vline(x=overall, line={"color": GREY, "dash": "dot", "width": 2})
    laid_out(
        figure,
        x="share of the clip's tokens (dotted: of all tokens)",
        y="clip",
        height=110 + 22 * len(shown),
        legend=False,
    )
    figure.update_xaxes(rangemode="tozero", tickformat=".0%" if shown["share"].max() > 0.05 else ".1%")
    return figure
