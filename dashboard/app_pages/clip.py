"""Clip: original and reconstruction as figures that move, and the tokens between them."""

from __future__ import annotations

from functools import partial
from typing import Literal, NamedTuple

import streamlit as st

from dashboard import components, data, obtain, state, words
from dashboard.figures.reconstruction import metric_name
from dashboard.player import choose_start, clip_player, opened_with, payload, remember_view, window
from rvq_core.clips import Clip
from rvq_core.loading import Checkpoint
from rvq_core.playback import Playback
from rvq_core.report import Report

PLAYER = "clip_player"


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
    None: Mark("not known", "gray", "The checkpoint does not tell whether it was trained on this clip."),
}


def main() -> None:
    st.title("Clip", anchor=False)
    opened = components.opened_or_stop()
    ckpt, report = opened.checkpoint, obtain.report_or_stop(opened)
    playback = data.playback(ckpt, choose_clip(ckpt, report))
    show_player(playback, report)
    show_captions(playback, report)


def choose_clip(ckpt: Checkpoint, report: Report) -> Clip:
    """The clip that the address names or the reader chooses, of those that the report measures."""
    names = report.clips["clip"].tolist()
    wanted = st.query_params.get("clip")
    if wanted is not None and wanted not in names:
        st.warning("The link asks for a clip that is not among the chosen ones; another is shown.")
    with st.container(horizontal=True, vertical_alignment="bottom"):
        # Not bound to the address: that would hold the mark too, which another checkpoint changes.
        name = st.selectbox(
            "Clip", names, index=names.index(wanted) if wanted in names else 0, key="clip_chosen", width=420,
            persist_state="session",
            format_func=lambda name: marked(ckpt, name),
            help="In the order of the report; behind each name what the checkpoint says of it.",
        )  # fmt: skip
        name = name or names[0]
        mark = MARKS[ckpt.held_out(name)]
        st.badge(mark.label, color=mark.colour, help=mark.meaning)
        components.what_is_this("clip")
    st.query_params["clip"] = name
    return next(clip for clip in data.clips(state.current().clips).clips if clip.name == name)


def marked(ckpt: Checkpoint, name: str) -> str:
    known = ckpt.held_out(name)
    return name if known is None else f"{name} · {MARKS[known].label}"


def show_player(playback: Playback, report: Report) -> None:
    codes = report.codes.sort_values(["layer", "code"])
    shares = [group["share"].fillna(0.0).to_numpy() for _, group in codes.groupby("layer")]
    name = metric_name(playback.metric, is_canonical(playback))
    start = choose_start(window(playback), playback.clip.frames, playback.clip.fps)
    content = payload(playback, window(playback, start), shares, opened_with(PLAYER), name)
    clip_player(content, key=PLAYER, on_view_change=partial(remember_view, PLAYER))


def is_canonical(playback: Playback) -> bool:
    """Whether the figures stand on the canonical skeleton, so that their errors must be called so."""
    return playback.clip.representation.startswith("smplx_rot6d")


def show_captions(playback: Playback, report: Report) -> None:
    if playback.figure is not None:
        st.caption(words.path_note(playback.figure.travels, playback.figure.path_of_clip, is_canonical(playback)))
    components.measured_on(report)


main()
