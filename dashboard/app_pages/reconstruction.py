"""Reconstruction: what each quantizer buys, what is left to gain, what the codes cost, where the error lies."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from dashboard import body_errors, components, layer_words, linked, obtain, words
from dashboard.figures.clip_errors import MAX_CLIPS, clip_error_figure, clip_table
from dashboard.figures.groups import group_error_figure
from dashboard.figures.headroom import headroom_figure
from dashboard.figures.joints import joint_figure
from dashboard.figures.marking import mark_clips, mark_layers, with_selected_clips
from dashboard.figures.rate_distortion import rate_distortion_figure
from dashboard.figures.reconstruction import error_figure, gain_figure, leave_one_out_figure, metric_name
from dashboard.figures.redundancy import redundancy_figure
from dashboard.figures.residual import residual_figure
from rvq_core.parts import PartSet
from rvq_core.report import Report
from rvq_core.stats.metrics import CURVES
from rvq_core.stats.reconstruction import reconstruction_table


def main() -> None:
    st.title("Reconstruction", anchor=False)
    opened = components.opened_or_stop()
    report = obtain.report_or_stop(opened)
    if isinstance(opened.subject, PartSet):
        show_body(opened.subject, str(opened.part))
    components.measured_on(report)
    if report.overall.empty:
        st.info("Latents were quantized as they are: there is no motion to compare with, so no error.")
        show_room(report)
        show_redundancy(report)
        return
    rows = choose_metric(report)
    show_curve(report, rows)
    show_worth(report, rows)
    show_room(report)
    show_bits(report, rows)
    show_where(report, rows)


def show_body(part_set: PartSet, part: str) -> None:
    """Of a set of body parts first what they make together."""
    whole = obtain.analysed_or_stop(part_set)
    components.measured_on(whole)
    body_errors.show_curves(whole)
    body_errors.show_table(whole)
    st.header(f"{part.capitalize()}, alone", anchor=False)
    st.caption("From here on one part, as the sidebar names it, with all other joints at rest.")


def choose_metric(report: Report) -> pd.DataFrame:
    """Rows of the chosen metric."""
    measured = set(report.overall["metric"])
    # Features last: they tell least where there are joints.
    present = sorted((metric for metric in CURVES if metric in measured), key=lambda metric: metric == "feature_mse")
    names = {metric_name(metric, words.is_canonical(report.clips)): metric for metric in present}
    chosen = st.selectbox("Metric", list(names), key="error", bind="query-params", width=340)
    metric = names[chosen] if chosen else present[0]
    return report.overall[report.overall["metric"] == metric].sort_values("n_active")


def of_metric(report: Report, table: str, rows: pd.DataFrame) -> pd.DataFrame:
    """Rows of one of the report's tables that are of the chosen metric."""
    found = report.tables[table]
    return found[found["metric"] == rows["metric"].iloc[0]]


def show_curve(report: Report, rows: pd.DataFrame) -> None:
    components.heading("Error with the first n quantizers", "reconstruction")
    values = ", ".join(f"{value:.3g}" for value in rows["value"])
    figure = error_figure(rows, words.is_canonical(report.clips))
    if len(own := of_selected_clips(report, str(rows["metric"].iloc[0]))):
        with_selected_clips(figure, own, len(linked.current().clips))
    components.chart(
        figure,
        alt=f"Error against active quantizers, from none to all: {values}",
        key="error_curve",
    )
    if rows["low"].isna().all():
        st.caption("No interval: it takes more than one clip.")
    st.markdown(layer_words.needed_sentence(of_metric(report, "quantizers_needed", rows)))


def of_selected_clips(report: Report, metric: str) -> pd.DataFrame:
    """The error curve of the selected clips alone, with its interval; empty where none has the metric."""
    errors = report.clip_errors
    own = errors[errors["clip"].isin(linked.current().clips) & (errors["metric"] == metric)]
    if own.empty:
        return own
    return reconstruction_table(own, int(report.manifest["settings"]["seed"])).sort_values("n_active")


def show_worth(report: Report, rows: pd.DataFrame) -> None:
    """What each layer is worth: added after the ones before it, and left out alone."""
    left, right = st.columns(2, gap="medium")
    canonical = words.is_canonical(report.clips)
    with left:
        components.heading("Gain of each quantizer", "gain")
        values = ", ".join(f"{value:.3g}" for value in rows["gain"].dropna())
        figure = mark_layers(gain_figure(rows, canonical), linked.current().layers)
        components.selectable_chart(figure, alt=f"Bars of the gain of each quantizer: {values}", view="gain")
    with right:
        components.heading("Each layer left out", "leave_one_out")
        left_out = of_metric(report, "leave_one_out", rows)
        if left_out.empty:
            st.info(layer_words.NOT_MEASURED)
            return
        values = ", ".join(f"{value:.3g}" for value in left_out["rise"])
        components.chart(
            mark_layers(leave_one_out_figure(left_out, canonical), linked.current().layers),
            alt=f"Bars of the error added where one layer is left out: {values}",
            key="leave_one_out",
        )
        st.caption(layer_words.detail_note(left_out))


def show_room(report: Report) -> None:
    """What is left to gain: of the latents' variance, and by better encoding."""
    left, right = st.columns(2, gap="medium")
    with left:
        show_residual(report)
    with right:
        components.heading("Room for better encoding", "headroom")
        table = report.tables["headroom"]
        if table.empty:
            st.info(layer_words.NOT_MEASURED)
            return
        widest = table[table["beam"] == table["beam"].max()].dropna(subset=["gain_share"])
        values = ", ".join(f"{row['metric']} {row['gain_share']:.1%}" for _, row in widest.iterrows())
        components.chart(
            headroom_figure(table),
            alt=f"Bars of the share of error that beam search takes off; the widest beam: {values}",
            key="headroom",
        )
        st.caption(layer_words.detail_note(table))


