"""How far each reconstruction of a clip is from the clip, in every metric that its representation allows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from rvq_core.clips.representations import Representation, get_representation
from rvq_core.clips.skeleton import Skeleton
from rvq_core.errors import SettingsError
from rvq_core.stats import errors
from rvq_core.stats.errors import Flags, Floats
from rvq_core.stats.metrics import METRICS, Of
from rvq_core.stats.reconstruction import UNQUANTISED, JointErrors
from rvq_core.tokens import FRAMES_AT_ONCE, Codec, Encoded, Pipeline

MOVING_HANDS = 1e-4
"""Hands move when a hand feature's standard deviation over the clip is above this."""

ROOT = 0
"""The joint that each frame is aligned at."""

FOOT_WORDS = ("ankle", "foot", "toe")
"""A joint with one of these in its name is one of the foot's."""

KIT_FEET = frozenset({"LMrot", "LF", "RMrot", "RF"})
"""KIT's joints of the foot, on which its own contacts are defined too."""

CAVEATS = {
    "smplx_rot6d": "Joint errors are canonical-skeleton MPJPE: both motions are posed on one fixed skeleton of 1.70 m, "
    "its pelvis at the origin, whoever moved.",
    "latents": "Latents were quantized as they are: usage only, nothing was encoded or decoded.",
    "tokens": "Indices of codes were counted as they are: usage, sequences and rate only. Nothing was encoded or "
    "decoded, so there are no errors, and no residual energy of these clips.",
    "raw": "The features' meaning is not known: errors are of normalised features only.",
}
"""What a reader of the figures must know, by representation."""


class ErrorRow(NamedTuple):
    """One figure of one clip: ``n_active`` quantizers (-1: unquantised), weighted by frames."""

    clip: str
    n_active: int
    metric: str
    value: float
    weight: int


class ClipErrors(NamedTuple):
    """All errors of one clip: a row a metric and n = 0..Q, -1; and those metrics by joint that joints have."""

    rows: list[ErrorRow]
    joints: list[JointErrors]


class _Measured(NamedTuple):
    """One metric of B reconstructions: means [B], means of frames [B, F] from frame ``start`` on, of joints [B, J]."""

    metric: str
    mean: Floats
    frames: Floats
    start: int = 0
    joints: tuple[str, ...] = ()
    by_joint: Floats | None = None


class _Pair(NamedTuple):
    """What a metric compares of reconstructions [B, T, ...] and of the clip [T, ...], and the joints that it is of.

    The first ``besides`` are none of them: the root, which others are measured from.
    """

    found: Floats
    wanted: Floats
    joints: tuple[str, ...] = ()
    besides: int = 0


class _Motion(NamedTuple):
    """Features as motion: joints [..., T, J, 3], rotations [..., T, J, 3, 3], feet [..., T, F, 3] with the root's path.

    None where the features do not tell them.
    """

    joints: Floats | None
    rotations: Floats | None
    feet: Floats | None


@dataclass(frozen=True, slots=True, eq=False)
class _Poser:
    """Poses a clip and its reconstructions alike: on one skeleton, with the clip's path under both.

    ``names`` are those of the joints; ``body``, ``hands`` and ``feet`` number them, ``hands`` only where they move.
    """

    kind: Representation
    skeleton: Skeleton | None
    path: Tensor | None
    names: tuple[str, ...]
    body: list[int]
    hands: list[int]
    feet: list[int]

    def named(self, joints: list[int]) -> tuple[str, ...]:
        """The names of joints."""
        return tuple(self.names[joint] for joint in joints)

    def pose(self, raw: Tensor) -> _Motion:
        """The motion of raw features [..., T, D]."""
        joints = self.kind.joints(raw, self.skeleton, first=max([*self.body, *self.hands], default=-1) + 1)
        rotations = self.kind.rotations(raw)
        feet = None
        if joints is not None and self.feet and (rotations is None or self.path is not None):
            # Rotations alone leave the root at the origin: a foot on the ground would seem to slide under it.
            path = joints.new_zeros(3) if rotations is None or self.path is None else self.path[:, None]
            feet = (joints[..., self.feet, :] + path).cpu().numpy()
        return _Motion(
            None if joints is None else joints.cpu().numpy(),
            None if rotations is None else rotations[..., self.body, :, :].cpu().numpy(),
            feet,
        )


