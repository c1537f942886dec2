"""Plotly's ways to name a colour or a scale, as Matplotlib takes them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.colors import LinearSegmentedColormap

Rgba = tuple[float, float, float, float]


def rgba(colour: Any) -> Any:
    """A colour: ``rgb(...)`` and ``rgba(...)`` as numbers, any other name as it is, None for none.

    >>> rgba("rgba(255, 0, 0, 0.5)")
    (1.0, 0.0, 0.0, 0.5)
    """
    found = re.fullmatch(r"rgba?\(([^)]*)\)", str(colour).replace(" ", ""))
    if found is None:
        return colour
    red, green, blue, *alpha = map(float, found[1].split(","))
    return (red / 255, green / 255, blue / 255, alpha[0] if alpha else 1.0)


def colour_map(scale: Any) -> LinearSegmentedColormap:
    """A scale by Plotly's name, or as a list of colours or of (place, colour)."""
    from matplotlib.colors import LinearSegmentedColormap
    from plotly.colors import get_colorscale

    stops = get_colorscale(scale) if isinstance(scale, str) else list(scale)
    if isinstance(stops[0], str):
        stops = [(i / max(len(stops) - 1, 1), colour) for i, colour in enumerate(stops)]
    return LinearSegmentedColormap.from_list("scale", [(place, rgba(colour)) for place, colour in stops])
