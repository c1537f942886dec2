"""Parts that all pages share: the report or a box that says why not, charts with their explanation, captions."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from typing import Any

import pandas as pd
import plotly.graph_objects as go
import streamlit as st
from streamlit.errors import StreamlitAPIException

from dashboard import data, docs, linked, links, state, words
from dashboard.explained import WHAT
from dashboard.figures.theme import CONFIG
from dashboard.opened import Analysed, Opened, Subject, of_part
from rvq_core.clips import ClipSet
from rvq_core.errors import RVQLensError
from rvq_core.report import Report

logger = logging.getLogger(__name__)


CODE_COLUMNS = {
    "status": st.column_config.TextColumn("status"),
    "count": st.column_config.NumberColumn("tokens", format="localized"),
    "share": st.column_config.NumberColumn("share", format="percent"),
    "norm": st.column_config.NumberColumn("norm", format="%.3g"),
    "nearest_code": st.column_config.NumberColumn("nearest code"),
    "nearest_distance": st.column_config.NumberColumn("at distance", format="%.3g"),
    "ema_count": st.column_config.NumberColumn("EMA count", format="%.2f"),
}
"""How the tables of codes show their common columns."""

OPENED_COLUMNS = {
    "code": st.column_config.NumberColumn("code", help="Select the row to go to its page."),
    "distance": st.column_config.NumberColumn("at distance", format="%.3g", help="L2, in the space of the codes."),
    **{name: CODE_COLUMNS[name] for name in ("status", "count", "share")},
    "lift": st.column_config.NumberColumn(
        "lift", format="%.2f", help="How many times more often than if the layers were independent."
    ),
}
"""Columns of tables that lead to the pages of their codes."""


def subject_or_stop() -> Subject:
    """Open what is chosen, a checkpoint or a set of body parts, or say why not and end the page."""
    path = state.current().checkpoint
    if path is None:
        st.info(
            "There is no checkpoint to show yet. Upload one in the sidebar, or start with "
            "`rvq-lens dash --checkpoints FOLDER`.",
            icon=":material/inbox:",
        )
        st.stop()
    try:
        return data.subject(path, state.current().reading)
    except RVQLensError as error:
        error_box(error)
        st.stop()


def opened_or_stop() -> Opened:
    """The checkpoint that this page shows, of a set the part that the sidebar names; or say why not and end it."""
    subject = subject_or_stop()
    try:
        return of_part(subject, state.current().part)
    except RVQLensError as error:
        error_box(error)
        st.stop()


def opened_beside(name: str, part: str | None) -> Opened:
    """Open another checkpoint than the chosen one, by its name in links; of a set, ``part``. Raises RVQLensError."""
    return of_part(data.subject(state.checkpoints()[name], state.current().reading), part)


def left_out(name: str, reason: str) -> None:
    """Warn that another checkpoint than the chosen one is not shown."""
    st.warning(f"**{escaped(name)}** is left out. {escaped(_uploads_by_name(reason))}", icon=":material/warning:")


def codebooks_only() -> None:
    """Say what a checkpoint without encoder cannot show."""
    st.info(
        "This file holds codebooks without an encoder and a decoder: no motion can be run through it. Upload latents "
        "that your own code made, as .npy [B, C, T], or indices, as .npy [T, Q], to see their usage; the Codebook map "
        "shows the codes at once.",
        icon=":material/info:",
    )


def error_box(error: RVQLensError) -> None:
    """One box that says what was expected, what was found and what to do."""
    where, expected, found, do = (
        _uploads_by_name(" ".join(part.split())).replace("`", "'")
        for part in (error.where, error.expected, error.found, error.do)
    )
    lines = f"Expected: {escaped(expected)}  \nFound: {escaped(found)}  \nWhat to do: {escaped(do)}"
    st.error(f"**{escaped(where)}**\n\n{lines}", icon=":material/error:")


def _uploads_by_name(text: str) -> str:
    """The text with uploads called by their names, without the folders that they are kept in."""
    return re.sub(re.escape(f"{data.upload_folder().path}/") + r"[^/\s]+/[^/\s]+/", "", text)


def unexpected(error: Exception) -> None:
    """Own up to a mistake of this program; where it happened goes to the terminal."""
    logger.error("an error that RVQ Lens does not know", exc_info=error)
    st.error(
        f"**RVQ Lens made a mistake** ({escaped(type(error).__name__)}). Its terminal shows where; "
        "please report it with that text. Another checkpoint or other clips may still work.",
        icon=":material/bug_report:",
    )


def measured_on(report: Analysed) -> None:
    """Caption with tokens, clips, seconds and held-out clips, and the list of clips left out."""
    told = words.measured_on if isinstance(report, Report) else words.measured_on_body
    st.caption(told(report.manifest, report.clips))
    for warning in report.manifest["warnings"]:
        st.warning(escaped(warning), icon=":material/warning:")
    left_out = report.manifest["left_out"]
    if left_out:
        with st.expander(f"{len(left_out)} left out, the rest is analysed", icon=":material/warning:"):
            for entry in left_out:
                file, reason = _uploads_by_name(entry["clip"]), _uploads_by_name(entry["reason"])
                st.markdown(f"**{escaped(file)}**: {escaped(reason.removeprefix(f'{file}: '))}")


def heading(title: str, what: str) -> None:
    """A figure's heading with its explanation beside it."""
    with st.container(horizontal=True, vertical_alignment="center"):
        st.subheader(title, anchor=False, width="content")
        what_is_this(what)


