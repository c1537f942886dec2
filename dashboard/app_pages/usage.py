"""Usage: which codes of which layer are chosen, how often, and which never."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import streamlit as st

from dashboard import components, linked, obtain, words
from dashboard.figures.discovery import discovery_figure
from dashboard.figures.groups import group_usage_figure
from dashboard.figures.marking import mark_cells, mark_curves, mark_layers
from dashboard.figures.status import status_figure, status_table
from dashboard.figures.theme import CONFIG
from dashboard.figures.usage_curves import usage_curves_figure
from dashboard.figures.usage_image import ORDERS, codes_of_cell, usage_grid, usage_image, with_clickable_cells
from rvq_core.report import Report
from rvq_core.stats.usage import count_codes, ways_of_counting

SELECTED = "selected clips"
COUNTS = {
    "these clips": "count",
    SELECTED: "selected_count",
    "training corpus": "train_count",
    "held-out corpus": "held_out_count",
}
ORDER_NAMES = {"most used first": "usage", "code number": "code"}


def main() -> None:
    st.title("Usage", anchor=False)
    report = obtain.report_or_stop(components.opened_or_stop())
    components.measured_on(report)
    report = with_selected_clips(report)
    show_status(report)
    show_certainty(report)
    column = choose_counts(report)
    show_image(report, column)
    show_curves(report, column)
    show_groups(report)
    show_sequences(report)
    show_codes(report)


def with_selected_clips(report: Report) -> Report:
    """The report with a column of counts over the selected clips, where there are any."""
    chosen = linked.current().clips
    if not chosen:
        return report
    counts = counts_over(report, set(chosen))
    return replace(report, codes=report.codes.merge(counts, on=["layer", "code"], how="left", validate="one_to_one"))


def counts_over(report: Report, clips: set[str]) -> pd.DataFrame:
    """``selected_count`` of each layer and code: tokens of these clips alone."""
    tokens = [rows for name, rows in zip(report.clips["clip"], report.tokens, strict=True) if name in clips]
    together = np.concatenate(tokens)
    tables = [
        pd.DataFrame({"layer": layer, "code": np.arange(size), "selected_count": count_codes(together[:, q], size)})
        for q, (layer, size) in enumerate(zip(report.layers["layer"], report.layers["codes"], strict=True))
    ]
    return pd.concat(tables, ignore_index=True)


def show_certainty(report: Report) -> None:
    """How much so many tokens can say: corrected figures, what is still to come, and the log's way of counting."""
    components.heading("How sure this is", "certainty")
    st.dataframe(certainty_table(report.layers), hide_index=True, column_config=CERTAINTY_COLUMNS)
    if note := words.unseen_note(report.layers):
        st.caption(note)
    discovery = report.tables.get("discovery")
    if discovery is not None and len(discovery):
        components.heading("Codes discovered", "discovery")
        alt = "Expected number of different codes against tokens, one curve a layer, foreseen up to twice the tokens"
        components.chart(discovery_figure(discovery, report.layers), alt=alt, key="discovery")
    batch = report.manifest["settings"].get("log_batch_tokens")
    if batch:
        components.heading("As the training log counts", "counting")
        ways = ways_of_counting(report.layers, int(batch))
        st.dataframe(ways, hide_index=True, column_config=COUNTING_COLUMNS)
        st.caption(f"As logged: batches of {int(batch):,} tokens.")


def certainty_table(layers: pd.DataFrame) -> pd.DataFrame:
    """The figures of each layer that say how far to trust its perplexity."""
    known = layers["perplexity_low"].notna()
    interval = [
        f"{low:.1f} to {high:.1f}" if sure else "under 5 clips"
        for low, high, sure in zip(layers["perplexity_low"], layers["perplexity_high"], known, strict=True)
    ]
    table = layers[["layer", "tokens", "ceiling", "perplexity", "perplexity_corrected", "unseen", "unseen_mass"]].copy()
    table.insert(4, "interval", interval)
    return table


def show_status(report: Report) -> None:
    components.heading("Used, rare, duplicate and unseen codes", "status")
    table = status_table(report.codes)
    alt = "Stacked bars of codes per layer; unseen: " + ", ".join(map(str, table["unseen"]))
    figure = mark_layers(status_figure(report.codes), linked.current().layers)
    components.chart(figure, alt=alt, key="status")
    if note := words.few_tokens_note(report.layers):
        st.caption(note)


