"""Errors of a set of body parts: of the whole body that they make, and of each part in it and by itself."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import pandas as pd
import streamlit as st

from dashboard import components
from dashboard.figures.compare import overlaid_errors
from dashboard.figures.reconstruction import METRIC_NAMES, axis_name, metric_name
from rvq_core.parts import WHOLE, PartsReport
from rvq_core.stats.metrics import UNITS

IN_TABLE = ("mpjpe", "mpjpe_hands", "rotation_error")


def show_curves(report: PartsReport) -> None:
    """Error against the number of quantizers of every part: of the whole body, and of each part's joints in it."""
    components.heading("Error by part", "body_errors")
    together = report.errors[(report.errors["posed"] == "together") & report.errors["group"].isna()]
    present = [metric for metric in UNITS if metric in set(together["metric"])]
    names = {metric_name(metric, canonical=True): metric for metric in sorted(present, key=lambda m: m != "mpjpe")}
    chosen = st.selectbox("Metric of the body", list(names), key="body_error", bind="query-params", width=340)
    rows = together[together["metric"] == names.get(chosen or "", "mpjpe")].assign(checkpoint=together["part"])
    full = rows[rows["n_active"] == rows["n_active"].max()]
    told = ", ".join(f"{part} {value:.3g}" for part, value in zip(full["part"], full["value"], strict=True))
    figure = overlaid_errors(rows, "n_active", canonical=True, numbers=report.line_numbers)
    components.chart(figure, alt=f"Error against active quantizers by part; with all: {told}", key="body_errors")


def show_table(report: PartsReport) -> None:
    """The errors with all quantizers, each part on the whole body and alone."""
    table = error_table(report)
    st.dataframe(table, hide_index=True, column_config=COLUMNS, placeholder="–", height="content")


def error_table(report: PartsReport) -> pd.DataFrame:
    """One row a part, way of posing and metric, with all quantizers; the two ways of a part beside each other."""
    table = report.errors[report.errors["group"].isna() & report.errors["metric"].isin(IN_TABLE)]
    deepest = table.groupby(["part", "posed"])["n_active"].transform("max")
    full = table[table["n_active"] == deepest]
    order = [WHOLE, *report.parts]
    full = full.sort_values("part", key=lambda parts: parts.map(order.index), kind="stable").reset_index(drop=True)
    return full.assign(metric=[_named(row) for row in full.to_dict("records")])[list(COLUMNS)]


def _named(row: dict[Hashable, Any]) -> str:
    """What a row's metric is called: of a part it is taken over that part's joints, which for hands are no body's."""
    name = axis_name(row["metric"], row["unit"], canonical=True)
    return name if row["part"] == WHOLE else name.replace(METRIC_NAMES["mpjpe"], f"MPJPE, {row['part']}")


COLUMNS = {
    "part": st.column_config.TextColumn("part", pinned=True),
    "posed": st.column_config.TextColumn(
        "posed", help="Together: on the body that all parts make. Alone: all other joints at rest."
    ),
    "metric": st.column_config.TextColumn("metric"),
    "value": st.column_config.NumberColumn("error", format="%.4g"),
    "low": st.column_config.NumberColumn("from", format="%.4g", help="95 % interval over clips"),
    "high": st.column_config.NumberColumn("to", format="%.4g", help="95 % interval over clips"),
    "reference": st.column_config.NumberColumn("without quantization", format="%.4g"),
}
