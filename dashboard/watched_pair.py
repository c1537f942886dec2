"""One clip as two checkpoints make it: the original, the baseline's reconstruction and another's, playing together."""

from __future__ import annotations

from functools import partial

import streamlit as st

from dashboard import components, data, linked, state, words
from dashboard.figures.reconstruction import metric_name
from dashboard.player import (
    MOST_BYTES,
    Beside,
    Window,
    choose_start,
    clip_player,
    not_beside,
    opened_with,
    payload,
    remember_view,
    window,
)
from rvq_core.clips import Clip
from rvq_core.errors import RVQLensError
from rvq_core.playback import Playback
from rvq_core.report import Report

PLAYER = "pair_player"


def show(reports: dict[str, Report], part: str | None) -> None:
    """The player with what chooses clip and checkpoint; ``reports`` by name in links (of sets: of ``part``).

    The baseline stands first.
    """
    baseline, *others = reports
    components.heading("One clip, both reconstructions", "pair")
    name, clip = _choose(reports, others)
    if clip is None:
        st.info("The two checkpoints measure no clip in common.")
        return
    try:
        opened = [components.opened_beside(each, part).checkpoint for each in (name, baseline)]
        playback, other = (data.playback(ckpt, clip) for ckpt in opened)
    except RVQLensError as error:
        components.error_box(error)
        return
    if reason := not_beside(playback, other):
        st.info(reason)
        return
    canonical = words.is_canonical(reports[baseline].clips)
    codes = reports[name].codes.sort_values(["layer", "code"]).groupby("layer")
    shares = [group["share"].fillna(0.0).to_numpy() for _, group in codes]
    content = payload(
        playback, _shown(playback, other), shares, opened_with(PLAYER), metric_name(playback.metric, canonical),
        Beside.of(f"{baseline} (baseline)", other, name),
    )  # fmt: skip
    clip_player(content, key=PLAYER, on_view_change=partial(remember_view, PLAYER))
    st.caption(f"Quantizers, tokens and the line of errors are of {components.escaped(name)}.")


def _choose(reports: dict[str, Report], others: list[str]) -> tuple[str, Clip | None]:
    """The checkpoint beside the baseline, and the clip, of those that both measure."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        name = others[0]
        if len(others) > 1:
            name = st.selectbox("Beside the baseline", others, key="watch", bind="query-params", width=340) or name
        measured = set.intersection(
            *(set(report.clips["clip"]) for report in (next(iter(reports.values())), reports[name]))
        )
        clips = {clip.name: clip for clip in data.clips(state.current().clips).clips if clip.name in measured}
        selected = [clip for clip in linked.news("watched pair", linked.CLIPS) if clip in clips]
        if selected and "watched_clip" not in st.query_params:
            st.session_state["watched_clip"] = selected[0]
        chosen = (
            st.selectbox("Clip", list(clips), key="watched_clip", bind="query-params", width=420) if clips else None
        )
    return name, None if chosen is None else clips[chosen]


def _shown(playback: Playback, other: Playback) -> Window:
    """Frames that both have, from where the reader wants them: with strides the frames of whole tokens differ."""
    motions = 1 + len(playback.depths)
    most = MOST_BYTES * motions // (motions + 1)  # room for the third figure
    both = min(playback.clip.frames, other.clip.frames) // playback.stride * playback.stride
    fits = min(window(playback, most_bytes=most).frames, both)
    start = choose_start(Window(0, fits), both, playback.clip.fps)
    return Window(min(window(playback, start, most).start, both - fits), fits)