def choose_counts(report: Report) -> str:
    """Column of counts for the figures below: of these clips, or of a corpus stored in the checkpoint."""
    present = [name for name, column in COUNTS.items() if column in report.codes and report.codes[column].notna().any()]
    if len(present) == 1:
        return COUNTS[present[0]]
    chosen = st.segmented_control(
        "Counts of", present, default=present[0], required=True, key="counts", bind="query-params",
        help="Counts of the training and held-out corpus are stored in the checkpoint.",
    )  # fmt: skip
    if chosen == SELECTED:
        clips = linked.current().clips
        tokens = int(report.codes.loc[report.codes["layer"] == 1, "selected_count"].sum())
        st.caption(f"{words.many(len(clips), 'selected clip')}, {words.many(tokens, 'token')} a layer.")
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
    figure = with_clickable_cells(usage_image(grid, order=order), grid, order=order)
    mark_cells(figure, grid, codes, order, column, linked.current().codes)
    event = st.plotly_chart(
        figure, alt=alt, key="image", config=CONFIG, on_select="rerun", selection_mode="points"
    )  # fmt: skip
    together = int(grid.last[0, 0] - grid.first[0, 0]) + 1
    picked = [point["customdata"] for point in event["selection"]["points"] if point.get("customdata")]
    if together == 1:
        st.caption("Click a cell to see its code as movement.")
    else:
        st.caption(
            f"Each cell stands for {together} codes, and is orange where all of them are unseen. Click one to choose "
            "among its codes."
        )
    if not picked:
        return
    layer, code, first, last = map(int, picked[0][:4])
    if first == last:
        components.open_code(layer, code)
    else:
        choose_of_cell(codes_of_cell(codes, layer, (first, last), order=order, counts=column), layer)


def choose_of_cell(rows: pd.DataFrame, layer: int) -> None:
    """The codes of the cell that was clicked, to open one of them."""
    st.markdown(f"**The {len(rows)} codes of the cell in layer {layer}.** Select a row to see the code as movement.")
    codes = [(layer, int(code)) for code in rows["code"]]
    if set(codes) != set(linked.current().codes):
        st.button(
            f"Select all {len(rows)}", key="select_cell", on_click=linked.choose, args=(linked.CODES, codes),
            help="Marks them in the charts of all pages.",
        )  # fmt: skip
    components.codes_to_open(rows[["code", "status", "count", "share"]], layer, key="cell")


def show_curves(report: Report, column: str) -> None:
    components.heading("Sorted usage", "curves")
    codes, chosen = report.codes.dropna(subset=[column]), linked.current()
    figure = mark_curves(usage_curves_figure(codes, counts=column), codes, chosen.codes, chosen.layers, column)
    components.chart(figure, alt="Share of tokens against rank of the code, one curve a layer", key="curves")


def show_groups(report: Report) -> None:
    """Usage by group of one layer, where groups were given."""
    table = report.tables.get("group_usage")
    if table is None or table.empty:
        return
    components.heading("Perplexity of each group of clips", "group_usage")
    layers = report.layers["layer"].tolist()
    layer = components.choose_layer("Layer of the groups", layers, key="group_layer")
    rows = table[table["layer"] == layer]
    overall = float(report.layers["perplexity"].iloc[layers.index(layer)])
    alt = "Perplexity of each group: " + ", ".join(
        f"{group} {value:.1f}" for group, value in zip(rows["group"], rows["perplexity"], strict=True)
    )
    components.chart(group_usage_figure(rows, overall), alt=alt, key="group_usage")
    with st.expander("As a table", icon=":material/table:"):
        st.dataframe(rows[list(GROUP_COLUMNS)], hide_index=True, column_config=GROUP_COLUMNS)


def show_sequences(report: Report) -> None:
    """How long each layer stays on a code, and its most frequent changes."""
    dwell = report.tables.get("dwell")
    if dwell is None or dwell.empty:
        return
    components.heading("How long codes stay", "sequences")
    st.dataframe(dwell_table(dwell, report.layers), hide_index=True, column_config=DWELL_COLUMNS, placeholder="–")
    changes = report.tables["transitions"]
    with st.expander("Most frequent changes of code", icon=":material/table:"):
        if changes.empty:
            st.caption("No code is followed by another one.")
        st.dataframe(changes, hide_index=True, height=300, column_config=CHANGE_COLUMNS)


def dwell_table(dwell: pd.DataFrame, layers: pd.DataFrame) -> pd.DataFrame:
    """The rows of ``dwell`` over all codes of a layer, beside the layer's entropy."""
    rows = dwell[dwell["code"].isna()].merge(layers[["layer", "entropy_bits"]], on="layer")
    return rows[list(DWELL_COLUMNS)]


