"""Which layers tell the same: adjusted mutual information of the codes of each two layers."""

from __future__ import annotations

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from dashboard.figures.theme import hover, laid_out

FULL_COLOUR = 0.5
"""Information from which on a cell has the deepest colour, unless there is more."""


def redundancy_figure(pairs: pd.DataFrame) -> go.Figure:
    """The table of layer pairs as a lower triangle: a cell for each two layers, coloured by ``ami``."""
    first, last = int(pairs["layer"].min()), int(pairs["other_layer"].max())
    upper, lower = list(range(first, last)), list(range(first + 1, last + 1))
    cells = pairs.set_index(["other_layer", "layer"])
    grid = {name: cells[name].unstack().reindex(index=lower, columns=upper) for name in ("ami", "mi_corrected_bits")}
    ami = grid["ami"].to_numpy(dtype=float)
    figure = go.Figure(
        go.Heatmap(
            x=upper, y=lower, z=ami, customdata=grid["mi_corrected_bits"], texttemplate="%{text}",
            text=np.where(np.isnan(ami), "", np.char.mod("%.2f", ami)), colorscale="Cividis", hoverongaps=False,
            xgap=2, ygap=2, zmin=0, zmax=max(FULL_COLOUR, np.nanmax(ami, initial=0)),
            colorbar={"title": {"text": "AMI"}},
            hovertemplate=hover(
                "layers %{x} and %{y}: adjusted mutual information <b>%{z:.3f}</b>",
                "%{customdata:.2f} bits beyond chance",
            ),
        )
    )  # fmt: skip
    laid_out(figure, x="layer", y="deeper layer", height=400, legend=False)
    figure.update_xaxes(tickmode="array", tickvals=upper, showgrid=False)
    figure.update_yaxes(tickmode="array", tickvals=lower, autorange="reversed", showgrid=False)
    return figure
