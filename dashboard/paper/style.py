"""Sizes for a column, two columns and a slide; line styles, markers and hatches that are told apart in grey."""

from __future__ import annotations

import threading
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

MM = 1 / 25.4
"""Inches of a millimetre."""

INK, PALE = "#222222", "#D8DADD"
"""Text and axes; grid lines."""


@dataclass(frozen=True, slots=True)
class Preset:
    """Size of a figure in mm, and of its text and lines in points; ``fixed`` figures take the height as it is."""

    name: str
    width: float
    height: float
    tallest: float
    text: float
    line: float
    mark: float
    fixed: bool = False


PRESETS = {
    preset.name: preset
    for preset in (
        Preset("single", width=85, height=62, tallest=120, text=7, line=1.0, mark=4.0),
        Preset("double", width=175, height=80, tallest=170, text=8, line=1.2, mark=5.0),
        Preset("slide", width=254, height=142.9, tallest=142.9, text=16, line=2.4, mark=10.0, fixed=True),
    )
}

DASHES: tuple[Any, ...] = (
    "solid", (0, (5, 1.5)), (0, (1, 1)), (0, (5, 1.5, 1, 1.5)), (0, (9, 2)), (0, (5, 1.2, 1, 1.2, 1, 1.2)),
)  # fmt: skip
"""Line styles of curves that the page tells apart by colour alone, in the order of the legend."""

NAMED_DASHES: dict[str, Any] = {
    "solid": "solid", "dash": (0, (4, 2)), "dot": (0, (1, 1.5)), "dashdot": (0, (4, 1.5, 1, 1.5)),
    "longdash": (0, (8, 2)), "longdashdot": (0, (8, 2, 1, 2)),
}  # fmt: skip
"""Plotly's line styles."""

LINE_MARKERS = ("o", "s", "D", "^", "v", "P", "X", "*")
HATCHES = ("", "////", "....", "\\\\\\\\", "xxxx", "++++", "oooo", "----")

MARKERS = {
    "circle": "o", "square": "s", "diamond": "D", "triangle-up": "^", "triangle-down": "v", "triangle-left": "<",
    "triangle-right": ">", "pentagon": "p", "star": "*", "hexagon": "h", "x": "X", "cross": "P", "x-thin": "x",
    "cross-thin": "+", "line-ns": "|", "line-ew": "_", "asterisk": "$*$",
}  # fmt: skip
"""Plotly's symbols; those ending in ``-open`` are the same, not filled."""

_one_at_a_time = threading.Lock()


@contextmanager
def drawing(preset: Preset) -> Generator[None]:
    """Matplotlib's settings for a figure. They are global, so one figure is drawn at a time."""
    import matplotlib as mpl

    with _one_at_a_time, mpl.rc_context(cast(Any, _settings(preset))):
        yield


def _settings(preset: Preset) -> dict[str, Any]:
    thin = preset.line * 0.6
    return {
        # Embedded as TrueType; the font that comes with Matplotlib, so that every machine draws the same.
        "pdf.fonttype": 42, "ps.fonttype": 42, "font.family": "sans-serif",
        "font.sans-serif": ["DejaVu Sans", "Verdana", "Arial"],
        # Text stays text, and names of clips are no formulas.
        "svg.fonttype": "none", "text.parse_math": False, "text.usetex": False,
        # Else the marks of an SVG have other names each time.
        "svg.hashsalt": "rvq-lens",
        # Else text is wider in a PDF than where its place was found, by up to a twentieth.
        "text.hinting": "none",
        "font.size": preset.text, "axes.titlesize": preset.text * 1.1, "axes.labelsize": preset.text,
        "xtick.labelsize": preset.text * 0.9, "ytick.labelsize": preset.text * 0.9,
        "legend.fontsize": preset.text * 0.9, "legend.title_fontsize": preset.text * 1.1,
        "legend.frameon": False, "legend.handlelength": 2.6,
        "legend.borderpad": 0.2, "legend.columnspacing": 1.2, "legend.labelspacing": 0.3,
        "lines.linewidth": preset.line, "lines.markersize": preset.mark, "hatch.linewidth": thin,
        "hatch.color": "white",
        "axes.linewidth": thin, "axes.edgecolor": INK, "axes.labelcolor": INK, "text.color": INK,
        "axes.spines.top": False, "axes.spines.right": False, "axes.axisbelow": True, "axes.unicode_minus": True,
        "xtick.color": INK, "ytick.color": INK, "xtick.major.width": thin, "ytick.major.width": thin,
        "grid.color": PALE, "grid.linewidth": thin, "figure.dpi": 100,
        "figure.facecolor": "white", "axes.facecolor": "white", "path.simplify": False, "image.composite_image": False,
        "figure.constrained_layout.h_pad": preset.text * 0.006, "figure.constrained_layout.w_pad": preset.text * 0.006,
        "axes.labelpad": preset.text * 0.5, "xtick.major.pad": preset.text * 0.4, "ytick.major.pad": preset.text * 0.4,
    }  # fmt: skip
