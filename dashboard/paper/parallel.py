"""Parallel coordinates: an axis a column, a line a row, coloured by the last column."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dashboard.paper.colours import colour_map
from dashboard.paper.style import DASHES, INK, Preset

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DARK = 0.8
"""Share of the scale, from its dark end, that lines on white can be seen in."""

NEAR = 0.075
"""Of an axis's height: values nearer than this to the one below are not written."""

NAME, TICK, LETTER = 0.85, 0.8, 0.22
"""Sizes of the name of an axis and of its values, of that of text; width of a letter in mm for a point of its size."""

WORDS = 0.22
"""Share of the figure's width that a word on an axis may take."""


def draw_parallel(axes: Axes, trace: dict[str, Any], preset: Preset) -> None:
    """Draw the dimensions of ``trace`` side by side, each from its lowest to its highest value."""
    dimensions = trace["dimensions"]
    heights = np.stack([_shares(np.asarray(each["values"], dtype=np.float64)) for each in dimensions])  # [D, rows]
    colours = colour_map(trace["line"]["colorscale"])(DARK * heights[-1])
    for number, (row, colour) in enumerate(zip(heights.T, colours, strict=True)):
        axes.plot(
            range(len(row)), row, color=colour, linestyle=DASHES[number % len(DASHES)], zorder=2.5,
            marker="o", markersize=preset.mark * 0.6, clip_on=False,
        )  # fmt: skip
    for place, each in enumerate(dimensions):
        axes.axvline(place, color=INK, linewidth=preset.line * 0.6, zorder=2)
        longest = int(WORDS * preset.width / (preset.text * TICK * LETTER))
        for height, text in _ticks(each):
            axes.annotate(
                _shortened(text, longest), (place, height), xytext=(-preset.text * 0.3, 0),
                textcoords="offset points", ha="right",
                va="center", fontsize=preset.text * TICK, zorder=3,
                bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 0.4},
            )  # fmt: skip
        room = preset.width / len(dimensions) / (preset.text * NAME * LETTER)
        name = in_lines(str(each["label"]), max(int(room), 4))
        axes.annotate(
            name, (place, 1.06), xytext=(0, preset.text * 0.3), textcoords="offset points", ha="center", va="bottom",
            fontsize=preset.text * NAME * min(1.0, room / max(map(len, name.split("\n")))),
        )  # fmt: skip
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_xlim(-0.35, len(dimensions) - 0.9)
    axes.set_ylim(-0.06, 1.06)
    for spine in axes.spines.values():
        spine.set_visible(False)


def _shares(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Values between their lowest (0) and their highest (1); in the middle where all are the same."""
    low, span = np.nanmin(values), np.nanmax(values) - np.nanmin(values)
    return np.full(len(values), 0.5) if span == 0 else (values - low) / span


def _ticks(dimension: dict[str, Any]) -> list[tuple[float, str]]:
    """Heights and texts: of words each, of numbers every value where they are few, else the ends and the middle."""
    values = np.unique(np.asarray(dimension["values"], dtype=np.float64))
    texts = dimension.get("ticktext")
    if texts is not None:
        shares = _shares(np.asarray(dimension["tickvals"], dtype=np.float64))
        return list(zip(shares.tolist(), map(str, texts), strict=True))
    if len(values) > 4:
        values = np.array([values[0], (values[0] + values[-1]) / 2, values[-1]])
    span = float(values[-1] - values[0])
    kept: list[tuple[float, str]] = []
    for share, value in zip(_shares(values).tolist(), values, strict=True):
        if kept and share - kept[-1][0] < NEAR:
            if share < 1:
                continue
            kept.pop()  # the highest is written
        kept.append((share, _written(float(value), span)))
    return kept


def _written(value: float, span: float) -> str:
    """A value with three digits, or with as many as tell it from others on an axis of this span.

    >>> _written(0.9999, 0.0099), _written(162.34, 200.0)
    ('0.9999', '162')
    """
    digits = next((n for n in range(3, 8) if abs(float(f"{value:.{n}g}") - value) <= 0.005 * span), 8)
    return f"{float(f'{value:.{digits}g}'):,.10g}"


def in_lines(text: str, room: int) -> str:
    """Text in lines of ``room`` letters, broken at spaces and after underscores.

    >>> in_lines("batch_size", 8).splitlines()
    ['batch_', 'size']
    """
    lines = textwrap.wrap(text.replace("_", "_ "), room, break_long_words=False)
    return "\n".join(lines).replace("_ ", "_")


def _shortened(name: str, room: int) -> str:
    """A name of ``room`` letters at most: its begin and, where names of runs differ, more of its end.

    >>> len(_shortened("rvq_nq6_dc512_run9", 12)), _shortened("rvq_nq6_dc512_run9", 12)[-5:]
    (12, '_run9')
    """
    return name if len(name) <= room else f"{name[: room // 3]}\N{HORIZONTAL ELLIPSIS}{name[-(room - room // 3 - 1) :]}"
