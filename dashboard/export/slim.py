"""Plotly figures with numbers of seven digits: a page needs no more, and files become small enough to send."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
import plotly.graph_objects as go

DIGITS = 7
"""Significant digits that stay: those of float32."""


def slim(figure: go.Figure) -> dict[str, Any]:
    """The figure as JSON-like values: float64 arrays as float32, other numbers with ``DIGITS`` significant digits."""
    return {name: _slim(value) for name, value in figure.to_plotly_json().items()}


def _slim(value: Any) -> Any:
    if isinstance(value, dict) and value.get("dtype") == "f8":  # an array, as Plotly writes it: base64 of its bytes
        return value | {"dtype": "f4", "bdata": _float32(value["bdata"])}
    if isinstance(value, dict):
        return {name: _slim(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_slim(each) for each in value]
    if isinstance(value, np.ndarray):  # of objects: Plotly writes all others as bytes
        return _slim(value.tolist())
    if isinstance(value, float | np.floating):
        return float(f"{value:.{DIGITS}g}")
    return value


def _float32(doubles: str) -> str:
    values = np.frombuffer(base64.b64decode(doubles), dtype="<f8")
    return base64.b64encode(values.astype("<f4").tobytes()).decode()
