"""The figures that can be exported. The Export page, ``rvq-lens export`` and the HTML report read this list.

To add one: write a function that makes its table of a report (None where the report cannot tell), and a line that
names it, its title, the entry of ``words.WHAT`` that explains it, and the function of ``dashboard.figures`` that draws
the table. The figure for print is drawn of the same Plotly figure (docs/export.md).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Generic, TypeVar

import pandas as pd
import plotly.graph_objects as go

from dashboard import words
from dashboard.figures.clip_errors import clip_error_figure, clip_table
from dashboard.figures.codebook_map import COLOURS, HOVER_COLUMNS, codebook_map
from dashboard.figures.discovery import discovery_figure
from dashboard.figures.groups import group_error_figure, group_usage_figure
from dashboard.figures.headroom import headroom_figure
from dashboard.figures.joints import joint_figure
from dashboard.figures.perplexity import perplexity_figure
from dashboard.figures.rate_distortion import rate_distortion_figure
from dashboard.figures.reconstruction import METRIC_NAMES, error_figure, gain_figure, leave_one_out_figure
from dashboard.figures.redundancy import redundancy_figure
from dashboard.figures.residual import residual_figure
from dashboard.figures.status import status_bars, status_table
from dashboard.figures.usage_curves import usage_curves_figure
from dashboard.figures.usage_image import usage_grid, usage_image
from rvq_core.report import Report

Source = TypeVar("Source")
"""Report or comparison."""


@dataclass(frozen=True, slots=True)
class FigureEntry(Generic[Source]):
    """One figure: its table of a report (or comparison), and the drawing of that table.

    ``name`` is its file's and that of ``--figures``; ``title`` stands above it, ``what`` names its explanation in
    ``words.WHAT``. ``table`` gives the numbers, which are exported as CSV, or None where the report has none;
    ``draw`` the Plotly figure of them. ``detail`` figures are the same for another metric: left out of the HTML report.
    """

    name: str
    title: str
    what: str
    table: Callable[[Source], pd.DataFrame | None]
    draw: Callable[[pd.DataFrame, Source], go.Figure]
    detail: bool = False


def _perplexity(report: Report) -> pd.DataFrame:
    columns = [name for name in map(str, report.layers) if "perplexity" in name or name.endswith("tokens")]
    return report.layers[["layer", "codes", "ceiling", *columns]]


def _status(report: Report) -> pd.DataFrame:
    return status_table(report.codes).rename_axis(columns=None).reset_index()


def _counts(report: Report, column: str) -> pd.DataFrame | None:
    """Layer, code and count of every code; None where the checkpoint stores no such counts."""
    if report.codes[column].isna().all():
        return None
    codes = report.codes.dropna(subset=[column])
    return codes[["layer", "code"]].assign(count=codes[column].astype("int64"))


def _points(report: Report, colour: str) -> pd.DataFrame | None:
    points = report.projections.get("pca")
    if points is None or (colour == "EMA count" and report.codes["ema_count"].isna().all()):
        return None
    columns = [name for name in HOVER_COLUMNS if name not in ("layer", "code")]
    return points.merge(report.codes[["layer", "code", *columns]], on=["layer", "code"], validate="one_to_one")


def _errors(report: Report, metric: str) -> pd.DataFrame | None:
    rows = report.overall[report.overall["metric"] == metric].sort_values("n_active")
    return None if rows.empty else rows.drop(columns=["joint", "group"], errors="ignore")


def _gains(report: Report, metric: str) -> pd.DataFrame | None:
    rows = _errors(report, metric)
    if rows is None:
        return None
    columns = ["n_active", "metric", "unit", "gain", "gain_low", "gain_high", "worse"]
    return rows[rows["n_active"] > 0][[name for name in columns if name in rows]]


def _further(report: Report, metric: str, *, name: str) -> pd.DataFrame | None:
    """Rows of one of the report's further tables that are of a metric."""
    table = report.tables.get(name)
    rows = None if table is None else table[table["metric"] == metric]
    return None if rows is None or rows.empty else rows


def _joints(report: Report, metric: str) -> pd.DataFrame | None:
    """The error of each joint with all quantizers."""
    rows = report.reconstruction[report.reconstruction["metric"] == metric]
    if "joint" not in rows or rows["joint"].isna().all():
        return None
    rows = rows[rows["joint"].notna() & (rows["n_active"] == rows["n_active"].max())]
    return rows.drop(columns=["group"], errors="ignore")


def _groups(report: Report, metric: str) -> pd.DataFrame | None:
    """The error of each group of clips with all quantizers."""
    rows = report.reconstruction[report.reconstruction["metric"] == metric]
    if "group" not in rows or rows["group"].isna().all():
        return None
    return rows[rows["group"].notna() & (rows["n_active"] == rows["n_active"].max())]


def _group_usage(report: Report) -> pd.DataFrame | None:
    """The usage of the first layer by group."""
    table = report.tables.get("group_usage")
    return None if table is None else _filled(table[table["layer"] == 1])


def _filled(table: pd.DataFrame | None) -> pd.DataFrame | None:
    return None if table is None or table.empty else table


def _headroom(report: Report) -> pd.DataFrame | None:
    table = report.tables.get("headroom")
    return None if table is None or table["gain_share"].isna().all() else table


def _redundancy(report: Report) -> pd.DataFrame | None:
    pairs = report.tables.get("layer_pairs")
    return None if pairs is None or pairs["ami"].isna().all() else pairs


