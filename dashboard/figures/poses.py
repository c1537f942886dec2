"""Poses beside each other: stick figures in a strip, each over the pose that it is to be compared with."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from numpy.typing import NDArray

from dashboard.figures.theme import BLUE, GREY, hover, laid_out

FACE = ("jaw", "eye")
"""Joints that are not drawn: they only blur the head."""

LEAST_APART = 0.7
"""Metres from one figure to the next, at least."""

TURNED = 0.5
"""Radians by which figures are turned out of the front view, so that steps forward are seen."""


def pose_table(
    joints: NDArray[np.floating], names: Sequence[str], parents: Sequence[int], facing: float = 0.0
) -> pd.DataFrame:
    """One row a bone of each pose [P, J, 3]: ``pose``, ``joint`` (its name), ends ``x0``, ``y0``, ``x1``, ``y1``.

    Metres from the root, y up from the pose's lowest joint, seen from the front (``facing``: the angle about y, from
    +z towards +x, to which the hips face) and a little from the side.
    """
    local = joints - joints[:, :1] * np.array([1, 0, 1])
    local = local - np.array([0, 1, 0]) * joints[..., 1].min(axis=1)[:, None, None]
    angle = TURNED - facing
    across = local[..., 0] * np.cos(angle) + local[..., 2] * np.sin(angle)
    drawn = [
        joint
        for joint, (name, parent) in enumerate(zip(names, parents, strict=True))
        if parent >= 0 and not any(word in name.lower() for word in FACE)
    ]
    above = [parents[joint] for joint in drawn]
    return pd.DataFrame(
        {
            "pose": np.repeat(np.arange(len(joints)), len(drawn)),
            "joint": [names[joint] for joint in drawn] * len(joints),
            "x0": across[:, above].ravel(), "y0": local[:, above, 1].ravel(),
            "x1": across[:, drawn].ravel(), "y1": local[:, drawn, 1].ravel(),
        }
    )  # fmt: skip


def pose_strip(
    poses: pd.DataFrame, labels: Sequence[str], *, x: str, name: str, reference: pd.DataFrame | None = None,
    reference_name: str = "",
) -> go.Figure:  # fmt: skip
    """Draw poses of a pose_table beside each other, ``labels`` under them; ``reference`` poses in grey behind."""
    both = pd.concat([poses, *([] if reference is None else [reference])])
    extent = both[["x0", "x1"]].abs().to_numpy()
    apart = max(LEAST_APART, 1.6 * float(extent.max(initial=0.0)))
    figure = go.Figure()
    if reference is not None:
        figure.add_trace(_bones(reference, apart, reference_name, GREY, 2))
    figure.add_trace(_bones(poses, apart, name, BLUE, 3))
    laid_out(figure, x=x, y="height, m", height=280)
    top = float(both[["y0", "y1"]].to_numpy().max(initial=1.0))
    figure.update_yaxes(scaleanchor="x", scaleratio=1, zeroline=False, range=[-0.05, 1.08 * top])
    figure.update_xaxes(
        tickvals=[apart * i for i in range(len(labels))], ticktext=list(labels), showgrid=False, zeroline=False,
        range=[-0.7 * apart, apart * (len(labels) - 0.3)], constrain="domain",
    )  # fmt: skip
    return figure


def _bones(poses: pd.DataFrame, apart: float, name: str, colour: str, width: float) -> go.Scatter:
    shift = poses["pose"].to_numpy() * apart
    gap = np.full(len(poses), np.nan)
    x = np.stack([poses["x0"] + shift, poses["x1"] + shift, gap], axis=1).ravel()
    y = np.stack([poses["y0"], poses["y1"], gap], axis=1).ravel()
    return go.Scatter(
        x=x, y=y, mode="lines", name=name, line={"color": colour, "width": width},
        text=np.repeat(poses["joint"].to_numpy(), 3), hovertemplate=hover("%{text}", "%{y:.2f} m above the lowest"),
    )  # fmt: skip
