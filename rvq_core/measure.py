"""How far each reconstruction of a clip is from the clip, in every metric that its representation allows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from rvq_core.clips.representations import Representation, get_representation
from rvq_core.stats import errors
from rvq_core.tokens import Encoded, Pipeline

MOVING_HANDS = 1e-4
"""Hands move when a hand feature's standard deviation over the clip is above this."""


CAVEATS = {
    "smplx_rot6d": "Joint errors are canonical-skeleton MPJPE: both motions are posed on one fixed skeleton of 1.70 m, "
    "its pelvis at the origin, whoever moved.",
    "latents": "Latents were quantized as they are: usage only, nothing was encoded or decoded.",
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


@dataclass(frozen=True, slots=True, eq=False)
class _Truth:
    """What the reconstructions are compared with; joints and rotations of the clip itself, None where it has none."""

    features: Tensor
    joints: Tensor | None
    rotations: Tensor | None
    kind: Representation
    joint_count: int
    hands: bool
    fps: float


@torch.inference_mode()
def clip_error_rows(pipeline: Pipeline, encoded: Encoded) -> list[ErrorRow]:
    """Rows of one clip for n = 0..Q and for the unquantised path; none where the clip holds latents."""
    if encoded.features is None:
        return []
    truth = _truth(pipeline, encoded, encoded.features)
    clip = encoded.clip
    return [
        ErrorRow(clip.name, n_active, metric, value, clip.frames)
        for n_active, decoded in pipeline.decode(encoded)
        for metric, value in _measure(truth, decoded, pipeline.restore(decoded))
    ]


def _truth(pipeline: Pipeline, encoded: Encoded, features: Tensor) -> _Truth:
    clip = encoded.clip
    kind = get_representation(clip.representation)
    raw = torch.from_numpy(clip.features).to(pipeline.device)
    hands = bool(kind.hands) and _hands_move(kind, raw)
    count = max((*kind.body, *(kind.hands if hands else ())), default=-1) + 1
    joints = kind.joints(raw, clip.skeleton, first=count)
    rotations = kind.rotations(raw)
    return _Truth(features, joints, rotations, kind, count, hands, clip.fps)


def _hands_move(kind: Representation, features: Tensor) -> bool:
    turns = kind.rotations(features)
    return turns is not None and bool((turns[:, list(kind.hands)].std(dim=0, correction=0) > MOVING_HANDS).any())


def _measure(truth: _Truth, normalised: Tensor, raw: Tensor) -> Iterator[tuple[str, float]]:
    yield "feature_mse", float(errors.feature_mse(normalised.cpu().numpy(), truth.features.cpu().numpy()))
    body = list(truth.kind.body)
    joints = truth.kind.joints(raw, first=truth.joint_count)
    if truth.joints is not None and joints is not None:
        found, wanted = joints.cpu().numpy(), truth.joints.cpu().numpy()
        yield "mpjpe", float(errors.mpjpe(found[:, body], wanted[:, body]))
        if truth.hands:
            # Aligned at the pelvis too, which then must not count as a hand joint of error 0.
            both = [0, *truth.kind.hands]
            mean = float(errors.mpjpe(found[:, both], wanted[:, both]))
            yield "mpjpe_hands", mean * len(both) / len(truth.kind.hands)
        yield "velocity_error", float(errors.velocity_error(found[:, body], wanted[:, body], truth.fps))
    rotations = truth.kind.rotations(raw)
    if truth.rotations is not None and rotations is not None:
        found, wanted = rotations[:, body].cpu().numpy(), truth.rotations[:, body].cpu().numpy()
        yield "rotation_error", float(errors.rotation_error(found, wanted))
