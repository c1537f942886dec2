"""Clip: original and reconstruction as figures that move, and the tokens between them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Literal, NamedTuple

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from dashboard import components, data, linked, obtain, state, words
from dashboard.figures.reconstruction import metric_name
from dashboard.opened import Analysed, Subject
from dashboard.player import Row, choose_start, clip_player, opened_with, payload, remember_view, window
from rvq_core.clips import Clip
from rvq_core.playback import Playback
from rvq_core.report import Report

PLAYER = "clip_player"
_TOLD = "_clip_in_address"


class Mark(NamedTuple):
    """What a checkpoint says of a clip."""

    label: str
    colour: Literal["green", "orange", "gray"]
    meaning: str


MARKS = {
    True: Mark(
        "held out", "green", "The checkpoint was not trained on this clip: so it does on motion it has not seen."
    ),
    False: Mark("trained on", "orange", "The checkpoint was trained on this clip: the error flatters it."),
    None: Mark(
        "trained on or held out: not known", "gray", "The checkpoint does not tell whether it was trained on this clip."
    ),
}


def main() -> None:
    st.title("Clip", anchor=False)
    subject = components.subject_or_stop()
    report = obtain.analysed_or_stop(subject)
    playback = data.playback(subject, choose_clip(subject, report))
    show_player(playback, report)
    show_captions(playback, report)


def choose_clip(ckpt: Subject, report: Analysed) -> Clip:
    """The clip that the address names or the reader chooses, of those that the report measures."""
    names = report.clips["clip"].tolist()
    wanted = st.query_params.get("clip")
    if wanted is not None and wanted not in names:
        st.warning("The link asks for a clip that is not among the chosen ones; another is shown.")
    selected = [name for name in linked.news("clip page", linked.CLIPS) if name in names]
    if selected and wanted is None:
        st.session_state["clip_chosen"] = selected[0]
    elif wanted in names and wanted != st.session_state.get(_TOLD):  # a link, or Back to an earlier visit of the page
        st.session_state["clip_chosen"] = wanted
    with st.container(horizontal=True, vertical_alignment="bottom"):
        # Not bound to the address: that would hold the mark too, which another checkpoint changes.
        name = st.selectbox(
            "Clip", names, index=names.index(wanted) if wanted in names else 0, key="clip_chosen", width=420,
            persist_state="session",
            format_func=lambda name: marked(ckpt, name),
            help="In the order of the report; behind each name what the checkpoint says of it.",
        )  # fmt: skip
        name = name or names[0]
        if name not in linked.current().clips:
            st.button("Select", key="select_clip", on_click=linked.choose, args=(linked.CLIPS, [name]),
                      help="Marks this clip on all pages.")  # fmt: skip
        mark = MARKS[ckpt.held_out(name)]
        st.badge(mark.label, color=mark.colour, help=mark.meaning)
        components.what_is_this("clip")
    st.query_params["clip"] = st.session_state[_TOLD] = name
    return next(clip for clip in data.clips(state.current().clips).clips if clip.name == name)


def marked(ckpt: Subject, name: str) -> str:
    known = ckpt.held_out(name)
    return name if known is None else f"{name} · {MARKS[known].label}"


def show_player(playback: Playback, report: Analysed) -> None:
    name = metric_name(playback.metric, is_canonical(playback))
    start = choose_start(window(playback), playback.clip.frames, playback.clip.fps)
    rows, shares = token_rows(report)
    marked = marked_tokens(playback.tokens, rows, linked.current())
    found = marked is not None and bool(marked.any())
    content = payload(
        playback,
        window(playback, start),
        shares,
        opened_with(PLAYER),
        name,
        rows=rows,
        marked=marked if found else None,
    )
    clip_player(content, key=PLAYER, on_view_change=partial(remember_view, PLAYER))
    if marked is not None:
        told = f"{words.many(int(marked.sum()), 'token')} of {marked.size:,} selected: the others are faded."
        st.caption(told if found else "No token of this clip is a selected code.")


def token_rows(report: Analysed) -> tuple[list[Row], list[NDArray[np.float64]]]:
    """A row of the timeline for each layer, of a set for each layer of each part; and the shares [K] of its codes."""
    reports = {"layer": report} if isinstance(report, Report) else report.parts
    rows: list[Row] = []
    shares: list[NDArray[np.float64]] = []
    for name, one in reports.items():
        for layer, codes in one.codes.sort_values(["layer", "code"]).groupby("layer"):
            rows.append(Row(f"{name} {layer}", int(str(layer))))
            shares.append(codes["share"].fillna(0.0).to_numpy())
    return rows, shares


def marked_tokens(
    tokens: NDArray[np.integer], rows: Sequence[Row], selected: linked.Linked
) -> NDArray[np.bool_] | None:
    """Tokens [T', Q] of a selected code, where there are none of a selected layer; None where nothing is selected.

    Of a set, codes are those of the part that other pages show; its layers are those of all parts.
    """
    part = state.current().part
    if selected.codes:
        marked = np.zeros(tokens.shape, dtype=bool)
        for column, row in enumerate(rows):
            if part in (None, row.name.rpartition(" ")[0]):
                chosen = [code for layer, code in selected.codes if layer == row.layer]
                marked[:, column] = np.isin(tokens[:, column], chosen)
        return marked
    if selected.layers:
        return np.broadcast_to(np.isin([row.layer for row in rows], selected.layers), tokens.shape)
    return None


def is_canonical(playback: Playback) -> bool:
    """Whether the figures stand on the canonical skeleton, so that their errors must be called so."""
    return playback.clip.representation.startswith("smplx_rot6d")


def show_captions(playback: Playback, report: Analysed) -> None:
    if playback.figure is not None:
        st.caption(words.path_note(playback.figure.travels, playback.figure.path_of_clip, is_canonical(playback)))
    components.measured_on(report)


main()
