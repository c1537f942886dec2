"""Code: one code as movement, where it is chosen, and what lies near it or comes with it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import streamlit as st

from dashboard import code_facts, components, data, state
from dashboard.figures.code_usage import code_usage_figure, usage_over_clips
from dashboard.figures.poses import pose_strip, pose_table
from dashboard.figures.reconstruction import metric_name
from dashboard.player import View, Window, clip_player, facing, payload
from rvq_core.clips import Clip
from rvq_core.code_motion import HELD_TOKENS, average_of_others, decode_held, line_between
from rvq_core.loading import Checkpoint
from rvq_core.report import Report
from rvq_core.stats.geometry import nearest_to
from rvq_core.tokens import Pipeline

PLAYER = "code_player"
NEIGHBOURS = 8
STEPS = 7
POSES = 7
SECONDS_AROUND = 1.0


def main() -> None:
    st.title("Code", anchor=False)
    opened = components.opened_or_stop()
    ckpt, report = opened.checkpoint, components.report_or_stop(opened)
    layer, code = choose_code(report)
    row = report.codes[(report.codes["layer"] == layer) & (report.codes["code"] == code)].iloc[0]
    components.measured_on(report)
    st.markdown(code_facts.sentence(row, report.layers))
    show_numbers(row)
    clips = data.clips(state.current().clips).clips
    held = Held(ckpt, report, clips, layer)
    show_poses(held, code)
    show_windows(ckpt, report, clips, layer, code)
    left, right = st.columns(2, gap="medium")
    with left:
        show_clips(report, row)
    with right:
        show_neighbours(report, held.codebook, layer, code)
    show_partners(report, layer, code)
    show_line(held, code)


def choose_code(report: Report) -> tuple[int, int]:
    """The code that the address names, a click led to, or the reader chooses."""
    layers = report.layers["layer"].tolist()
    opened = st.session_state.pop(state.OPENED_CODE, None)
    if opened is not None and opened[0] in layers:
        st.session_state["layer"], st.session_state["code"] = opened
    with st.container(horizontal=True, vertical_alignment="bottom"):
        layer = st.selectbox("Layer", layers, key="layer", bind="query-params", width=120) or layers[0]
        last = int(report.layers.set_index("layer")["codes"][layer]) - 1
        if st.session_state.get("code", 0) > last:
            st.session_state["code"] = last
        code = st.number_input("Code", 0, last, key="code", bind="query-params", width=160)
        components.what_is_this("code")
    return int(layer), int(code)


def show_numbers(row: pd.Series) -> None:
    with st.container(horizontal=True):
        for label, value, meaning in code_facts.numbers(row):
            st.metric(label, value, help=meaning, width=165)


class Held:
    """Decodes latents, held for a while, as the chosen checkpoint and clips have it."""

    def __init__(self, ckpt: Checkpoint, report: Report, clips: Sequence[Clip], layer: int) -> None:
        self.layer = layer
        self.codebooks = [codebook.detach().float().cpu().numpy() for codebook in ckpt.codebooks]
        groups = report.codes.sort_values(["layer", "code"]).groupby("layer")
        self.average = average_of_others(self.codebooks, [group["share"].to_numpy() for _, group in groups], layer)
        self.pipeline = Pipeline(ckpt, "cpu")
        self.representation = str(report.clips["representation"].iloc[0])
        self.skeleton = next((clip.skeleton for clip in clips if clip.name == report.clips["clip"].iloc[0]), None)

    @property
    def codebook(self) -> np.ndarray:
        """The layer's codes [K, C]."""
        return self.codebooks[self.layer - 1]

    def poses(self, vectors: np.ndarray, frames: np.ndarray | None = None) -> list[pd.DataFrame] | None:
        """A table of poses for each of the vectors [N, C]; of ``frames``, or of all where None; None without joints."""
        joints = decode_held(self.pipeline, vectors, self.representation, self.skeleton)
        if joints is None:
            return None
        names, parents = code_facts.bones(self.representation, self.skeleton)
        middle = joints.shape[1] // 2
        turn = facing(joints[-1, middle], names)  # of the last, to which the others are compared
        chosen = [middle] if frames is None else frames
        return [pose_table(one[chosen], names, parents, turn) for one in joints]


