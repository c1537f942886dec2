"""One code as movement: it comes onto nothing, or onto what the other layers add up to on average, and goes again."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import streamlit as st
from numpy.typing import NDArray

from dashboard import code_facts, components
from dashboard.figures.poses import pose_strip, pose_table
from dashboard.player import Actor, facing, play_scene
from rvq_core.clips import Clip
from rvq_core.code_motion import (
    AROUND_TOKENS,
    HELD_TOKENS,
    average_of_others,
    come_and_go,
    decode_held,
    decode_joints,
)
from rvq_core.loading import Checkpoint
from rvq_core.report import Report
from rvq_core.tokens import Pipeline

PLAYER = "held_player"
POSES = 7
NO_JOINTS = "These features do not tell joint positions, or nothing can be decoded: there is no figure to draw."


class Held:
    """Decodes latents of one layer's codes as the chosen checkpoint and clips have it."""

    def __init__(self, ckpt: Checkpoint, report: Report, clips: Sequence[Clip], layer: int) -> None:
        self.layer = layer
        self.codebooks = [codebook.detach().float().cpu().numpy() for codebook in ckpt.codebooks]
        groups = report.codes.sort_values(["layer", "code"]).groupby("layer")
        self.average = average_of_others(self.codebooks, [group["share"].to_numpy() for _, group in groups], layer)
        self.pipeline = Pipeline(ckpt, "cpu")
        self.stride = 1 if ckpt.config is None else ckpt.config.stride
        self.fps = float(report.clips["fps"].iloc[0])
        self.representation = str(report.clips["representation"].iloc[0])
        self.skeleton = next((clip.skeleton for clip in clips if clip.name == report.clips["clip"].iloc[0]), None)
        self.names, self.parents = code_facts.bones(self.representation, self.skeleton)

    @property
    def codebook(self) -> np.ndarray:
        """The layer's codes [K, C]."""
        return self.codebooks[self.layer - 1]

    def joints(self, latents: np.ndarray) -> NDArray[np.float32] | None:
        """Joints [N, T, J, 3] of latents [N, C, T']; None where features do not tell them, or nothing is decoded."""
        return decode_joints(self.pipeline, latents, self.representation, self.skeleton)

    def poses(self, vectors: np.ndarray, frames: np.ndarray | None = None) -> list[pd.DataFrame] | None:
        """A table of poses for each of the vectors [N, C]; of ``frames``, or of all where None; None without joints."""
        joints = decode_held(self.pipeline, vectors, self.representation, self.skeleton)
        if joints is None:
            return None
        middle = joints.shape[1] // 2
        turn = facing(joints[-1, middle], self.names)  # of the last, to which the others are compared
        chosen = [middle] if frames is None else frames
        return [pose_table(one[chosen], self.names, self.parents, turn) for one in joints]

    def frames(self, of_tokens: NDArray) -> NDArray:
        """Values of tokens [T'] for each of their frames [T]."""
        return np.repeat(of_tokens, self.stride)


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
        f"For {AROUND_TOKENS} tokens without the code, then {HELD_TOKENS} with it (orange), then without it again; "
        "grey never has it. A latent that stands still is a pose: movement is in how codes follow each other, as below."
    )
    with st.expander("As still poses", icon=":material/accessibility_new:"):
        for title, (without, average) in contexts.items():
            _show_poses(held, code, title, without, average)


def _show_poses(held: Held, code: int, title: str, without: str, average: NDArray[np.float64]) -> None:
    frames = np.linspace(0, HELD_TOKENS * held.stride - 1, POSES).round().astype(int)
    found = held.poses(np.stack([held.codebook[code] + average, average]), frames)
    assert found is not None  # there are joints, or the page would not have come so far
    figure = pose_strip(
        found[0], [f"frame {frame + 1}" for frame in frames], x=f"frames of {HELD_TOKENS} tokens",
        name=f"code {code} {title}", reference=found[1], reference_name=without,
    )  # fmt: skip
    alt = f"Poses that the decoder makes of code {code} {title}, over those of {without}"
    components.chart(figure, alt=alt, key=f"poses_{'alone' if title == 'alone' else 'context'}")
