"""The way from one code or clip to another: what is decoded along the line between their latents, playing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from dashboard import components
from dashboard.analyses import identity_of_clip
from dashboard.code_movement import NO_JOINTS
from dashboard.code_poses import Held
from dashboard.player import Actor, play_scene
from dashboard.player.scene import Tone
from rvq_core.clips import Clip
from rvq_core.code_context import between_clips
from rvq_core.code_motion import share_of_way, way_in_time
from rvq_core.errors import RVQLensError
from rvq_core.stats.geometry import nearest_to

PLAYER = "way_player"
PLACES = 5
SECONDS = 4.0


def show(held: Held, clips: Sequence[Clip], code: int) -> None:
    """Ask between what, and show the way."""
    components.heading("The way to another code or clip", "code_line")
    between = st.segmented_control(
        "Between", ["codes", "clips"], default="codes", required=True, key="between", bind="query-params"
    )
    if between == "clips":
        show_clips(held, clips)
    else:
        show_codes(held, code)


def show_codes(held: Held, code: int) -> None:
    """From this code to another of the layer."""
    codes = len(held.codebook)
    if codes == 1:
        st.info("The layer has no other code.")
        return
    if st.session_state.get("to", 0) > codes - 1:
        st.session_state["to"] = codes - 1
    near = nearest_to(held.codebook, code, 1).code
    with st.container(horizontal=True, vertical_alignment="bottom"):
        to = int(st.number_input("To code", 0, codes - 1, int(near[0]), key="to", bind="query-params", width=160))
        context = st.segmented_control(
            "Other layers", ["at their average", "none"], default="at their average", required=True, key="line",
            bind="query-params",
        )  # fmt: skip
    start, end = (held.codebook[one] + (0 if context == "none" else held.average) for one in (code, to))
    way = way_in_time(start, end)
    joints = held.joints(np.stack([way_in_time(start, start), way, way_in_time(end, end)]))
    if joints is None:
        st.info(NO_JOINTS)
        return
    first, between, last = joints
    places = [
        [Actor(f"code {code}", first, "original")],
        [Actor("on the way", between, "reconstruction")],
        [Actor(f"code {to}", last, "beside")],
    ]
    alt = f"Figures of code {code}, of the way to code {to}, and of code {to}"
    share = held.frames(share_of_way())
    play_scene(places, held.names, held.parents, held.fps, alt=alt, key=PLAYER, progress=share)
    distance = float(np.linalg.norm(held.codebook[to].astype(np.float64) - held.codebook[code]))
    st.caption(f"The two lie {distance:.3g} apart (L2) in layer {held.layer}.")
    with st.expander("As still poses", icon=":material/accessibility_new:"):
        strip = held.line(code, to, context=context != "none")
        assert strip is not None  # there are joints, or the page would not have come so far
        components.chart(strip.draw(), alt=f"Poses on the line from code {code} to code {to}", key="line_poses")


def show_clips(held: Held, clips: Sequence[Clip]) -> None:
    """From one clip to another, both playing: every figure is a point on the line between their latents."""
    names = [clip.name for clip in clips]
    columns = st.columns(2, gap="medium")
    chosen = [
        _choose(place, clips, names, side, first)
        for place, side, first in zip(columns, ("from", "to"), (0, len(names) - 1), strict=True)
    ]
    try:
        joints = held.made(
            ("between", *map(identity_of_clip, chosen), PLACES),
            partial(between_clips, held.pipeline, chosen[0], chosen[1], PLACES),
        )
    except RVQLensError as error:
        components.error_box(error)
        return
    if joints is None or joints.shape[2] != len(held.names):
        st.info(NO_JOINTS)
        return
    labels = [
        chosen[0].name,
        *(f"{step / (PLACES - 1):.0%} of the way" for step in range(1, PLACES - 1)),
        chosen[1].name,
    ]
    between: list[Tone] = ["reconstruction"] * (PLACES - 2)
    tones: list[Tone] = ["original", *between, "beside"]
    places = [[Actor(label, one, tone)] for label, one, tone in zip(labels, joints, tones, strict=True)]
    alt = f"Figures of {chosen[0].name}, of three points on the way, and of {chosen[1].name}"
    play_scene(places, held.names, held.parents, held.fps, alt=alt, key=PLAYER)
    st.caption(
        f"The encoder's latents of both, not quantized, for {joints.shape[1] / held.fps:.1f} s: each figure between is "
        "decoded from a point on the line between what both do at the same time."
    )


def _choose(place: DeltaGenerator, clips: Sequence[Clip], names: list[str], side: str, first: int) -> Clip:
    """Some seconds of one clip."""
    with place.container(horizontal=True, vertical_alignment="bottom"):
        name = st.selectbox(f"{side.capitalize()} clip", names, index=first, key=f"{side}_clip", bind="query-params")
        clip = clips[names.index(name or names[first])]
        latest = max(0, int(clip.seconds - 1))
        key = f"{side}_second"
        if (st.session_state.get(key) or 0) > latest:
            st.session_state[key] = latest
        second = st.number_input(
            "at second", 0, latest, key=key, bind="query-params", width=120,
            help=f"{SECONDS:.0f} s from there on, as far as both clips go.",
        )  # fmt: skip
    start = round(int(second) * clip.fps)
    kept = slice(start, start + max(1, round(SECONDS * clip.fps)))
    path = None if clip.translation is None else clip.translation[kept]
    return replace(clip, features=clip.features[kept], translation=path)
