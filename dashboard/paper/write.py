"""A figure for print as the bytes of a file: the same figure, the same bytes."""

from __future__ import annotations

import io
from collections.abc import Iterable

import plotly.graph_objects as go

from dashboard.paper.draw import draw
from dashboard.paper.style import PRESETS, Preset, drawing

FORMATS = ("pdf", "svg", "png")

# No date and no version: they would make each file another one.
_METADATA = {
    "pdf": {"CreationDate": None, "Creator": "rvq-lens", "Producer": "Matplotlib"},
    "svg": {"Date": None, "Creator": "rvq-lens"},
    "png": {"Software": "rvq-lens"},
}


def figure_files(
    figure: go.Figure, formats: Iterable[str] = FORMATS, *, preset: str | Preset = "single", title: str | None = None
) -> dict[str, bytes]:
    """Draw ``figure`` and write it in each of ``formats``: PDF and SVG with text as text, PNG at 300 dpi.

    ``preset`` is single (85 mm), double (175 mm), slide, or one of your own. Without a ``title`` none is drawn.
    """
    chosen = PRESETS[preset] if isinstance(preset, str) else preset
    with drawing(chosen):
        drawn = draw(figure, chosen, title)
        files: dict[str, bytes] = {}
        for form in formats:
            buffer = io.BytesIO()
            drawn.savefig(buffer, format=form, metadata=_METADATA[form])
            files[form] = buffer.getvalue()
    return files
