"""A figure for print as the bytes of a file: the same figure, the same bytes."""

from __future__ import annotations

import io
from collections.abc import Iterable
from typing import TYPE_CHECKING

import plotly.graph_objects as go

from dashboard.paper.draw import draw
from dashboard.paper.fonts import embedded_without_setting
from dashboard.paper.style import PRESETS, Preset, drawing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FORMATS = ("pdf", "svg", "png")

DPI = 300
"""Of the PNG."""

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
        return {form: _written(drawn, form) for form in formats}


def _written(drawn: Figure, form: str) -> bytes:
    """The bytes of one file. ``Figure.savefig`` would lay out every text once more before it draws."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.backends.backend_pdf import FigureCanvasPdf
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    buffer = io.BytesIO()
    # PDF and SVG set 72, as their points are, and do not set it back.
    drawn.set_dpi(DPI)
    if form == "pdf":
        with embedded_without_setting():
            FigureCanvasPdf(drawn).print_pdf(buffer, metadata=_METADATA[form])
    elif form == "svg":
        FigureCanvasSVG(drawn).print_svg(buffer, metadata=_METADATA[form])
    else:
        FigureCanvasAgg(drawn).print_png(buffer, metadata=_METADATA[form])
    return buffer.getvalue()
