"""Figures for print: a Plotly figure in, a Matplotlib figure or its file out. No Streamlit, no torch, no report.

What is drawn are the values of the Plotly figure's own traces, so that page and paper cannot differ. Matplotlib is
imported when the first figure is drawn.
"""

from __future__ import annotations

from dashboard.paper.style import PRESETS, Preset
from dashboard.paper.write import FORMATS, figure_files

__all__ = ["FORMATS", "PRESETS", "Preset", "figure_files"]