@dataclass(frozen=True, slots=True, eq=False)
class _Truth:
    """What the reconstructions are compared with: normalised features [T, D] and the clip's own motion."""

    poser: _Poser
    features: Floats
    motion: _Motion
    contacts: Flags | None
    fps: float


@torch.inference_mode()
def measure_clip(pipeline: Codec, encoded: Encoded) -> ClipErrors:
    """Errors of one clip for n = 0..Q and for the unquantised path; none where the clip holds latents."""
    clip = encoded.clip
    found = ClipErrors([], [])
    parts: dict[str, list[_Measured]] = {}
    depths: list[int] = []
    for numbers, measured in _measured(pipeline, encoded, pipeline.decode(encoded)):
        depths += numbers
        for i, n_active in enumerate(numbers):
            found.rows.extend(ErrorRow(clip.name, n_active, m.metric, float(m.mean[i]), clip.frames) for m in measured)
        for one in measured:
            parts.setdefault(one.metric, []).append(one)
    for metric, batches in parts.items():
        by_joint = [batch.by_joint for batch in batches if batch.by_joint is not None]
        if by_joint:
            values = np.concatenate(by_joint)
            found.joints.append(JointErrors(clip.name, metric, batches[0].joints, tuple(depths), values, clip.frames))
    return found


@torch.inference_mode()
def frame_errors(pipeline: Codec, encoded: Encoded, n_active: int) -> pd.DataFrame:
    """Errors of each frame with ``n_active`` quantizers (-1: unquantised): ``frame`` (from 0), ``metric``, ``value``.

    Velocities and skating are of the step that arrives at a frame, so they start at frame 1; accelerations end one
    frame before the last. Skating is NaN in a frame where no foot is on the ground. No rows where the clip holds
    latents. Raises SettingsError for an ``n_active`` that the checkpoint does not have.
    """
    deepest = len(encoded.partial) - 1
    if not UNQUANTISED <= n_active <= deepest:
        raise SettingsError(
            "n_active", expected=f"{UNQUANTISED} (unquantised) to {deepest}", found=str(n_active), do="choose another"
        )
    parts = [
        pd.DataFrame({"frame": one.start + np.arange(values.size), "metric": one.metric, "value": values})
        for numbers, measured in _measured(pipeline, encoded, pipeline.decode(encoded))
        if n_active in numbers
        for one in measured
        for values in [one.frames[numbers.index(n_active)]]
    ]
    kinds = {"frame": "int64", "metric": "str", "value": "float64"}
    empty = pd.DataFrame({name: pd.Series(dtype=kind) for name, kind in kinds.items()})
    return pd.concat(parts, ignore_index=True).astype(kinds) if parts else empty


@torch.inference_mode()
def measure_latents(pipeline: Pipeline, encoded: Encoded, latents: Tensor) -> dict[str, list[float]]:
    """Every metric of what the decoder makes of each of ``latents`` [V, C, T'] in the clip's place, V figures each.

    Empty where the clip holds latents.
    """
    found: dict[str, list[float]] = {}
    for _, measured in _measured(pipeline, encoded, enumerate(pipeline.decode_latents(encoded, latents))):
        for one in measured:
            found.setdefault(one.metric, []).extend(one.mean.tolist())
    return found