def show_poses(held: Held, code: int) -> None:
    components.heading("What it looks like", "code_poses")
    vector = held.codebook[code].astype(np.float64)
    config = held.pipeline.checkpoint.config
    frames = HELD_TOKENS * (1 if config is None else config.stride)
    chosen = np.linspace(0, frames - 1, POSES).round().astype(int)
    alone = held.poses(np.stack([vector, 0 * vector]), chosen)
    context = held.poses(np.stack([vector + held.average, held.average]), chosen)
    if alone is None or context is None:
        st.info("These features do not tell joint positions, or nothing can be decoded: there is no pose to draw.")
        return
    labels = [f"frame {frame + 1}" for frame in chosen]
    several = len(held.codebooks) > 1
    for key, title, pose, reference in (("alone", "alone", *alone), ("context", "in context", *context)):
        if key == "context" and not several:
            continue
        without = "decoder on zeros" if key == "alone" else "the other layers' average"
        figure = pose_strip(
            pose, labels, x=f"frames of {HELD_TOKENS} tokens", name=f"code {code} {title}", reference=reference,
            reference_name=without,
        )  # fmt: skip
        alt = f"Poses that the decoder makes of code {code} {title}, over those of {without}"
        components.chart(figure, alt=alt, key=f"poses_{key}")


def show_windows(ckpt: Checkpoint, report: Report, clips: Sequence[Clip], layer: int, code: int) -> None:
    components.heading("Its most typical windows", "code_windows")
    windows = report.tables.get("windows", pd.DataFrame({"layer": [], "code": []}))
    found = windows[(windows["layer"] == layer) & (windows["code"] == code)].reset_index(drop=True)
    if found.empty:
        st.info("No latent of these clips chose this code, so there is no window to play.")
        return
    labels = [code_facts.window_label(row) for _, row in found.iterrows()]
    number = st.segmented_control(
        "Window", list(range(len(labels))), format_func=labels.__getitem__, default=0, required=True,
        key=f"window_{layer}_{code}", label_visibility="collapsed",
    ) or 0  # fmt: skip
    row = found.iloc[number]
    clip = next(clip for clip in clips if clip.name == row["clip"])
    playback = data.playback(ckpt, clip)
    around = max(1, round(SECONDS_AROUND * playback.clip.fps / playback.stride))
    first = max(0, int(row["token"]) - around)
    last = min(len(playback.tokens), int(row["token"]) + int(row["run_tokens"]) + around)
    shown = Window(first * playback.stride, (last - first) * playback.stride)
    groups = report.codes.sort_values(["layer", "code"]).groupby("layer")
    shares = [group["share"].fillna(0.0).to_numpy() for _, group in groups]
    name = metric_name(playback.metric, playback.clip.representation.startswith("smplx_rot6d"))
    # By code: where this one begins and ends is what the reader looks for.
    clip_player(payload(playback, shown, shares, View(tokens="code"), name), key=PLAYER, on_view_change=lambda: None)


def show_clips(report: Report, row: pd.Series) -> None:
    components.heading("Usage over clips", "code_clips")
    usage = usage_over_clips(report.tokens, report.clips["clip"].tolist(), int(row["layer"]), int(row["code"]))
    if usage.empty:
        st.info("Unseen in all of these clips.")
        return
    alt = f"Bars: share of a clip's tokens on this code; {len(usage)} of {len(report.clips)} clips use it"
    components.chart(code_usage_figure(usage, float(row["share"])), alt=alt, key="code_clips")
    st.caption(f"{len(usage)} of {len(report.clips)} clips use it.")


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


def show_line(held: Held, code: int) -> None:
    components.heading("The way to another code", "code_line")
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
    start, end = held.codebook[code], held.codebook[to]
    points = line_between(start, end, STEPS) + (0 if context == "none" else held.average)
    found = held.poses(points)
    if found is None:
        st.info("These features do not tell joint positions, or nothing can be decoded: there is no pose to draw.")
        return
    strip = pd.concat([pose.assign(pose=step) for step, pose in enumerate(found)])
    reference = pd.concat([found[0].assign(pose=step) for step in range(STEPS)])
    labels = [f"code {code}", *(f"{step / (STEPS - 1):.0%}" for step in range(1, STEPS - 1)), f"code {to}"]
    figure = pose_strip(
        strip, labels, x="share of the way", name="on the way", reference=reference, reference_name=f"code {code}"
    )
    components.chart(figure, alt=f"Poses on the line from code {code} to code {to}", key="line_poses")
    distance = float(np.linalg.norm(end.astype(np.float64) - start))
    st.caption(f"The two lie {distance:.3g} apart (L2) in layer {held.layer}.")


main()
