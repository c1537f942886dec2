"""Lines of equal height and the colours between them, as vector areas."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from dashboard.paper.colours import colour_map, rgba

if TYPE_CHECKING:
    from dashboard.paper.traces import Canvas


def draw_contours(trace: dict[str, Any], canvas: Canvas) -> None:
    """Areas between the levels of ``contours``; below the first one the paper stays white."""
    from matplotlib.colors import Normalize
    from matplotlib.patches import Patch

    z, given = np.asarray(trace["z"], dtype=np.float64), trace["contours"]
    levels = np.arange(given["start"], given["end"] + given["size"] / 2, given["size"])
    x, y = canvas.numbers("x", trace["x"]), canvas.numbers("y", trace["y"])
    cmap = colour_map(trace["colorscale"])
    look: dict[str, Any] = {"zorder": 1.0, "norm": Normalize(trace["zmin"], trace["zmax"])}
    canvas.axes.contourf(x, y, z, levels=[*levels, max(trace["zmax"], levels[-1] + 1e-9)], cmap=cmap, **look)
    line = trace.get("line", {})
    canvas.axes.contour(
        x, y, z, levels=levels, colors=[rgba(line.get("color"))], linewidths=canvas.preset.line * line["width"] * 0.5,
        linestyles="solid", zorder=1.05,
    )  # fmt: skip
    canvas.enter(Patch(facecolor=cmap(0.8), edgecolor="none"), trace)
