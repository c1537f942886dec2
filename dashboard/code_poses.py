"""A code as poses: alone, in context and on the way to another code, as tables that a strip of figures is drawn of."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from numpy.typing import NDArray

from dashboard import code_facts, data
from dashboard.figures.poses import pose_strip, pose_table
from dashboard.player.skeleton import facing
from rvq_core.clips import Clip
from rvq_core.code_motion import HELD_TOKENS, average_of_others, decode_held, decode_joints, line_between
from rvq_core.loading import Checkpoint
from rvq_core.report import Report
from rvq_core.tokens import Pipeline

Made = TypeVar("Made")

POSES = 7
"""Poses of a held code, evenly over its frames."""

STEPS = 7
"""Poses on the way from one code to another, both among them."""


@dataclass(frozen=True, slots=True)
class Strip:
    """Poses beside each other over poses to compare with.

    ``table`` has the columns of a pose_table, ``label`` (what stands under a pose) and ``of``: ``name`` for the poses
    themselves, ``reference`` for those behind.
    """

    table: pd.DataFrame
    x: str
    name: str
    reference: str

    def draw(self) -> go.Figure:
        """The strip as a figure."""
        own, behind = (self.table[self.table["of"] == name] for name in (self.name, self.reference))
        labels = [str(label) for label in own.drop_duplicates("pose")["label"]]
        return pose_strip(own, labels, x=self.x, name=self.name, reference=behind, reference_name=self.reference)


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
        return self.made(
            ("joints", *self._told(latents)),
            partial(decode_joints, self.pipeline, latents, self.representation, self.skeleton),
        )

    def made(self, what: tuple[Hashable, ...], make: Callable[[], Made]) -> Made:
        """What ``make`` computes with the checkpoint, kept for all sessions; ``what`` names all else it depends on."""
        return data.motion(self.pipeline.checkpoint, what, make)

    def _told(self, latents: np.ndarray) -> tuple[Hashable, ...]:
        """Latents, and how their features become joints, in a few words."""
        digest = hashlib.sha256(repr(latents.shape).encode() + np.ascontiguousarray(latents).tobytes())
        if self.skeleton is not None:
            digest.update(repr((self.skeleton.names, self.skeleton.parents)).encode() + self.skeleton.offsets.tobytes())
        return self.representation, digest.hexdigest()

    def frames(self, of_tokens: NDArray[Any]) -> NDArray[Any]:
        """Values of tokens [T'] for each of their frames [T]."""
        return np.repeat(of_tokens, self.stride)

    def alone(self, code: int) -> Strip | None:
        """The code without the other layers, over the decoder on zeros; None where no poses can be decoded."""
        vector = self.codebook[code].astype(np.float64)
        return self._held(vector, 0 * vector, f"code {code} alone", "decoder on zeros")

    def in_context(self, code: int) -> Strip | None:
        """The code with the other layers' average, over that average; None too where there is no other layer."""
        if len(self.codebooks) == 1:
            return None
        vector = self.codebook[code].astype(np.float64) + self.average
        return self._held(vector, self.average, f"code {code} on the average of the other layers", "their average")

    def line(self, code: int, to: int, *, context: bool = True) -> Strip | None:
        """The way from one code to another, over the first; ``context``: the other layers at their average."""
        points = line_between(self.codebook[code], self.codebook[to], STEPS) + (self.average if context else 0)
        found = self._poses(points, None)
        if found is None:
            return None
        labels = [f"code {code}", *(f"{step / (STEPS - 1):.0%}" for step in range(1, STEPS - 1)), f"code {to}"]
        own = pd.concat([pose.assign(pose=step) for step, pose in enumerate(found)])
        behind = pd.concat([found[0].assign(pose=step) for step in range(STEPS)])
        return _strip(own, behind, labels, "share of the way", "on the way", f"code {code}")

    def _held(self, vector: NDArray[np.float64], base: NDArray[np.float64], name: str, reference: str) -> Strip | None:
        chosen = np.linspace(0, HELD_TOKENS * self.stride - 1, POSES).round().astype(int)
        found = self._poses(np.stack([vector, base]), chosen)
        if found is None:
            return None
        labels = [f"frame {frame + 1}" for frame in chosen]
        return _strip(found[0], found[1], labels, f"frames of {HELD_TOKENS} tokens", name, reference)

    def _poses(self, vectors: NDArray[np.float64], frames: NDArray[np.int64] | None) -> list[pd.DataFrame] | None:
        """A table of poses for each of the vectors [N, C]: of ``frames``, or of the middle one where None."""
        joints = self.made(
            ("held", *self._told(vectors)),
            partial(decode_held, self.pipeline, vectors, self.representation, self.skeleton),
        )
        if joints is None:
            return None
        middle = joints.shape[1] // 2
        turn = facing(joints[-1, middle], self.names)  # of the last, to which the others are compared
        chosen = [middle] if frames is None else frames
        return [pose_table(one[chosen], self.names, self.parents, turn) for one in joints]


def _strip(
    own: pd.DataFrame, behind: pd.DataFrame, labels: Sequence[str], x: str, name: str, reference: str
) -> Strip:  # fmt: skip
    both = pd.concat([own.assign(of=name), behind.assign(of=reference)], ignore_index=True)
    return Strip(both.assign(label=both["pose"].map(dict(enumerate(labels)))), x, name, reference)
