"""Figures and tables of a set of body parts: those of the body together, and of each part those of its report."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

import pandas as pd
import plotly.graph_objects as go

from dashboard.export.registry import FigureEntry, report_figures
from dashboard.export.tables import REPORT_TABLES, TableEntry
from dashboard.export.text_table import Column
from dashboard.figures.compare import overlaid_errors
from dashboard.figures.reconstruction import metric_name
from rvq_core.parts import PartsReport
from rvq_core.report import Report
from rvq_core.stats.metrics import CURVES

Result = TypeVar("Result")


def parts_figures(report: PartsReport) -> list[FigureEntry[PartsReport]]:
    """``body_error_METRIC``, then ``upper_perplexity`` and so on."""
    body = [
        FigureEntry(
            f"body_error_{metric}", f"Error by part: {metric_name(metric, canonical=True)}", "body_errors",
            partial(_together, metric=metric), _draw_together, detail=metric != "mpjpe",
        )
        for metric in CURVES
    ]  # fmt: skip
    own = [_figure_of(part, entry) for part, one in report.parts.items() for entry in report_figures(one)]
    return [*body, *own]


def parts_tables(report: PartsReport) -> list[TableEntry[PartsReport]]:
    """``errors`` of the body and its parts, then ``upper_layers`` and so on."""
    errors: TableEntry[PartsReport] = TableEntry(
        "errors", "Errors by part and of the whole body, all quantizers", _full, lambda _: ERROR_COLUMNS
    )
    return [errors, *(_table_of(part, entry) for part in report.parts for entry in REPORT_TABLES)]


def _figure_of(part: str, entry: FigureEntry[Report]) -> FigureEntry[PartsReport]:
    def draw(table: pd.DataFrame, report: PartsReport) -> go.Figure:
        return entry.draw(table, report.parts[part])

    title = f"{part.capitalize()}: {entry.title[0].lower()}{entry.title[1:]}"
    return FigureEntry(f"{part}_{entry.name}", title, entry.what, _of_part(part, entry.table), draw, entry.detail)


def _table_of(part: str, entry: TableEntry[Report]) -> TableEntry[PartsReport]:
    title = f"{part.capitalize()}: {entry.title[0].lower()}{entry.title[1:]}"
    return TableEntry(
        f"{part}_{entry.name}", title, _of_part(part, entry.table), _of_part(part, entry.columns), entry.references
    )


def _of_part(part: str, of: Callable[[Report], Result]) -> Callable[[PartsReport], Result]:
    return lambda report: of(report.parts[part])


def _together(report: PartsReport, metric: str) -> pd.DataFrame | None:
    """Errors of the body and of each part's joints in it, over all clips."""
    errors = report.errors
    rows = errors[(errors["posed"] == "together") & errors["group"].isna() & (errors["metric"] == metric)]
    return None if rows.empty else rows.assign(checkpoint=rows["part"])


def _draw_together(table: pd.DataFrame, report: PartsReport) -> go.Figure:
    return overlaid_errors(table, "n_active", canonical=True, numbers=report.line_numbers)


def _full(report: PartsReport) -> pd.DataFrame:
    """The rows over all clips with all quantizers."""
    rows = report.errors[report.errors["group"].isna()]
    return rows[rows["n_active"] == rows.groupby(["part", "posed"])["n_active"].transform("max")]


ERROR_COLUMNS: Sequence[Column] = (
    Column("part", "Part", key=True),
    Column("posed", "Posed", key=True),
    Column("metric", "Metric", section=True),
    Column("unit", "Unit", section=True),
    Column("value", "Error", "low", "high"),
    Column("reference", "Unquantised"),
)