def what_is_this(what: str) -> None:
    """The explanation of a figure in two sentences or so, and where the docs say more: explained.py."""
    with st.popover("what is this?", type="tertiary", icon=":material/help:"):
        st.markdown(WHAT[what].text)
        st.markdown(f"[More on this in the docs]({docs.link(WHAT[what].topic, WHAT[what].section)})")


def links_not_followed() -> None:
    """Say what the opened link asked for that this page cannot show; to be called after the page."""
    sentences = links.not_followed(told_elsewhere=state.TOLD_IN_SIDEBAR)
    if sentences:
        st.warning("  \n".join(sentences), icon=":material/link_off:")


def chart(figure: go.Figure, *, alt: str, key: str) -> None:
    """A figure as wide as its place, with a description for those who cannot see it."""
    st.plotly_chart(figure, alt=alt, key=f"chart_{key}", config=CONFIG)


def selectable_chart(figure: go.Figure, *, alt: str, view: str, config: dict[str, Any] | None = None) -> None:
    """A figure whose selected points are everyone's: ``view`` is its name among those of linked.py."""
    figure.update_layout(clickmode="event+select")
    st.plotly_chart(
        figure, alt=alt, key=linked.key(view), config=CONFIG | (config or {}), on_select="rerun",
        selection_mode=["points", "box", "lasso"],
    )  # fmt: skip


def choose_layer(label: str, layers: Sequence[int], *, key: str) -> int:
    """One of ``layers``, to begin with the first that is selected elsewhere, else the first of all."""
    first = next((layer for layer in linked.current().layers if layer in layers), layers[0])
    chosen = st.segmented_control(label, layers, default=first, required=True, key=key, bind="query-params")
    return chosen or layers[0]


def codes_to_open(table: pd.DataFrame, layer: int, *, key: str) -> None:
    """A table of codes of ``layer`` in which a selected row leads to its page."""
    event = st.dataframe(
        table, hide_index=True, column_config=OPENED_COLUMNS, key=f"{key}_table", on_select="rerun",
        selection_mode="single-row", placeholder="–",
    )  # fmt: skip
    rows = event["selection"]["rows"]
    if rows:
        open_code(layer, int(table["code"].iloc[rows[0]]))


def open_code(layer: int, code: int) -> None:
    """Go to the page of a code; to be called in a page's run, as a callback may not leave the page."""
    st.session_state[state.OPENED_CODE] = (layer, code)
    if (layer, code) not in linked.current().codes:  # of several that are selected the others stay
        linked.choose(linked.CODES, [(layer, code)])
    page = "app_pages/code.py"
    try:
        st.switch_page(page, query_params={"layer": str(layer), "code": str(code)})
    except StreamlitAPIException:
        # A widget of this page is bound to one of them: only that widget may write it into the address.
        st.switch_page(page, query_params={})


def chosen_clips(ckpt: Subject) -> ClipSet:
    """The clips that the sidebar names, of them the held-out ones where those are asked for. Raises RVQLensError."""
    selection = state.current()
    chosen = data.clips(selection.clips)
    return data.held_out(ckpt, chosen) if selection.held_out_only else chosen


def escaped(text: str) -> str:
    """Text as it stands: names of files are full of what Markdown takes for markup."""
    return "".join(f"\\{character}" if character in "\\*_[]<>$#~:|" else character for character in text)