def _measured(
    pipeline: Codec, encoded: Encoded, decoded: Iterator[tuple[int, Tensor]]
) -> Iterator[tuple[list[int], list[_Measured]]]:
    """Numbers of reconstructions [T, D] and their errors, as many at once as stay small in memory."""
    if encoded.features is None:
        return
    truth = _truth(pipeline, encoded, encoded.features)
    at_once = max(1, FRAMES_AT_ONCE // encoded.clip.frames)
    while batch := list(islice(decoded, at_once)):
        normalised = torch.stack([features for _, features in batch])
        found = truth.poser.pose(pipeline.restore(normalised))
        yield [number for number, _ in batch], [*_measure(truth, normalised.cpu().numpy(), found)]


def _truth(pipeline: Codec, encoded: Encoded, features: Tensor) -> _Truth:
    clip = encoded.clip
    kind = get_representation(clip.representation)
    raw = torch.from_numpy(clip.features).to(pipeline.device)
    # Not the clip's own where the kind has one: its reconstructions say nothing of the body that moved.
    skeleton = kind.default_skeleton() or clip.skeleton
    names = kind.joint_names or (skeleton.names if skeleton else ())
    body = list(kind.body or range(len(names)))
    path = None if clip.translation is None else torch.from_numpy(clip.translation).to(pipeline.device)
    hands = list(kind.hands) if kind.hands and _hands_move(kind, raw) else []
    poser = _Poser(kind, skeleton, path, names, body, hands, [joint for joint in body if _is_foot(names[joint])])
    motion = poser.pose(raw)
    contacts = None if motion.feet is None else errors.ground_contacts(motion.feet, clip.fps)
    return _Truth(poser, features.cpu().numpy(), motion, contacts, clip.fps)


def _is_foot(name: str) -> bool:
    return name in KIT_FEET or any(word in name.lower() for word in FOOT_WORDS)


def _hands_move(kind: Representation, features: Tensor) -> bool:
    turns = kind.rotations(features)
    return turns is not None and bool((turns[:, list(kind.hands)].std(dim=0, correction=0) > MOVING_HANDS).any())


def _measure(truth: _Truth, normalised: Floats, found: _Motion) -> Iterator[_Measured]:
    """Every metric of reconstructions [B, T, ...], in the order of ``METRICS``."""
    pairs = {of: _compared(truth, of, normalised, found) for of in Of}
    for metric in METRICS:
        pair = None if metric.of is None else pairs[metric.of]
        if pair is not None and metric.errors is not None:
            each = metric.errors(pair.found, pair.wanted, truth.fps)[..., pair.besides :]
            by_joint = errors.by_joint(each) if metric.by_joint else None
            yield _Measured(metric.name, errors.mean(each), errors.by_frame(each), metric.start, pair.joints, by_joint)
    if found.feet is not None and truth.motion.feet is not None and truth.contacts is not None:
        original = np.broadcast_to(truth.motion.feet, found.feet.shape)
        yield _skating("foot_skating", found.feet, truth.contacts, truth.fps)
        yield _skating("foot_skating_original", original, truth.contacts, truth.fps)


def _compared(truth: _Truth, of: Of, normalised: Floats, found: _Motion) -> _Pair | None:
    """What a metric compares of the reconstructions and of the clip; None where they have no such thing."""
    poser, wanted = truth.poser, truth.motion
    if of is Of.FEATURES:
        return _Pair(normalised, truth.features)
    if of is Of.ROTATIONS and found.rotations is not None and wanted.rotations is not None:
        return _Pair(found.rotations, wanted.rotations, poser.named(poser.body))
    joints = poser.body if of is Of.BODY else poser.hands if of is Of.HANDS else []
    if not joints or found.joints is None or wanted.joints is None:
        return None
    posed = joints if joints[0] == ROOT else [ROOT, *joints]
    besides = len(posed) - len(joints)
    return _Pair(found.joints[..., posed, :], wanted.joints[..., posed, :], poser.named(joints), besides)


def _skating(metric: str, feet: Floats, contacts: Flags, fps: float) -> _Measured:
    by_frame = errors.foot_skating_by_frame(feet, contacts, fps)
    return _Measured(metric, errors.foot_skating(feet, contacts, fps), by_frame, start=1)
