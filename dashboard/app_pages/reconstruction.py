"""Reconstruction: what each further quantizer buys, and which clips come out badly."""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st

from dashboard import components, words
from dashboard.figures.clip_errors import MAX_CLIPS, clip_error_figure, clip_table
from dashboard.figures.reconstruction import error_figure, gain_figure, metric_name
from dashboard.figures.residual import residual_figure
from rvq_core.report import Report


def main() -> None:
    st.title("Reconstruction", anchor=False)
    report = components.report_or_stop(components.checkpoint_or_stop())
    components.measured_on(report)
    if report.overall.empty:
        st.info("Latents were quantized as they are: there is no motion to compare with, so no error.")
        show_residual(report)
        return
    rows = choose_metric(report)
    show_curve(report, rows)
    left, right = st.columns(2, gap="medium")
    with left:
        show_gain(report, rows)
    with right:
        show_residual(report)
    show_clips(report, rows)


METRICS = (
    "mpjpe", "mpjpe_hands", "velocity_error", "acceleration_error", "rotation_error", "foot_skating", "feature_mse"
)  # fmt: skip


def choose_metric(report: Report) -> pd.DataFrame:
    """Rows of the chosen metric."""
    measured = set(report.overall["metric"]) - {"foot_skating_original"}  # the same at every depth: no curve
    present = [metric for metric in METRICS if metric in measured]
    names = {metric_name(metric, words.is_canonical(report.clips)): metric for metric in present}
    chosen = st.selectbox("Metric", list(names), key="error", bind="query-params", width=340)
    metric = names[chosen] if chosen else present[0]
    return report.overall[report.overall["metric"] == metric].sort_values("n_active")


def show_curve(report: Report, rows: pd.DataFrame) -> None:
    components.heading("Error with the first n quantizers", "reconstruction")
    values = ", ".join(f"{value:.3g}" for value in rows["value"])
    components.chart(
        error_figure(rows, words.is_canonical(report.clips)),
        alt=f"Error against active quantizers, from none to all: {values}",
        key="error_curve",
    )
    if rows["low"].isna().all():
        st.caption("No interval: it takes more than one clip.")


def show_gain(report: Report, rows: pd.DataFrame) -> None:
    components.heading("Gain of each quantizer", "gain")
    values = ", ".join(f"{value:.3g}" for value in rows["gain"].dropna())
    components.chart(
        gain_figure(rows, words.is_canonical(report.clips)),
        alt=f"Bars of the gain of each quantizer: {values}",
        key="gain",
    )


def show_residual(report: Report) -> None:
    components.heading("Variance left by each layer", "residual")
    if report.layers["residual_energy"].isna().all():
        st.info("The latents of these clips do not vary: there is nothing to leave.")
        return
    values = ", ".join(f"{value:.1%}" for value in report.layers["residual_energy"].dropna())
    components.chart(residual_figure(report.layers), alt=f"Variance left after each layer: {values}", key="residual")


def show_clips(report: Report, rows: pd.DataFrame) -> None:
    metric, unit = str(rows["metric"].iloc[0]), str(rows["unit"].iloc[0])
    components.heading("Error of each clip, all quantizers", "clips")
    table = clip_table(report.clips, report.clip_errors, metric)
    if table.empty:
        st.info("No clip has this metric.")
        return
    worst = ", ".join(
        f"{clip} {words.amount(error, unit)}" for clip, error in zip(table["clip"][:3], table["error"][:3], strict=True)
    )
    components.chart(
        clip_error_figure(table, metric, unit, words.is_canonical(report.clips)),
        alt=f"Error per clip, the worst: {worst}",
        key="clip_errors",
    )
    if len(table) > MAX_CLIPS:
        st.caption(f"The {MAX_CLIPS} clips with the largest error; the table has all {len(table):,}.")
    with st.expander("As a table", icon=":material/table:"):
        st.dataframe(table.assign(held_out=table["held_out"].map(WHICH)), hide_index=True, column_config=columns(unit))


WHICH = {True: "held out", False: "trained on"}


def columns(unit: str) -> dict[str, Any]:
    shown = "" if unit == "1" else f" ({unit})"
    return {
        "seconds": st.column_config.NumberColumn("seconds", format="%.1f"),
        "held_out": st.column_config.TextColumn("in training"),
        "error": st.column_config.NumberColumn(f"error{shown}", format="%.4g"),
        "unquantised": st.column_config.NumberColumn(f"without quantization{shown}", format="%.4g"),
    }


main()
