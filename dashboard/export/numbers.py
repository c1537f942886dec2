"""The numbers behind the figures of a report: of each its table, or None where the report has none."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd

from dashboard import words
from dashboard.figures.clip_errors import clip_table
from dashboard.figures.codebook_map import HOVER_COLUMNS
from dashboard.figures.status import status_table
from rvq_core.report import Report
from rvq_core.training.curves import losses

OfReport = Callable[[Report], pd.DataFrame | None]
OfMetric = Callable[[Report, str], pd.DataFrame | None]


def perplexity(report: Report) -> pd.DataFrame:
    """Perplexity of each layer with its intervals, on the clips and the corpora."""
    columns = [name for name in map(str, report.layers) if "perplexity" in name or name.endswith("tokens")]
    return report.layers[["layer", "codes", "ceiling", *columns]]


def status(report: Report) -> pd.DataFrame:
    """Codes of each layer by status."""
    return status_table(report.codes).rename_axis(columns=None).reset_index()


def counts(report: Report, column: str) -> pd.DataFrame | None:
    """Layer, code and count of every code; None where the checkpoint stores no such counts."""
    if report.codes[column].isna().all():
        return None
    codes = report.codes.dropna(subset=[column])
    return codes[["layer", "code"]].assign(count=codes[column].astype("int64"))


def points(report: Report, colour: str) -> pd.DataFrame | None:
    """The codes at their principal components; None where they cannot be coloured so."""
    points = report.projections.get("pca")
    if points is None or (colour == "EMA count" and report.codes["ema_count"].isna().all()):
        return None
    return with_codes(points, report)


def with_codes(points: pd.DataFrame, report: Report) -> pd.DataFrame:
    """Places of codes (layer, code, x, y) beside what the report knows of the codes."""
    columns = [name for name in HOVER_COLUMNS if name not in ("layer", "code")]
    return points.merge(report.codes[["layer", "code", *columns]], on=["layer", "code"], validate="one_to_one")


def errors(report: Report, metric: str) -> pd.DataFrame | None:
    """The error with the first n quantizers."""
    rows = report.overall[report.overall["metric"] == metric].sort_values("n_active")
    return None if rows.empty else rows.drop(columns=["joint", "group"], errors="ignore")


def gains(report: Report, metric: str) -> pd.DataFrame | None:
    """What each quantizer takes off the error."""
    rows = errors(report, metric)
    if rows is None:
        return None
    columns = ["n_active", "metric", "unit", "gain", "gain_low", "gain_high", "worse"]
    return rows[rows["n_active"] > 0][[name for name in columns if name in rows]]


def further(report: Report, metric: str, *, name: str) -> pd.DataFrame | None:
    """Rows of one of the report's further tables that are of a metric."""
    table = report.tables.get(name)
    rows = None if table is None else table[table["metric"] == metric]
    return None if rows is None or rows.empty else rows


def joints(report: Report, metric: str) -> pd.DataFrame | None:
    """The error of each joint with all quantizers."""
    rows = report.reconstruction[report.reconstruction["metric"] == metric]
    if "joint" not in rows or rows["joint"].isna().all():
        return None
    rows = rows[rows["joint"].notna() & (rows["n_active"] == rows["n_active"].max())]
    return rows.drop(columns=["group"], errors="ignore")


def groups(report: Report, metric: str) -> pd.DataFrame | None:
    """The error of each group of clips with all quantizers."""
    rows = report.reconstruction[report.reconstruction["metric"] == metric]
    if "group" not in rows or rows["group"].isna().all():
        return None
    return rows[rows["group"].notna() & (rows["n_active"] == rows["n_active"].max())]


def group_usage(report: Report, layer: int) -> pd.DataFrame | None:
    """The usage of a layer by group."""
    table = report.tables.get("group_usage")
    return None if table is None else _filled(table[table["layer"] == layer])


def discovery(report: Report) -> pd.DataFrame | None:
    """Different codes against tokens, of each layer."""
    return _filled(report.tables.get("discovery"))


def _filled(table: pd.DataFrame | None) -> pd.DataFrame | None:
    return None if table is None or table.empty else table


def headroom(report: Report) -> pd.DataFrame | None:
    """What better encoding would take off the error."""
    table = report.tables.get("headroom")
    return None if table is None or table["gain_share"].isna().all() else table


def redundancy(report: Report) -> pd.DataFrame | None:
    """What each two layers share."""
    pairs = report.tables.get("layer_pairs")
    return None if pairs is None or pairs["ami"].isna().all() else pairs


def residual(report: Report) -> pd.DataFrame | None:
    """The variance left after each layer."""
    columns = [name for name in map(str, report.layers) if name in ("layer", "residual_energy", "gaussian_energy")]
    known = report.layers[columns].dropna(subset=["residual_energy"])
    return None if known.empty else known


def history(report: Report, series: str | None = None) -> pd.DataFrame | None:
    """Rows of a series of the training history, or of all losses, beside the name of the run."""
    table = report.tables.get("training_curves")
    if table is None:
        return None
    rows = table[table["series"].isin(losses(table) if series is None else [series])]
    return None if rows.empty else rows.assign(run=str(report.manifest["checkpoint"]["name"]))


def clips(report: Report, metric: str) -> pd.DataFrame | None:
    """The error of each clip."""
    rows = errors(report, metric)
    if rows is None:
        return None
    table = clip_table(report.clips, report.clip_errors, metric)
    return None if table.empty else table.assign(metric=metric, unit=rows["unit"].iloc[0])


def of_headline(of: OfMetric) -> OfReport:
    """The table of the metric that tells most of this report."""

    def table(report: Report) -> pd.DataFrame | None:
        rows = words.headline_metric(report.overall)
        return of(report, str(rows["metric"].iloc[0])) if len(rows) else None

    return table


def unless_headline(of: OfMetric, metric: str) -> OfReport:
    """The table of ``metric``, unless it is the one that tells most: that has its figure already."""

    def table(report: Report) -> pd.DataFrame | None:
        rows = words.headline_metric(report.overall)
        return None if len(rows) and rows["metric"].iloc[0] == metric else of(report, metric)

    return table
