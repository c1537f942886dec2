"""Code: one code as movement, where it is chosen, and what lies near it or comes with it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import streamlit as st
from streamlit.errors import StreamlitAPIException

from dashboard import code_facts, code_movement, code_way, code_windows, components, data, linked, obtain, state
from dashboard.code_poses import Held
from dashboard.figures.code_usage import code_usage_figure, usage_over_clips
from dashboard.figures.marking import mark_clips
from rvq_core.report import Report
from rvq_core.stats.geometry import nearest_to

NEIGHBOURS = 8

_SHOWN, _REFUSED = "_code_shown", "_code_refused"


def main() -> None:
    st.title("Code", anchor=False)
    opened = components.opened_or_stop()
    ckpt, report = opened.checkpoint, obtain.report_or_stop(opened)
    layer, code = choose_code(report)
    walk_selected(layer, code)
    row = report.codes[(report.codes["layer"] == layer) & (report.codes["code"] == code)].iloc[0]
    components.measured_on(report)
    st.markdown(code_facts.sentence(row, report.layers))
    show_numbers(row)
    clips = data.clips(state.current().clips).clips
    held = Held(ckpt, report, clips, layer)
    code_movement.show(held, code)
    code_windows.show(held, report, clips, code)
    left, right = st.columns(2, gap="medium")
    with left:
        show_clips(report, row)
    with right:
        show_neighbours(report, held.codebook, layer, code)
    show_partners(report, layer, code)
    code_way.show(held, clips, code)
    st.page_link(
        "app_pages/export.py", label="These figures as files", icon=":material/download:",
        query_params={"codes": f"{layer}:{code}"},
    )  # fmt: skip


def choose_code(report: Report) -> tuple[int, int]:
    """The code that the address names, a click led to, or the reader chooses."""
    layers = report.layers["layer"].tolist()
    opened = st.session_state.pop(state.OPENED_CODE, None)
    chosen = linked.news("code page", linked.CODES)
    if opened is None and chosen and not st.query_params.get("code"):
        opened = chosen[0]
    if opened is not None and opened[0] in layers:
        st.session_state["layer"], st.session_state["code"] = opened
    with st.container(horizontal=True, vertical_alignment="bottom"):
        layer = int(st.selectbox("Layer", layers, key="layer", bind="query-params", width=120) or layers[0])
        last = int(report.layers.set_index("layer")["codes"][layer]) - 1
        set_code(report, layer, last)
        # No default: the address names every code, the first one too.
        code = st.number_input(
            "Code", 0, last, value=None, key="code", bind="query-params", width=160,
            help=f"Layer {layer} has the codes 0 to {last}.",
        )  # fmt: skip
        components.what_is_this("code")
    if code is None:  # emptied by hand, or by Back to an address without a code
        st.session_state[_REFUSED] = True
        _go_to(layer, shown_before(report, layer, last))
        st.rerun()
    st.session_state[_SHOWN] = int(code)
    if st.session_state.pop(_REFUSED, False):
        st.caption(f"The field takes a number from 0 to {last}, the codes of layer {layer}; {int(code)} stays.")
    return layer, int(code)


def set_code(report: Report, layer: int, last: int) -> None:
    """Before the field is drawn: a code where neither it nor the address has one that the layer has."""
    asked, now = st.query_params.get("code", ""), st.session_state.get("code")
    if now is None and not (asked.isdecimal() and int(asked) <= last):
        st.session_state["code"] = shown_before(report, layer, last)
        st.session_state[_REFUSED] = _SHOWN in st.session_state
    elif (now or 0) > last:
        st.session_state["code"] = last
    if "code" not in st.query_params:
        try:
            st.query_params["code"] = str(st.session_state["code"])
        except StreamlitAPIException:  # drawn before: the field writes what is set
            st.session_state["code"] = st.session_state["code"]


def shown_before(report: Report, layer: int, last: int) -> int:
    """The code that the page showed last, as far as the layer has it, else the one most used."""
    before = st.session_state.get(_SHOWN)
    return most_used(report, layer) if before is None else min(before, last)


def walk_selected(layer: int, code: int) -> None:
    """Steps through the selected codes, where there are several or this one is not among them."""
    chosen = linked.current().codes
    if not chosen or chosen == ((layer, code),):
        return
    place = chosen.index((layer, code)) if (layer, code) in chosen else None
    before, after = (len(chosen) - 1, 0) if place is None else ((place - 1) % len(chosen), (place + 1) % len(chosen))
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.button("Previous", key="code_before", icon=":material/chevron_left:", on_click=_go_to, args=chosen[before])
        told = "not among the selected" if place is None else f"{place + 1:,} of {len(chosen):,} selected"
        st.markdown(told, width="content")
        st.button("Next", key="code_after", icon=":material/chevron_right:", on_click=_go_to, args=chosen[after])


def _go_to(layer: int, code: int) -> None:
    st.session_state[state.OPENED_CODE] = (layer, code)


def most_used(report: Report, layer: int) -> int:
    """The code that a layer chose most often: an unseen one would have little to show."""
    codes = report.codes[report.codes["layer"] == layer]
    return int(codes["code"].iloc[codes["count"].to_numpy().argmax()])


def show_numbers(row: pd.Series) -> None:
    with st.container(horizontal=True):
        for label, value, meaning in code_facts.numbers(row):
            st.metric(label, value, help=meaning, width=136)


def show_clips(report: Report, row: pd.Series) -> None:
    components.heading("Usage over clips", "code_clips")
    usage = usage_over_clips(report.tokens, report.clips["clip"].tolist(), int(row["layer"]), int(row["code"]))
    if usage.empty:
        st.info("Unseen in all of these clips.")
        return
    alt = f"Bars: share of a clip's tokens on this code; {len(usage)} of {len(report.clips)} clips use it"
    figure = mark_clips(code_usage_figure(usage, float(row["share"])), linked.current().clips)
    components.selectable_chart(figure, alt=alt, view="code_clips")
    st.caption(f"{len(usage)} of {len(report.clips)} clips use it. Click one to mark it on all pages.")


def show_neighbours(report: Report, codebook: np.ndarray, layer: int, code: int) -> None:
    components.heading("Nearest codes", "code_neighbours")
    near = nearest_to(codebook, code, NEIGHBOURS)
    if not len(near.code):
        st.info("The layer has no other code.")
        return
    codes = report.codes[report.codes["layer"] == layer].set_index("code")
    table = codes.loc[near.code, ["status", "count", "share"]].reset_index()
    table.insert(1, "distance", near.distance)
    components.codes_to_open(table, layer, key="neighbours")


def show_partners(report: Report, layer: int, code: int) -> None:
    components.heading("What comes with it", "code_partners")
    partners = report.tables.get("partners", pd.DataFrame({"layer": [], "code": [], "next_layer_code": []}))
    below = partners[(partners["layer"] == layer) & (partners["code"] == code)]
    above = partners[(partners["layer"] == layer - 1) & (partners["next_layer_code"] == code)]
    sides = (
        (f"Layer {layer - 1}, above", layer - 1, above, "code", "This is the first layer."),
        (f"Layer {layer + 1}, below", layer + 1, below, "next_layer_code", "This is the last layer."),
    )
    for place, (title, other, rows, column, none) in zip(st.columns(2, gap="medium"), sides, strict=True):
        with place:
            st.markdown(f"**{title}**" if 1 <= other <= len(report.layers) else none)
            if not 1 <= other <= len(report.layers):
                continue
            if rows.empty:
                st.info("No token of these clips has both, or none of the five most frequent pairs of a code there.")
                continue
            table = rows[[column, "count", "share", "lift"]].rename(columns={column: "code"})
            components.codes_to_open(table.sort_values("count", ascending=False), other, key=f"partners_{other}")


main()
