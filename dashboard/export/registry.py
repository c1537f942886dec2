"""The figures that can be exported. The Export page, ``rvq-lens export`` and the HTML report read this list.

To add one: write a function that makes its table of a report (None where the report cannot tell), and a line that
names it, its title, the entry of ``explained.WHAT`` that explains it, and the function of ``dashboard.figures`` that
draws the table. The figure for print is drawn of the same Plotly figure (docs/export.md).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Generic, TypeVar

import pandas as pd
import plotly.graph_objects as go

from dashboard import words
from dashboard.explained import WHAT
from dashboard.export import numbers
from dashboard.figures.clip_errors import clip_error_figure
from dashboard.figures.codebook_map import COLOURS, codebook_map
from dashboard.figures.discovery import discovery_figure
from dashboard.figures.groups import group_error_figure, group_usage_figure
from dashboard.figures.headroom import headroom_figure
from dashboard.figures.joints import joint_figure
from dashboard.figures.perplexity import perplexity_figure
from dashboard.figures.rate_distortion import rate_distortion_figure
from dashboard.figures.reconstruction import error_figure, gain_figure, leave_one_out_figure
from dashboard.figures.redundancy import redundancy_figure
from dashboard.figures.residual import residual_figure
from dashboard.figures.status import status_bars
from dashboard.figures.training import error_over_training, losses_over_training, usage_over_training
from dashboard.figures.usage_curves import usage_curves_figure
from dashboard.figures.usage_image import usage_grid, usage_image
from rvq_core.report import Report
from rvq_core.stats.metrics import CURVES
from rvq_core.training.curves import ERROR, losses

Source = TypeVar("Source")
"""Report or comparison."""


@dataclass(frozen=True, slots=True)
class FigureEntry(Generic[Source]):
    """One figure: its table of a report (or comparison), and the drawing of that table.

    ``name`` is its file's and that of ``--figures``; ``title`` stands above it, ``what`` names its explanation in
    ``explained.WHAT``, which manifest and HTML report tell with its ``note``. ``table`` gives the numbers, which are
    exported as CSV, or None where the report has none; ``draw`` the Plotly figure of them. ``detail`` figures are the
    same for another metric: exported when they are named.
    """

    name: str
    title: str
    what: str
    table: Callable[[Source], pd.DataFrame | None]
    draw: Callable[[pd.DataFrame, Source], go.Figure]
    detail: bool = False
    note: Callable[[], str] | None = None
    """How it was made, where settings of its own made it."""

    def explained(self) -> str:
        """What it shows and, where that is to be told, how it was made."""
        text = WHAT[self.what].text
        return text if self.note is None else f"{text} {self.note()}"


def _draw_clips(table: pd.DataFrame, report: Report) -> go.Figure:
    metric, unit = str(table["metric"].iloc[0]), str(table["unit"].iloc[0])
    return clip_error_figure(table, metric, unit, words.is_canonical(report.clips))


def _draw_status(table: pd.DataFrame, report: Report) -> go.Figure:
    del report
    return status_bars(table.set_index("layer"))


def _draw_error(table: pd.DataFrame, report: Report) -> go.Figure:
    return error_figure(table, words.is_canonical(report.clips))


def _draw_gain(table: pd.DataFrame, report: Report) -> go.Figure:
    return gain_figure(table, words.is_canonical(report.clips))


def _draw_left_out(table: pd.DataFrame, report: Report) -> go.Figure:
    return leave_one_out_figure(table, words.is_canonical(report.clips))


def _draw_bits(table: pd.DataFrame, report: Report) -> go.Figure:
    rows = report.overall[report.overall["metric"] == table["metric"].iloc[0]]
    reference = float(rows["reference"].iloc[0])
    return rate_distortion_figure(table, None if pd.isna(reference) else reference, words.is_canonical(report.clips))


def _draw_joints(table: pd.DataFrame, report: Report) -> go.Figure:
    return joint_figure(table, words.is_canonical(report.clips))


def _draw_groups(table: pd.DataFrame, report: Report) -> go.Figure:
    whole = report.overall[report.overall["metric"] == table["metric"].iloc[0]]
    overall = float(whole.loc[whole["n_active"] == table["n_active"].iloc[0], "value"].iloc[0])
    return group_error_figure(table, overall, words.is_canonical(report.clips))


def _draw_group_usage(table: pd.DataFrame, report: Report) -> go.Figure:
    own = report.layers["layer"] == table["layer"].iloc[0]
    return group_usage_figure(table, float(report.layers.loc[own, "perplexity"].iloc[0]))


def _draw_image(table: pd.DataFrame, report: Report, order: str = "usage") -> go.Figure:
    del report
    return usage_image(usage_grid(table, order=order), order=order)


def _draw_history(table: pd.DataFrame, report: Report, series: str) -> go.Figure:
    del report
    return usage_over_training(table, series)


def _draw_map(table: pd.DataFrame, report: Report, colour: str) -> go.Figure:
    del report
    return codebook_map(table, colour=colour)


def _group_usage(layer: int) -> FigureEntry[Report]:
    """Of each layer; the first stands among the main figures."""
    return FigureEntry(
        "group_usage" if layer == 1 else f"group_usage_{layer}", f"Perplexity of each group of clips in layer {layer}",
        "group_usage", partial(numbers.group_usage, layer=layer), _draw_group_usage, detail=layer > 1,
    )  # fmt: skip


_BY_METRIC = (
    ("error", "Error with the first n quantizers", "reconstruction", numbers.errors, _draw_error),
    ("gain", "Gain of each quantizer", "gain", numbers.gains, _draw_gain),
    ("leave_one_out", "Each layer left out", "leave_one_out", partial(numbers.further, name="leave_one_out"),
     _draw_left_out),
    ("bits", "Error against bits", "rate_distortion", partial(numbers.further, name="rate_distortion"), _draw_bits),
    ("joints", "Error of each joint, all quantizers", "joints", numbers.joints, _draw_joints),
    ("groups", "Error of each group of clips, all quantizers", "group_errors", numbers.groups, _draw_groups),
    ("clips", "Error of each clip, all quantizers", "clips", numbers.clips, _draw_clips),
)  # fmt: skip
_CORPORA = (("", "count", ""), ("_training", "train_count", ", training corpus"),
            ("_held_out", "held_out_count", ", held-out corpus"))  # fmt: skip

REPORT_FIGURES: tuple[FigureEntry[Report], ...] = (
    FigureEntry(
        "perplexity", "Perplexity per layer", "perplexity", numbers.perplexity, lambda t, _: perplexity_figure(t)
    ),
    FigureEntry("status", "Used, rare, duplicate and unseen codes", "status", numbers.status, _draw_status),
    *(
        FigureEntry(
            f"{name}{ending}", f"{title}{where}", what, partial(numbers.counts, column=column), draw, bool(ending)
        )
        for name, title, what, draw in (
            ("usage_image", "Layers and codes", "image", _draw_image),
            ("usage_curves", "Sorted usage", "curves", lambda t, _: usage_curves_figure(t)),
        )
        for ending, column, where in _CORPORA
    ),
    _group_usage(1),
    *(
        FigureEntry(
            f"map_{colour.replace(' ', '_').lower()}", f"Where the codes lie, by {colour}", "map",
            partial(numbers.points, colour=colour), partial(_draw_map, colour=colour),
            detail=colour in ("EMA count", "status"),
        )
        for colour in COLOURS
    ),
    *(FigureEntry(name, title, what, numbers.of_headline(of), draw) for name, title, what, of, draw in _BY_METRIC),
    FigureEntry(
        "discovery", "Codes discovered", "discovery", numbers.discovery,
        lambda t, report: discovery_figure(t, report.layers),
    ),
    FigureEntry(
        "residual", "Variance left by each layer", "residual", numbers.residual, lambda t, _: residual_figure(t)
    ),
    FigureEntry("headroom", "Room for better encoding", "headroom", numbers.headroom, lambda t, _: headroom_figure(t)),
    FigureEntry(
        "redundancy", "Layers that tell the same", "redundancy", numbers.redundancy, lambda t, _: redundancy_figure(t)
    ),
    FigureEntry(
        "training_error", "Held-out error over training", "training", partial(numbers.history, series=ERROR),
        lambda t, _: error_over_training(t),
    ),
    FigureEntry(
        "training_losses", "Losses over training", "losses", numbers.history,
        lambda t, _: losses_over_training(t, losses(t)),
    ),
    *(
        FigureEntry(
            f"training_{series}", f"{title} over training", "training_usage", partial(numbers.history, series=series),
            partial(_draw_history, series=series),
        )
        for series, title in (("perplexity", "Perplexity"), ("unseen", "Unseen codes"))
    ),
    *(
        FigureEntry(
            f"{name}_{metric}", f"{title}: {words.metric_name(metric)}", what, numbers.unless_headline(of, metric),
            draw, detail=True,
        )
        for name, title, what, of, draw in _BY_METRIC
        for metric in CURVES
    ),
)  # fmt: skip
"""Every figure that any report may have, in the order of the pages."""


def report_figures(report: Report) -> list[FigureEntry[Report]]:
    """Those, and one more for each further layer where a figure is of one layer."""
    further = [_group_usage(layer) for layer in report.layers["layer"].tolist() if layer > 1]
    return [*REPORT_FIGURES, *further]
