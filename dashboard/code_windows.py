"""Where one code was chosen: its most typical windows playing, and the clip with and without the code there."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
import pandas as pd
import streamlit as st
from numpy.typing import NDArray

from dashboard import code_facts, components, data, words
from dashboard.analyses import identity_of_clip
from dashboard.code_poses import Held
from dashboard.figures.reconstruction import metric_name
from dashboard.player import Actor, Beside, View, Window, clip_player, opened_with, payload, play_scene, remember_view
from rvq_core.clips import Clip
from rvq_core.code_context import motion_around, motion_without
from rvq_core.playback import Playback
from rvq_core.report import Report

GALLERY, PLAYER = "windows_player", "code_player"
SECONDS_AROUND = 1.0
BY_CODE = View(tokens="code")
"""Where the code begins and ends is what the reader looks for."""


def show(held: Held, report: Report, clips: Sequence[Clip], code: int) -> None:
    """All windows beside each other, and one of them with and without the code."""
    components.heading("Its most typical windows", "code_windows")
    windows = report.tables.get("windows", pd.DataFrame({"layer": [], "code": []}))
    found = windows[(windows["layer"] == held.layer) & (windows["code"] == code)].reset_index(drop=True)
    if found.empty:
        st.info("No latent of these clips chose this code, so there is no window to play.")
        return
    by_name = {clip.name: clip for clip in clips}
    show_gallery(held, report, by_name, found, code)
    row = _choose(found)
    playback = data.playback(held.pipeline.checkpoint, by_name[str(row["clip"])])
    show_window(held, report, playback, row, code)


def show_gallery(held: Held, report: Report, clips: dict[str, Clip], found: pd.DataFrame, code: int) -> None:
    """The clips themselves around each window, as one player; nothing where features do not tell joints."""
    around = _around(held)
    places: list[list[Actor]] = []
    for _, row in found.iterrows():
        clip, token = str(row["clip"]), int(row["token"])
        joints = held.made(
            ("around", identity_of_clip(clips[clip]), token, around),
            partial(motion_around, held.pipeline, clips[clip], token, around),
        )
        if joints is None or joints.shape[1] != len(held.names):
            return
        tokens = report.tokens[report.clips["clip"].tolist().index(clip)][:, held.layer - 1]
        asked = np.arange(token - around, token + around + 1)
        inside = (asked >= 0) & (asked < len(tokens))
        on = inside & (tokens[asked.clip(0, len(tokens) - 1)] == code)
        places.append([Actor(code_facts.window_label(row), joints, "original", held.frames(on))])
    alt = f"Clips around the {len(found)} latents nearest to code {code}; orange while they are on it"
    play_scene(places, held.names, held.parents, held.fps, alt=alt, key=GALLERY)
    st.caption(
        f"The clips themselves, the latent nearest to the code in the middle of each; orange while layer {held.layer} "
        f"is on code {code}."
    )


def _around(held: Held) -> int:
    """Tokens that are shown on either side of a window."""
    return max(1, round(SECONDS_AROUND * held.fps / held.stride))


def _choose(found: pd.DataFrame) -> pd.Series:
    """The window that is looked at closely."""
    labels = [code_facts.window_label(row) for _, row in found.iterrows()]
    if st.session_state.get("window") not in labels:
        st.session_state.pop("window", None)  # another code's
    st.markdown("**In context: one window with the code and without it**")
    label = st.segmented_control(
        "Window", labels, default=labels[0], required=True, key="window", bind="query-params",
        label_visibility="collapsed",
    )  # fmt: skip
    return found.iloc[labels.index(label or labels[0])]


def show_window(held: Held, report: Report, playback: Playback, row: pd.Series, code: int) -> None:
    """Original, reconstruction, and between them the reconstruction without the code in this run of tokens."""
    first, behind = run_around(playback.tokens[:, held.layer - 1], int(row["token"]))
    around = _around(held)
    start, stop = max(0, first - around), min(len(playback.tokens), behind + around)
    shown = Window(start * playback.stride, (stop - start) * playback.stride)
    without = None if playback.figure is None else held.made(
        ("without", identity_of_clip(playback.clip), held.layer, first, behind),
        partial(motion_without, held.pipeline, playback.clip, held.layer, (first, behind)),
    )  # fmt: skip
    beside = None if without is None else Beside(f"without code {code}", "at its tokens here", without.joints, None)
    groups = report.codes.sort_values(["layer", "code"]).groupby("layer")
    shares = [group["share"].fillna(0.0).to_numpy() for _, group in groups]
    name = metric_name(playback.metric, playback.clip.representation.startswith("smplx_rot6d"))
    content = payload(playback, shown, shares, opened_with(PLAYER, BY_CODE), name, beside)
    clip_player(content, key=PLAYER, on_view_change=partial(remember_view, PLAYER, BY_CODE))
    if without is not None:
        run = slice(first * playback.stride, behind * playback.stride)
        full = playback.frame_errors[playback.depths.index(max(playback.depths)), run].mean()
        left_out = words.many(behind - first, "token")
        st.caption(
            f"Without: code {code} of layer {held.layer} taken out of the sum in this run of {left_out}, all else as "
            f"it was chosen. In its frames the error is {full:.1f} mm with the code and "
            f"{without.frame_errors[run].mean():.1f} mm without it ({name})."
        )


def run_around(tokens: NDArray[np.integer], token: int) -> tuple[int, int]:
    """First token, and one behind the last, of the stretch of tokens [T'] on one code that ``token`` is in."""
    other = np.flatnonzero(tokens != tokens[token])
    first = int(other[other < token].max(initial=-1)) + 1
    behind = int(other[other > token].min(initial=len(tokens)))
    return first, behind