def show_codes(report: Report) -> None:
    components.heading("Codes of one layer", "codes")
    with st.container(horizontal=True, vertical_alignment="bottom"):
        layer = st.selectbox(
            "Layer", report.layers["layer"].tolist(), key="usage_layer", bind="query-params", width=120
        )
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
    table = code_table(rows)
    event = st.dataframe(
        table, hide_index=True, column_config=COLUMNS, height=360, key="codes_of_layer", on_select="rerun",
        selection_mode="single-row", placeholder="–",
    )  # fmt: skip
    selected = event["selection"]["rows"]
    if selected:
        components.open_code(int(layer or 1), int(table["code"].iloc[selected[0]]))
    st.caption("Select a row to see the code as movement, and where it is chosen.")
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
    "margin_relative": st.column_config.NumberColumn(
        "margin",
        format="%.2f",
        help="How much nearer it would have to come to win a latent, in usual neighbour distances.",
    ),
    "cause": st.column_config.TextColumn("why", width="large"),
}
DWELL_COLUMNS = {
    "layer": st.column_config.NumberColumn("layer", help="1-based"),
    "runs": st.column_config.NumberColumn("runs", help="runs of equal codes", format="localized"),
    "mean_tokens": st.column_config.NumberColumn("mean, tokens", format="%.2f", help="mean length of a run"),
    "p90_tokens": st.column_config.NumberColumn(
        "9 of 10 up to", format="%d", help="tokens: nine runs of ten are no longer"
    ),
    "mean_seconds": st.column_config.NumberColumn("mean, s", format="%.2f", help="mean length of a run in seconds"),
    "self_transition": st.column_config.NumberColumn("stays", format="percent", help="steps that stay on the code"),
    "next_bits": st.column_config.NumberColumn("next, bits", format="%.2f", help="entropy of the next code given this"),
    "entropy_bits": st.column_config.NumberColumn("any, bits", format="%.2f", help="entropy of the layer's codes"),
}

CHANGE_COLUMNS = {
    "layer": st.column_config.NumberColumn("layer", help="1-based"),
    "code": st.column_config.NumberColumn("code", help="0-based"),
    "next_code": st.column_config.NumberColumn("next code", help="0-based"),
    "count": st.column_config.NumberColumn("times", format="localized"),
    "share": st.column_config.NumberColumn("share", format="percent", help="of the layer's changes"),
}

CERTAINTY_COLUMNS = {
    "layer": st.column_config.NumberColumn("layer"),
    "tokens": st.column_config.NumberColumn("tokens N", format="localized"),
    "ceiling": st.column_config.NumberColumn(
        "ceiling", format="localized", help="min(K, N): no perplexity exceeds it."
    ),
    "perplexity": st.column_config.NumberColumn("perplexity", format="%.1f"),
    "interval": st.column_config.TextColumn("with other clips, 95 %"),
    "perplexity_corrected": st.column_config.NumberColumn(
        "corrected", format="%.1f", help="Chao and Shen: few tokens make the plain figure too low."
    ),
    "unseen": st.column_config.NumberColumn("unseen", format="localized"),
    "unseen_mass": st.column_config.NumberColumn(
        "unseen mass", format="percent", help="Share of the tokens to come that will fall on codes not seen yet."
    ),
}

GROUP_COLUMNS = {
    "group": st.column_config.TextColumn("group", pinned=True),
    "clips": st.column_config.NumberColumn("clips"),
    "tokens": st.column_config.NumberColumn("tokens", format="localized"),
    "used": st.column_config.NumberColumn("codes used", format="localized"),
    "only_here": st.column_config.NumberColumn(
        "only here", format="localized", help="Codes that no clip outside the group uses."
    ),
    "perplexity": st.column_config.NumberColumn("perplexity", format="%.1f"),
    "perplexity_low": st.column_config.NumberColumn("from", format="%.1f", help="95 % over clips; from 5 clips on."),
    "perplexity_high": st.column_config.NumberColumn("to", format="%.1f", help="95 % over clips; from 5 clips on."),
    "perplexity_corrected": st.column_config.NumberColumn("corrected", format="%.1f", help="Chao and Shen."),
    "distance": st.column_config.NumberColumn(
        "distance",
        format="%.2f",
        help="Of its shares of codes from all other clips': 0 the same, 1 no code in common.",
    ),
    "distance_chance": st.column_config.NumberColumn(
        "by chance",
        format="%.2f",
        help="The same for groups of this size at random: only what exceeds it counts.",
    ),
}

COUNTING_COLUMNS = {
    "counting": st.column_config.TextColumn("counting"),
    "mean": st.column_config.NumberColumn("mean of layers", format="%.1f"),
    "lowest": st.column_config.NumberColumn("lowest layer's", format="%.1f"),
    "lowest_layer": st.column_config.NumberColumn("which is layer"),
    "ceiling": st.column_config.NumberColumn("ceiling", format="%.0f"),
}

main()
