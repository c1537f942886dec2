"""Compare: other checkpoints against the one in the sidebar, on the same clips; what differs, and how sure that is."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import streamlit as st

from dashboard import components, data, linked, obtain, state, watched_pair, words
from dashboard.figures import compare as figures
from dashboard.figures.marking import mark_layers
from dashboard.figures.reconstruction import metric_name
from dashboard.sweep import (
    AXES_AT_FIRST,
    SWEEP,
    compared_table,
    parallel_axes,
    readable,
    short_settings,
    sweep_table,
)
from rvq_core.compare import Comparison, Matching
from rvq_core.errors import RVQLensError
from rvq_core.report import Report
from rvq_core.stats.metrics import CURVES

MOST_CHECKPOINTS = 50
MOST_LINES = 8
"""Checkpoints whose curves are drawn into one figure; of more, those of the lowest error."""

MOST_AXES = 6
"""Settings among parallel coordinates, at most."""

FEWEST = 2


def main() -> None:
    st.title("Compare", anchor=False)
    opened = components.opened_or_stop()
    baseline = obtain.report_or_stop(opened)
    reports = {state.checkpoint_name(): baseline} | other_reports(opened.part)
    if len(reports) == 1:
        return
    try:
        comparison = data.comparison(reports)
    except RVQLensError as error:
        components.error_box(error)
        return
    tell_clips(comparison)
    canonical = words.is_canonical(baseline.clips)
    rows = choose_metric(comparison, canonical)
    show_table(comparison, rows, canonical)
    show_curves(comparison, rows, canonical)
    show_config(comparison)
    show_codes(reports)
    watched_pair.show(reports, opened.part)
    tell_refused(comparison)


def other_reports(part: str | None) -> dict[str, Report]:
    """Reports of the checkpoints to compare (of sets: of ``part``), analysed; those that cannot be are told."""
    paths, baseline = state.checkpoints(), state.checkpoint_name()
    names = alike_first(paths, baseline)
    if not names:
        st.info(
            "There is only one checkpoint here. Upload another in the sidebar, or start with `rvq-lens dash "
            "--checkpoints FOLDER`: a folder of a whole sweep.",
            icon=":material/compare_arrows:",
        )
        return {}
    first = [name for name in names[:1] if paths[name].is_dir() == paths[baseline].is_dir()]
    _leave_out_the_baseline(names, first)
    most = names[: MOST_CHECKPOINTS - 1]
    with st.container(horizontal=True, vertical_alignment="bottom"):
        wanted = st.multiselect(
            f"Compare with the baseline {state.checkpoint_name()}", names, default=first, key="compare",
            bind="query-params", placeholder="other checkpoints", max_selections=MOST_CHECKPOINTS - 1,
            help="The baseline is the checkpoint in the sidebar. Every checkpoint is run on the same clips.",
        )  # fmt: skip
        if len(wanted) < len(most):
            st.button(f"All {len(most)}", key="compare_all", on_click=_compare_with, args=(most,), width="content")
    if not wanted:
        st.info("Choose at least one checkpoint to compare with the baseline.", icon=":material/compare_arrows:")
    return obtain.reports_beside(wanted, part)


def alike_first(paths: Mapping[str, Path], baseline: str) -> list[str]:
    """Names of what can be compared; sets of body parts before checkpoints where the baseline is one, else behind."""
    of_set = paths[baseline].is_dir()
    names = [name for name in paths if name != baseline]
    return sorted(names, key=lambda name: paths[name].is_dir() != of_set)


def _leave_out_the_baseline(names: list[str], first: list[str]) -> None:
    """Where the sidebar made one of those compared the baseline, go on with the others, or with the first like it."""
    before = st.session_state.get("compare")
    if before and not set(before) <= set(names):
        st.session_state["compare"] = [name for name in before if name in names] or first


def _compare_with(names: list[str]) -> None:
    st.session_state["compare"] = names


def tell_clips(comparison: Comparison) -> None:
    clips = comparison.manifest["clips"]
    st.caption(
        f"Measured on the {clips['count']} clips ({clips['seconds']:,.1f} s) that all have. Differences are to "
        f"**{components.escaped(comparison.baseline)}**, with 95 % intervals over clips drawn alike for both."
    )
    for sentence in comparison.manifest["notes"][1:]:
        st.caption(components.escaped(sentence))


def choose_metric(comparison: Comparison, canonical: bool) -> pd.DataFrame:
    """Differences of the chosen metric with all quantizers; empty where no error can be compared."""
    metrics = comparison.tables["metrics"]
    depth = comparison.tables["usage"].groupby("checkpoint")["layer"].max()
    full = metrics["n_active"].eq(metrics["checkpoint"].map(depth).astype("int64"))
    full &= metrics["baseline_n_active"].eq(int(depth[comparison.baseline]))
    present = [name for name in CURVES if name in set(metrics["metric"])]
    if not present:
        st.info("No reconstruction error can be compared: the reasons stand at the end of the page.")
        return metrics[full]
    present = sorted(present, key=lambda name: name != "mpjpe")
    names = {metric_name(name, canonical): name for name in present}
    chosen = st.selectbox("Metric", list(names), key="compared_error", bind="query-params", width=340)
    return metrics[full & (metrics["metric"] == names.get(chosen or "", present[0]))]


def show_table(comparison: Comparison, rows: pd.DataFrame, canonical: bool) -> None:
    components.heading("Against the baseline, all quantizers", "compared")
    sweep = len(comparison.names) >= SWEEP
    table = sweep_table(comparison, rows) if sweep else compared_table(comparison, rows)
    if sweep:
        wanted = st.text_input(
            "Only rows with", key="filter", bind="query-params", width=340, placeholder="part of a name or setting"
        )
        table = rows_with(table, wanted or "")
    height = "content" if len(table) < 14 else 500
    event = st.dataframe(
        table, hide_index=True, column_config=columns(rows), height=height, placeholder="–", key="compared",
        on_select="rerun", selection_mode="single-row",
    )  # fmt: skip
    picked = [str(table["checkpoint"].iloc[row]) for row in event["selection"]["rows"] if row < len(table)]
    offer(picked, comparison)
    if len(rows) > 1:
        alt = "Differences to the baseline with intervals: " + "; ".join(
            f"{row['checkpoint']} {row['delta']:+.3g}, {row['words']}" for row in rows.to_dict("records")
        )
        components.chart(figures.differences(rows, comparison.baseline, canonical), alt=alt, key="differences")
    if sweep and len(table) > 1:
        components.heading("Settings and figures, a line a checkpoint", "parallel")
        axes = parallel_axes(table, choose_settings(table))
        alt = f"Parallel coordinates of {', '.join(map(str, axes.columns))}"
        components.chart(figures.parallel_coordinates(axes), alt=alt, key="parallel")


def offer(picked: list[str], comparison: Comparison) -> None:
    """What can be done with the row that is selected."""
    names = [name for name in picked if name != comparison.baseline]
    if not names:
        st.caption("Select a row to make that checkpoint the baseline, or to look at it and the baseline alone.")
        return
    name = names[0]
    with st.container(horizontal=True):
        others = [other for other in comparison.names if other != name]
        shown = components.escaped(name)
        st.button(f"Make {shown} the baseline", key="new_baseline", on_click=make_baseline, args=(name, others))
        if len(comparison.names) > FEWEST:
            st.button(f"Only {shown} and the baseline", key="picked_pair", on_click=open_pair, args=(name,))


def make_baseline(name: str, others: list[str]) -> None:
    """Choose another checkpoint in the sidebar, and compare it with those that are compared now."""
    st.session_state["checkpoint"] = name
    st.session_state["compare"] = others


def choose_settings(table: pd.DataFrame) -> list[str]:
    """Settings that become axes, of those that can stand on one: numbers and short words."""
    settings = short_settings(table)
    if len(settings) <= AXES_AT_FIRST:
        return settings
    if not set(before := st.session_state.get("axes", [])) <= set(settings):  # other checkpoints differ in others
        st.session_state["axes"] = [name for name in before if name in settings] or settings[:AXES_AT_FIRST]
    return st.multiselect(
        "Settings", settings, default=settings[:AXES_AT_FIRST], key="axes", bind="query-params",
        max_selections=MOST_AXES, help="Those that differ. An axis each; the figures follow them, the error last.",
    )  # fmt: skip


def rows_with(table: pd.DataFrame, wanted: str) -> pd.DataFrame:
    """Rows that hold a text in any of their columns, in whatever case."""
    texts = [" ".join(map(str, row)).lower() for row in table.itertuples(index=False)]
    return table[[wanted.lower() in text for text in texts]]


def columns(rows: pd.DataFrame) -> dict[str, Any]:
    unit = "" if rows.empty or rows["unit"].iloc[0] == "1" else f" ({rows['unit'].iloc[0]})"
    return {
        "checkpoint": st.column_config.TextColumn("checkpoint", pinned=True),
        "in words": st.column_config.TextColumn(
            "in words", help="'better' and 'worse' where the 95 % interval of the difference lies on one side of 0"
        ),
        "value": st.column_config.NumberColumn(f"error{unit}", format="%.4g"),
        "delta": st.column_config.NumberColumn(f"difference{unit}", format="%+.3g"),
        "low": st.column_config.NumberColumn("from", format="%+.3g", help="95 % interval, paired over clips"),
        "high": st.column_config.NumberColumn("to", format="%+.3g", help="95 % interval, paired over clips"),
        "perplexity": st.column_config.NumberColumn("perplexity", format="%.1f", help="Mean of the layers"),
        "unseen": st.column_config.NumberColumn("unseen", format="percent", help="Share of all codes, all layers"),
        "codes": st.column_config.NumberColumn("codes", format="localized", help="All layers together"),
    }


def show_curves(comparison: Comparison, rows: pd.DataFrame, canonical: bool) -> None:
    shown = lines_shown(comparison, rows)
    left, right = st.columns(2, gap="medium")
    with left:
        components.heading("Error", "compared_curves")
        named = {"quantizers": "n_active", "nominal bits/s": "nominal_bps", "effective bits/s": "effective_bps"}
        against = st.segmented_control(
            "Against", list(named), default="quantizers", required=True, key="against", bind="query-params"
        )
        curves = comparison.tables["curves"]
        curves = curves[curves["checkpoint"].isin(shown)]
        if len(rows):
            curves = curves[curves["metric"] == rows["metric"].iloc[0]]
            figure = figures.overlaid_errors(curves, named[against or "quantizers"], canonical)
            components.chart(figure, alt=f"Error against {against}, a line each for {', '.join(shown)}", key="curves")
            show_equal_rate(comparison, rows)
    with right:
        components.heading("Perplexity per layer", "perplexity")
        usage = comparison.tables["usage"]
        usage = usage[usage["checkpoint"].isin(shown)]
        alt = f"Perplexity of each layer, a line each for {', '.join(shown)}"
        figure = mark_layers(figures.overlaid_perplexity(usage), linked.current().layers)
        components.chart(figure, alt=alt, key="compared_perplexity")
        show_layers(comparison)
    if len(shown) < len(comparison.names):
        st.caption(f"Curves of the baseline and the {MOST_LINES - 1} checkpoints of the lowest error.")


def lines_shown(comparison: Comparison, rows: pd.DataFrame) -> list[str]:
    """Names of the checkpoints whose curves are drawn, the baseline first."""
    others = rows.sort_values("value")["checkpoint"].tolist()
    others += [name for name in comparison.names[1:] if name not in others]
    return [comparison.baseline, *others[: MOST_LINES - 1]]


def show_equal_rate(comparison: Comparison, rows: pd.DataFrame) -> None:
    table = comparison.tables["equal_rate"]
    table = table[(table["metric"] == rows["metric"].iloc[0]) & (table["rate"] == "nominal")]
    if table.empty:
        st.caption("No number of quantizers costs bits that the baseline reaches too: no error at equal bits.")
        return
    with st.expander("Differences at equal bits", icon=":material/table:"):
        shown = table[
            ["checkpoint", "n_active", "bits_per_second", "value", "baseline", "delta", "low", "high", "words"]
        ]
        config = columns(rows) | {
            "n_active": st.column_config.NumberColumn("quantizers"),
            "bits_per_second": st.column_config.NumberColumn("bits/s", format="%.1f"),
            "baseline": st.column_config.NumberColumn("baseline there", format="%.4g"),
        }
        st.dataframe(shown, hide_index=True, column_config=config)


def show_layers(comparison: Comparison) -> None:
    layers = comparison.tables["layers"]
    layers = layers[layers["figure"] == "perplexity"]
    with st.expander("Differences of each layer", icon=":material/table:"):
        shown = layers[["checkpoint", "layer", "value", "baseline", "delta", "low", "high", "words"]]
        config = {name: column for name, column in columns(layers.head(0)).items() if name in ("delta", "low", "high")}
        for name in ("value", "baseline"):
            config[name] = st.column_config.NumberColumn("perplexity" if name == "value" else name, format="%.1f")
        st.dataframe(shown, hide_index=True, column_config=config)


def show_config(comparison: Comparison) -> None:
    components.heading("Settings that differ", "config")
    table = comparison.tables["config"]
    if table.empty:
        st.info("As far as the files tell, all settings are the same.")
        return
    table = table.assign(value=[str(readable(value)) for value in table["value"].tolist()])
    wide = table.pivot(index="setting", columns="checkpoint", values="value")
    order = list(dict.fromkeys(table["setting"]))
    shown = wide.loc[order, comparison.names].reset_index()
    st.dataframe(shown, hide_index=True, height="content" if len(shown) < 12 else 420)


def show_codes(reports: dict[str, Report]) -> None:
    baseline, *others = reports
    components.heading("Which codes say the same", "matching")
    name = others[0]
    if len(others) > 1:
        name = st.selectbox("Codes of", others, key="codes_of", bind="query-params", width=340) or others[0]
        st.button("Open this pair in Compare", key="open_pair", on_click=open_pair, args=(name,))
    matched = data.matching(reports[name], reports[baseline], name, baseline)
    left, right = st.columns(2, gap="medium")
    with left:
        values = matched.layers.loc[matched.layers["layer"] == matched.layers["baseline_layer"], "ami"]
        alt = "Adjusted mutual information of equal layers: " + ", ".join(f"{value:.2f}" for value in values)
        components.chart(figures.agreement_image(matched.layers, name, baseline), alt=alt, key="agreement")
        if not matched.layers["reliable"].all():
            st.caption("Few tokens for so many codes: under ten for each pair in use, so these figures are uncertain.")
    with right:
        show_matching(matched, name, baseline)


def open_pair(name: str) -> None:
    """Leave only this checkpoint beside the baseline."""
    _compare_with([name])


def show_matching(matched: Matching, name: str, baseline: str) -> None:
    codes = matched.codes
    layers = sorted(int(layer) for layer in codes["layer"].unique())
    if not layers:
        st.info("No code of the one comes at the same moments as a code of the other.")
        return
    layer = st.segmented_control(
        "Layer", layers, default=layers[0], required=True, key="matching_layer", bind="query-params"
    )
    layer = layer or layers[0]
    own = codes[codes["layer"] == layer]
    cells, of_layer = (table[table["layer"] == layer] for table in (matched.moments, matched.layers))
    total, together = int(of_layer["tokens"].iloc[0]), int(own["tokens"].sum())
    by = "by number: two steps of one run, or one codebook" if own["by"].iloc[0] == "number" else "by shared moments"
    alt = f"Matrix of codes of layer {layer}; matched pairs share {together:,} of {total:,} tokens"
    components.chart(figures.matching_image(cells, name, baseline), alt=alt, key="matching")
    shown = int(cells["matched"].sum())
    st.caption(
        f"Matched {by}. {len(own):,} pairs share {together / total:.0%} of {total:,} tokens; the {shown} with most."
    )
    with st.expander("All pairs", icon=":material/table:"):
        st.dataframe(own.drop(columns=["checkpoint", "layer", "by"]), hide_index=True, column_config=PAIR_COLUMNS)


PAIR_COLUMNS = {
    "baseline_code": st.column_config.NumberColumn("baseline's code"),
    "tokens": st.column_config.NumberColumn("shared tokens", format="localized"),
    "share": st.column_config.NumberColumn("of the code's", format="percent"),
    "baseline_share": st.column_config.NumberColumn("of the baseline code's", format="percent"),
}


def tell_refused(comparison: Comparison) -> None:
    if not comparison.refused:
        return
    with st.expander(f"Not compared: {len(comparison.refused)}, and why", icon=":material/block:", expanded=True):
        for entry in comparison.refused:
            parts = (components.escaped(str(entry[key])) for key in ("checkpoint", "what", "reason"))
            st.markdown("- **{}**, {}: {}".format(*parts))


main()
