"""Usage: which codes of which layer are chosen, how often, and which never."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from dashboard import components, words
from dashboard.figures.status import status_figure, status_table
from dashboard.figures.usage_curves import usage_curves_figure
from dashboard.figures.usage_image import ORDERS, usage_grid, usage_image
from rvq_core.report import Report

COUNTS = {"these clips": "count", "training corpus": "train_count", "held-out corpus": "held_out_count"}
ORDER_NAMES = {"most used first": "usage", "code number": "code"}


def main() -> None:
    st.title("Usage", anchor=False)
    report = components.report_or_stop(components.checkpoint_or_stop())
    components.measured_on(report)
    show_status(report)
    column = choose_counts(report)
    show_image(report, column)
    show_curves(report, column)
    show_codes(report)


def show_status(report: Report) -> None:
    components.heading("Used, rare, duplicate and unseen codes", "status")
    table = status_table(report.codes)
    alt = "Stacked bars of codes per layer; unseen: " + ", ".join(map(str, table["unseen"]))
    components.chart(status_figure(report.codes), alt=alt, key="status")
    if note := words.few_tokens_note(report.layers):
        st.caption(note)


def choose_counts(report: Report) -> str:
    """Column of counts for the figures below: of these clips, or of a corpus stored in the checkpoint."""
    present = [name for name, column in COUNTS.items() if report.codes[column].notna().any()]
    if len(present) == 1:
        return COUNTS[present[0]]
    chosen = st.segmented_control(
        "Counts of", present, default=present[0], required=True, key="counts", bind="query-params",
        help="Counts of the training and held-out corpus are stored in the checkpoint.",
    )  # fmt: skip
    st.caption(words.corpus_note(report.layers, report.manifest["checkpoint"]["corpora"]) or "")
    return COUNTS[chosen or present[0]]


def show_image(report: Report, column: str) -> None:
    components.heading("Layers and codes", "image")
    order = ORDER_NAMES[
        st.segmented_control(
            "Codes in the order of", list(ORDER_NAMES), default="most used first", required=True, key="order",
            bind="query-params",
        )
        or "most used first"
    ]  # fmt: skip
    assert order in ORDERS
    codes = report.codes.dropna(subset=[column])
    grid = usage_grid(codes, order=order, counts=column)
    alt = "Image of usage: rows are layers, columns codes, colour how often a code is chosen"
    components.chart(usage_image(grid, order=order), alt=alt, key="image")
    together = int(grid.last[0, 0] - grid.first[0, 0]) + 1
    if together > 1:
        st.caption(f"Each cell stands for {together} codes, and is orange where all of them are unseen.")


def show_curves(report: Report, column: str) -> None:
    components.heading("Sorted usage", "curves")
    figure = usage_curves_figure(report.codes.dropna(subset=[column]), counts=column)
    components.chart(figure, alt="Share of tokens against rank of the code, one curve a layer", key="curves")


def show_codes(report: Report) -> None:
    st.subheader("Codes of one layer", anchor=False)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        layer = st.selectbox("Layer", report.layers["layer"].tolist(), key="layer", bind="query-params", width=120)
        statuses = st.multiselect(
            "Status", ["used", "rare", "duplicate", "unseen"], key="status_filter", bind="query-params",
            placeholder="all", width=420,
        )  # fmt: skip
    rows = report.codes[report.codes["layer"] == layer]
    if statuses:
        rows = rows[rows["status"].isin(statuses)]
    if rows.empty:
        st.info(f"No code of layer {layer} is {' or '.join(statuses)}.")
        return
    st.dataframe(code_table(rows), hide_index=True, column_config=COLUMNS, height=360)
    if rows["ema_count"].isna().all():
        st.caption("EMA counts: not in this checkpoint.")


def code_table(rows: pd.DataFrame) -> pd.DataFrame:
    columns = [name for name in COLUMNS if name in rows and (rows[name].notna().any() or name == "count")]
    return rows.assign(cause=rows["cause"].fillna("")).sort_values("count", ascending=False)[columns]


COLUMNS = {
    "code": st.column_config.NumberColumn("code", pinned=True),
    **components.CODE_COLUMNS,
    "train_count": st.column_config.NumberColumn("tokens, training", format="localized"),
    "held_out_count": st.column_config.NumberColumn("tokens, held out", format="localized"),
    "cause": st.column_config.TextColumn("why", width="large"),
}

main()
