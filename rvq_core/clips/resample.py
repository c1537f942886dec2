"""Clips at another frame rate."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from rvq_core.clips.checks import check_fps, nominal_fps
from rvq_core.clips.clip import Clip
from rvq_core.clips.representations import get_representation, rotation_features
from rvq_core.clips.slerp import Between, lerp, locate, slerp
from rvq_core.errors import ClipError
from rvq_core.limits import FRAMES, refuse_beyond

Array = NDArray[np.float64]


def resample_clip(clip: Clip, fps: float) -> Clip:
    """Return ``clip`` at ``fps``; the clip itself where its frame rate is within 0.01 % of that.

    Frame k of the result lies at k / fps seconds; the last is the last that is not after the last source frame, at
    (T - 1) / clip.fps. Rotations are interpolated by slerp, all other features and the translation linearly, and
    columns that are displacements a frame are scaled to the new frame's length. A note tells it.
    """
    check_fps(fps, "fps")
    check_fps(clip.fps, f"{clip.name}: frame rate")
    if abs(clip.fps - fps) <= 1e-4 * fps:
        return clip
    source, target = nominal_fps(clip.fps), nominal_fps(fps)
    frames = clip.frames * target / source
    if frames > clip.frames:
        refuse_beyond(FRAMES, frames, clip.source or clip.name, ClipError)
    where = locate(np.arange(clip.frames) / source, uniform_times((clip.frames - 1) / source, target))
    features, method = _features(clip, where, source / target)
    translation = None if clip.translation is None else lerp(clip.translation.astype(np.float64), where)
    return replace(
        clip,
        fps=target,
        features=features.astype(np.float32),
        translation=None if translation is None else translation.astype(np.float32),
        notes=(*clip.notes, f"resampled from {source:g} to {target:g} fps ({method})"),
    )


def uniform_times(duration: float, fps: float) -> Array:
    """List the times 0, 1/fps, 2/fps ... up to ``duration`` seconds, which is met where it is a multiple of 1/fps."""
    return np.arange(int(np.floor(duration * fps + 1e-6)) + 1) / fps


def _features(clip: Clip, where: Between, ratio: float) -> tuple[NDArray[np.floating], str]:
    """Interpolated features [N, D], and how; ``ratio`` is the new frame's length over the old one's."""
    features = clip.features.astype(np.float64)
    kind = get_representation(clip.representation)
    if kind.rotations_from is not None:
        return rotation_features(slerp(_matrices(features), where)), "slerp"
    values = lerp(features, where)
    for columns in kind.per_frame:
        values[:, columns] *= ratio
    return values, "linear"


def _matrices(features: Array) -> Array:
    """Rotation matrices [T, J, 3, 3] from 6D features [T, 6 J]."""
    import torch

    from rvq_core.clips.rotations import rot6d_to_matrix

    return rot6d_to_matrix(torch.tensor(features.reshape(len(features), -1, 6))).numpy()
