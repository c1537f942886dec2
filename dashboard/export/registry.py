"""The figures that can be exported. The Export page, ``rvq-lens export`` and the HTML report read this list.

To add one: write a function that makes its table of a report (None where the report cannot tell), and a line that
names it, its title, the entry of ``words.WHAT`` that explains it, and the function of ``dashboard.figures`` that draws
the table. The figure for print is drawn of the same Plotly figure (docs/export.md).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import pandas as pd
import plotly.graph_objects as go

from dashboard import words
from dashboard.figures.clip_errors import clip_error_figure, clip_table
from dashboard.figures.codebook_map import COLOURS, HOVER_COLUMNS, codebook_map
from dashboard.figures.perplexity import perplexity_figure
from dashboard.figures.reconstruction import METRIC_NAMES, error_figure, gain_figure
from dashboard.figures.residual import residual_figure
from dashboard.figures.status import status_bars, status_table
from dashboard.figures.usage_curves import usage_curves_figure
from dashboard.figures.usage_image import usage_grid, usage_image
from rvq_core.errors import SettingsError
from rvq_core.report import Report


@dataclass(frozen=True, slots=True)
class FigureEntry:
    """One figure: its table of a report, and the drawing of that table.

    ``name`` is its file's and that of ``--figures``; ``title`` stands above it, ``what`` names its explanation in
    ``words.WHAT``. ``table`` gives the numbers, which are exported as CSV, or None where the report has none;
    ``draw`` the Plotly figure of them. ``detail`` figures are the same for another metric: left out of the HTML report.
    """

    name: str
    title: str
    what: str
    table: Callable[[Report], pd.DataFrame | None]
    draw: Callable[[pd.DataFrame, Report], go.Figure]
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


def _points(report: Report) -> pd.DataFrame | None:
    points = report.projections.get("pca")
    if points is None:
        return None
    columns = [name for name in HOVER_COLUMNS if name not in ("layer", "code")]
    return points.merge(report.codes[["layer", "code", *columns]], on=["layer", "code"], validate="one_to_one")


def _errors(report: Report, metric: str) -> pd.DataFrame | None:
    rows = report.overall[report.overall["metric"] == metric].sort_values("n_active")
    return None if rows.empty else rows.drop(columns=["joint", "group"], errors="ignore")


def _gains(report: Report, metric: str) -> pd.DataFrame | None:
    rows = _errors(report, metric)
    return None if rows is None else rows[rows["n_active"] > 0][["n_active", "metric", "unit", "gain", "worse"]]


def _residual(report: Report) -> pd.DataFrame | None:
    known = report.layers[["layer", "residual_energy"]].dropna()
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


def _draw_image(table: pd.DataFrame, report: Report, order: str = "usage") -> go.Figure:
    del report
    return usage_image(usage_grid(table, order=order), order=order)


def _draw_map(table: pd.DataFrame, report: Report, colour: str) -> go.Figure:
    del report
    return codebook_map(table, colour=colour)


_BY_METRIC = (
    ("error", "Error with the first n quantizers", "reconstruction", _errors, _draw_error),
    ("gain", "Gain of each quantizer", "gain", _gains, _draw_gain),
    ("clips", "Error of each clip, all quantizers", "clips", _clips, _draw_clips),
)
_CORPORA = (("", "count", ""), ("_training", "train_count", ", training corpus"),
            ("_held_out", "held_out_count", ", held-out corpus"))  # fmt: skip

REPORT_FIGURES: tuple[FigureEntry, ...] = (
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
    *(
        FigureEntry(
            f"map_{colour}", f"Where the codes lie, by {colour}", "map", _points, partial(_draw_map, colour=colour)
        )
        for colour in COLOURS
    ),
    *(FigureEntry(name, title, what, _headline(of), draw) for name, title, what, of, draw in _BY_METRIC),
    FigureEntry("residual", "Variance left by each layer", "residual", _residual, lambda t, _: residual_figure(t)),
    *(
        FigureEntry(f"{name}_{metric}", f"{title}: {words.metric_name(metric)}", what, _other(of, metric), draw, True)
        for name, title, what, of, draw in _BY_METRIC
        for metric in METRICS
    ),
)
"""Every figure of a report, in the order of the pages."""


def figures_of(report: Report, names: Sequence[str] | None = None) -> list[tuple[FigureEntry, pd.DataFrame]]:
    """The figures that this report can show, with their tables; ``names`` chooses some.

    Raises SettingsError for a name that is not in the list, or that this report has no numbers for.
    """
    possible = [(entry, table) for entry in REPORT_FIGURES if (table := entry.table(report)) is not None]
    if names is None:
        return possible
    found = {entry.name: (entry, table) for entry, table in possible}
    missing = [name for name in names if name not in found]
    if missing:
        raise SettingsError(
            "figures", expected=f"some of {', '.join(found)}", found=", ".join(missing), do="name those of this report"
        )
    return [found[name] for name in dict.fromkeys(names)]
