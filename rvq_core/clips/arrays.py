"""An array of numbers as clips: features [T, D], joints [T, 22, 3], latents [B, C, T'] or a code's indices [T', Q]."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rvq_core.clips.checks import as_frames, check_fps, check_frames
from rvq_core.clips.clip import Clip
from rvq_core.clips.representations import (
    HUMANML3D,
    LATENTS,
    TOKENS,
    Representation,
    get_representation,
    guess_representation,
    humanml3d_features,
)
from rvq_core.clips.smplx import BODY_JOINTS
from rvq_core.errors import ClipError

UNTIMED = 1.0
"""Frame rate of latents and indices of which nothing tells how many make a second."""

MOST_LAYERS = 64
"""More columns of whole numbers than this are features of a wrong type, not the indices of so many layers."""

_ASSUMED_FPS = 30.0
_LARGEST_INDEX = (1 << 16) - 1
_SPACE = 3
"""Joint positions [T, J, 3] have as many dimensions as latents; their last one is never the time."""


def clips_of_array(
    array: NDArray[np.generic], path: Path, where: str, *, representation: str | None, fps: float | None
) -> Clip | list[Clip]:
    """Clips of ``array``, read from ``where`` in the file ``path``; its shape and type tell what it holds.

    Floating [T, D] are features, of the kind that D tells unless ``representation`` does; [T, 22, 3] are SMPL's body
    joints in metres, made into HumanML3D's features; [B, C, T'] latents, one clip for each of the B. Integers [T'],
    [T', Q] or [B, T', Q] are indices. An array has no frame rate: ``fps``, or the one usual for the kind, or 30 (a
    note says so). Raises ClipError.
    """
    if np.issubdtype(array.dtype, np.integer) and _may_be_indices(array):
        return _indices(array, path, where, fps)
    if array.ndim == 3 and array.shape[2] == _SPACE:
        return _from_joints(array, path, where, representation, fps)
    if array.ndim == 3:
        parts = [(part.T, where if len(array) == 1 else f"{where}[{i}]") for i, part in enumerate(array)]
        notes = ("latents of an encoder: nothing is decoded",)
        return _untimed(((as_frames(part, name), LATENTS) for part, name in parts), path, fps, notes)
    check_frames(array, where)
    features = array.astype(np.float32, copy=False)
    kind = _representation(features, representation, where)
    rate, notes = _frame_rate(kind, fps)
    return Clip(path.stem, rate, features, kind.name, kind.default_skeleton(), None, path, notes)


def _may_be_indices(array: NDArray[np.generic]) -> bool:
    # T2M-GPT and MotionGPT write one row with all the tokens of a clip.
    return array.ndim in (1, 3) or (array.ndim == 2 and (array.shape[1] <= MOST_LAYERS or array.shape[0] == 1))


def _indices(array: NDArray[np.generic], path: Path, where: str, fps: float | None) -> list[Clip] | Clip:
    if not array.size:
        raise ClipError(where, expected="at least one token", found=f"shape {list(array.shape)}", do="leave it out")
    low, high = int(array.min()), int(array.max())
    if low < 0 or high > _LARGEST_INDEX:
        raise ClipError(
            where,
            expected=f"indices of codes in 0..{_LARGEST_INDEX}",
            found=str(low if low < 0 else high),
            do="leave out padding and layers that were dropped (-1)",
        )
    stack = array.reshape(1, -1, 1) if array.ndim == 1 else array[None] if array.ndim == 2 else array
    notes = ("indices of codes: nothing is encoded or decoded",)
    return _untimed(((tokens.astype(np.float64), TOKENS) for tokens in stack), path, fps, notes)


def _untimed(
    parts: Iterable[tuple[NDArray[np.float64], Representation]], path: Path, fps: float | None, notes: tuple[str, ...]
) -> list[Clip] | Clip:
    """One clip a sequence [T', C or Q]; ``fps`` counts its tokens a second."""
    rate = UNTIMED if fps is None else check_fps(fps, "fps")
    found = list(parts)
    clips = [
        Clip(
            path.stem if len(found) == 1 else f"{path.stem}[{number}]",
            rate,
            np.ascontiguousarray(values, dtype=np.float32),
            kind.name,
            source=path,
            notes=notes,
        )
        for number, (values, kind) in enumerate(found)
    ]
    return clips[0] if len(clips) == 1 else clips


def _from_joints(
    array: NDArray[np.generic], path: Path, where: str, representation: str | None, fps: float | None
) -> Clip:
    """HumanML3D's features of joint positions, as its own preparation makes them of `new_joints`."""
    if array.shape[1] != BODY_JOINTS or representation not in (None, HUMANML3D.name):
        raise ClipError(
            where,
            expected=f"joint positions [T, {BODY_JOINTS}, 3] of SMPL's body, to make {HUMANML3D.name} features of",
            found=f"an array of shape {list(array.shape)}"
            + ("" if array.shape[1] != BODY_JOINTS else f" for {representation}"),
            do="give features [T, D], or the joints in SMPL's order without a representation",
        )
    joints = as_frames(array.reshape(len(array), -1), where).reshape(array.shape)
    rate, notes = _frame_rate(HUMANML3D, fps)
    if HUMANML3D.fps is not None and abs(rate - HUMANML3D.fps) > 1e-4 * HUMANML3D.fps:
        joints = _at_rate(joints, rate, HUMANML3D.fps)
        notes = (*notes, f"joints resampled from {rate:g} to {HUMANML3D.fps:g} fps (linear)")
        rate = HUMANML3D.fps
    if len(joints) < 2:
        raise ClipError(
            where, expected="at least 2 frames, as features hold velocities", found="1 frame", do="give a longer clip"
        )
    notes = (*notes, f"joints made into {HUMANML3D.name} features: on the floor, facing +z at the start")
    return Clip(path.stem, rate, humanml3d_features(joints), HUMANML3D.name, source=path, notes=notes)


def _at_rate(joints: NDArray[np.float64], source: float, target: float) -> NDArray[np.float64]:
    from rvq_core.clips.resample import uniform_times
    from rvq_core.clips.slerp import lerp, locate

    times = np.arange(len(joints)) / source
    where = locate(times, uniform_times(float(times[-1]), target))
    return lerp(joints.reshape(len(joints), -1), where).reshape(-1, *joints.shape[1:])


def _representation(features: NDArray[np.float32], name: str | None, where: str) -> Representation:
    dim = features.shape[1]
    if name is None:
        return guess_representation(dim)
    kind = get_representation(name)
    if not kind.fits(dim):
        raise ClipError(
            where,
            expected=f"D = {kind.dim} ({name})",
            found=f"D = {dim}",
            do=f"leave the representation out, or give {guess_representation(dim).name}",
        )
    return kind


def _frame_rate(kind: Representation, fps: float | None) -> tuple[float, tuple[str, ...]]:
    if fps is not None:
        return check_fps(fps, "fps"), ()
    rate = kind.fps or _ASSUMED_FPS
    return rate, (f"{rate:g} frames a second assumed: the file names no frame rate",)