def _residual(report: Report) -> pd.DataFrame | None:
    columns = [name for name in map(str, report.layers) if name in ("layer", "residual_energy", "gaussian_energy")]
    known = report.layers[columns].dropna(subset=["residual_energy"])
    return None if known.empty else known


def _clips(report: Report, metric: str) -> pd.DataFrame | None:
    rows = _errors(report, metric)
    if rows is None:
        return None
    table = clip_table(report.clips, report.clip_errors, metric)
    return None if table.empty else table.assign(metric=metric, unit=rows["unit"].iloc[0])


def _draw_clips(table: pd.DataFrame, report: Report) -> go.Figure:
    metric, unit = str(table["metric"].iloc[0]), str(table["unit"].iloc[0])
    return clip_error_figure(table, metric, unit, words.is_canonical(report.clips))


METRICS = tuple(name for name in METRIC_NAMES if name != "foot_skating_original")
"""Metrics with a curve; the skating of the original is the same at every depth."""


def _headline(of: Callable[[Report, str], pd.DataFrame | None]) -> Callable[[Report], pd.DataFrame | None]:
    """The table of the metric that tells most of this report."""

    def table(report: Report) -> pd.DataFrame | None:
        rows = words.headline_metric(report.overall)
        return of(report, str(rows["metric"].iloc[0])) if len(rows) else None

    return table


def _other(of: Callable[[Report, str], pd.DataFrame | None], metric: str) -> Callable[[Report], pd.DataFrame | None]:
    """The table of ``metric``, unless it is the one that tells most: that has its figure already."""

    def table(report: Report) -> pd.DataFrame | None:
        rows = words.headline_metric(report.overall)
        return None if len(rows) and rows["metric"].iloc[0] == metric else of(report, metric)

    return table


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
    return group_usage_figure(table, float(report.layers.loc[report.layers["layer"] == 1, "perplexity"].iloc[0]))


def _draw_image(table: pd.DataFrame, report: Report, order: str = "usage") -> go.Figure:
    del report
    return usage_image(usage_grid(table, order=order), order=order)


def _draw_map(table: pd.DataFrame, report: Report, colour: str) -> go.Figure:
    del report
    return codebook_map(table, colour=colour)


_BY_METRIC = (
    ("error", "Error with the first n quantizers", "reconstruction", _errors, _draw_error),
    ("gain", "Gain of each quantizer", "gain", _gains, _draw_gain),
    ("leave_one_out", "Each layer left out", "leave_one_out", partial(_further, name="leave_one_out"), _draw_left_out),
    ("bits", "Error against bits", "rate_distortion", partial(_further, name="rate_distortion"), _draw_bits),
    ("joints", "Error of each joint, all quantizers", "joints", _joints, _draw_joints),
    ("groups", "Error of each group of clips, all quantizers", "group_errors", _groups, _draw_groups),
    ("clips", "Error of each clip, all quantizers", "clips", _clips, _draw_clips),
)
_CORPORA = (("", "count", ""), ("_training", "train_count", ", training corpus"),
            ("_held_out", "held_out_count", ", held-out corpus"))  # fmt: skip

REPORT_FIGURES: tuple[FigureEntry[Report], ...] = (
    FigureEntry("perplexity", "Perplexity per layer", "perplexity", _perplexity, lambda t, _: perplexity_figure(t)),
    FigureEntry("status", "Used, rare, duplicate and unseen codes", "status", _status, _draw_status),
    *(
        FigureEntry(f"{name}{ending}", f"{title}{where}", what, partial(_counts, column=column), draw, bool(ending))
        for name, title, what, draw in (
            ("usage_image", "Layers and codes", "image", _draw_image),
            ("usage_curves", "Sorted usage", "curves", lambda t, _: usage_curves_figure(t)),
        )
        for ending, column, where in _CORPORA
    ),
    FigureEntry(
        "group_usage", "Perplexity of each group of clips in layer 1", "group_usage", _group_usage, _draw_group_usage
    ),
    *(
        FigureEntry(
            f"map_{colour.replace(' ', '_').lower()}",
            f"Where the codes lie, by {colour}",
            "map",
            partial(_points, colour=colour),
            partial(_draw_map, colour=colour),
            detail=colour in ("EMA count", "status"),
        )
        for colour in COLOURS
    ),
    *(FigureEntry(name, title, what, _headline(of), draw) for name, title, what, of, draw in _BY_METRIC),
    FigureEntry(
        "discovery",
        "Codes discovered",
        "discovery",
        lambda report: _filled(report.tables.get("discovery")),
        lambda t, report: discovery_figure(t, report.layers),
    ),
    FigureEntry("residual", "Variance left by each layer", "residual", _residual, lambda t, _: residual_figure(t)),
    FigureEntry("headroom", "Room for better encoding", "headroom", _headroom, lambda t, _: headroom_figure(t)),
    FigureEntry(
        "redundancy", "Layers that tell the same", "redundancy", _redundancy, lambda t, _: redundancy_figure(t)
    ),
    *(
        FigureEntry(f"{name}_{metric}", f"{title}: {words.metric_name(metric)}", what, _other(of, metric), draw, True)
        for name, title, what, of, draw in _BY_METRIC
        for metric in METRICS
    ),
)
"""Every figure of a report, in the order of the pages."""