def show_residual(report: Report) -> None:
    components.heading("Variance left by each layer", "residual")
    if report.layers["residual_energy"].isna().all():
        st.info("The latents of these clips do not vary: there is nothing to leave.")
        return
    values = ", ".join(f"{value:.1%}" for value in report.layers["residual_energy"].dropna())
    components.chart(residual_figure(report.layers), alt=f"Variance left after each layer: {values}", key="residual")


def show_bits(report: Report, rows: pd.DataFrame) -> None:
    """What the codes cost, and which layers tell the same."""
    left, right = st.columns(2, gap="medium")
    with left:
        components.heading("Error against bits", "rate_distortion")
        bits = of_metric(report, "rate_distortion", rows)
        reference = rows["reference"].iloc[0]
        components.chart(
            rate_distortion_figure(
                bits, None if pd.isna(reference) else float(reference), words.is_canonical(report.clips)
            ),
            alt="Error against the bits that the codes cost, counted in three ways. " + layer_words.rate_sentence(bits),
            key="rate_distortion",
        )
        st.caption(layer_words.rate_sentence(bits) + layer_words.rate_note(report.tables["rate"]))
    with right:
        show_redundancy(report)


def show_redundancy(report: Report) -> None:
    components.heading("Layers that tell the same", "redundancy")
    pairs = report.tables["layer_pairs"]
    if len(pairs) == 0 or pairs["ami"].isna().all():
        st.info("There is nothing to compare: it takes two layers whose codes vary.")
        return
    most = pairs.sort_values("ami", na_position="first").iloc[-1]
    components.chart(
        redundancy_figure(pairs),
        alt=f"Adjusted mutual information of each two layers; the most, {most['ami']:.2f}, between layers "
        f"{most['layer']} and {most['other_layer']}",
        key="redundancy",
    )
    st.caption(layer_words.tuples_sentence(report.tables["tuples"]))


def show_where(report: Report, rows: pd.DataFrame) -> None:
    """On which joints, in which groups and in which clips the error lies."""
    metric, depth = rows["metric"].iloc[0], rows["n_active"].max()
    split = report.reconstruction
    joints = split[(split["metric"] == metric) & (split["n_active"] == depth)]
    joints = joints[joints["joint"].notna()] if "joint" in joints else joints[:0]
    if len(joints):
        components.heading("Error of each joint, all quantizers", "joints")
        worst = ", ".join(joints.sort_values("value", ascending=False)["joint"].head(3).str.replace("_", " "))
        components.chart(
            joint_figure(joints, words.is_canonical(report.clips)),
            alt=f"Bars of the error of each joint; the largest: {worst}",
            key="joints",
        )
    show_groups(report, rows)
    show_clips(report, rows)


def show_groups(report: Report, rows: pd.DataFrame) -> None:
    """Error by group, where groups were given."""
    split, full = report.reconstruction, rows.iloc[-1]
    if "group" not in split:
        return
    own = (split["metric"] == full["metric"]) & (split["n_active"] == full["n_active"]) & split["group"].notna()
    if not own.any():
        return
    components.heading("Error of each group of clips, all quantizers", "group_errors")
    groups = split[own]
    alt = "Error of each group: " + ", ".join(
        f"{group} {words.amount(value, str(full['unit']))}"
        for group, value in zip(groups["group"], groups["value"], strict=True)
    )
    canonical = words.is_canonical(report.clips)
    components.chart(group_error_figure(groups, float(full["value"]), canonical), alt=alt, key="group_errors")


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
    chosen = linked.current()
    figure = clip_error_figure(table, metric, unit, words.is_canonical(report.clips))
    components.selectable_chart(
        mark_clips(figure, chosen.clips), alt=f"Error per clip, the worst: {worst}", view="clip_errors"
    )
    st.caption("Click clips, or draw around some, to mark them on all pages and to see their error and usage alone.")
    if chosen.codes:
        table["selected_codes"] = table["clip"].map(share_on_codes(report, set(chosen.codes)))
    if len(table) > MAX_CLIPS:
        st.caption(f"The {MAX_CLIPS} clips with the largest error; the table has all {len(table):,}.")
    with st.expander("As a table", icon=":material/table:"):
        st.dataframe(table.assign(held_out=table["held_out"].map(WHICH)), hide_index=True, column_config=columns(unit))


def share_on_codes(report: Report, codes: set[linked.Code]) -> dict[str, float]:
    """Share of each clip's latent positions that choose at least one of the codes."""
    wanted = np.zeros((len(report.layers), report.layers["codes"].max()), dtype=bool)
    for layer, code in codes:
        wanted[layer - 1, code] = True
    layers = np.arange(len(wanted))
    return {
        str(name): float(wanted[layers, tokens].any(axis=1).mean())
        for name, tokens in zip(report.clips["clip"], report.tokens, strict=True)
    }


WHICH = {True: "held out", False: "trained on"}


def columns(unit: str) -> dict[str, Any]:
    shown = "" if unit == "1" else f" ({unit})"
    return {
        "seconds": st.column_config.NumberColumn("seconds", format="%.1f"),
        "held_out": st.column_config.TextColumn("in training"),
        "selected_codes": st.column_config.NumberColumn(
            "selected codes", format="percent", help="Share of its latent positions that choose one of the codes."
        ),
        "error": st.column_config.NumberColumn(f"error{shown}", format="%.4g"),
        "unquantised": st.column_config.NumberColumn(f"without quantization{shown}", format="%.4g"),
    }


main()
