"""One code as movement: it comes onto nothing, or onto what the other layers add up to on average, and goes again."""

from __future__ import annotations

import numpy as np
import streamlit as st

from dashboard import components
from dashboard.code_poses import Held
from dashboard.player import Actor, play_scene
from rvq_core.code_motion import (
    AROUND_TOKENS,
    HELD_TOKENS,
    come_and_go,
)

PLAYER = "held_player"
NO_JOINTS = "These features do not tell joint positions, or nothing can be decoded: there is no figure to draw."


def show(held: Held, code: int) -> None:
    """The code coming and going, without the other layers and on their average; the same as still poses."""
    components.heading("What it looks like", "code_poses")
    contexts = {"alone": ("decoder on zeros", 0 * held.average)}
    if len(held.codebooks) > 1:
        contexts["on the average of the other layers"] = ("their average", held.average)
    vector = held.codebook[code].astype(np.float64)
    latents = [come_and_go(own, without) for _, without in contexts.values() for own in (0 * vector, vector)]
    joints = held.joints(np.stack(latents))
    if joints is None:
        st.info(NO_JOINTS)
        return
    on = held.frames(np.arange(HELD_TOKENS + 2 * AROUND_TOKENS))
    on = (on >= AROUND_TOKENS) & (on < AROUND_TOKENS + HELD_TOKENS)
    places = [
        [Actor(without, joints[2 * i], "grey"), Actor(f"code {code} {title}", joints[2 * i + 1], "original", on)]
        for i, (title, (without, _)) in enumerate(contexts.items())
    ]
    alt = f"Figures of code {code} coming and going {' and '.join(contexts)}, each over the same without the code"
    play_scene(places, held.names, held.parents, held.fps, alt=alt, key=PLAYER)
    st.caption(
        f"For {AROUND_TOKENS} tokens without the code (blue), then {HELD_TOKENS} with it (orange), then without it "
        "again; grey never has it. A latent that stands still is a pose: movement is in how codes follow each other, "
        "as below."
    )
    with st.expander("As still poses", icon=":material/accessibility_new:"):
        for key, strip in (("alone", held.alone(code)), ("context", held.in_context(code))):
            if strip is not None:
                alt = f"Poses that the decoder makes of {strip.name}, over those of {strip.reference}"
                components.chart(strip.draw(), alt=alt, key=f"poses_{key}")
