"""Reader of DeepMimic reference motions: JSON in a ``.txt`` (Peng et al., SIGGRAPH 2018)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from rvq_core.clips.checks import as_frames, nominal_fps, shown
from rvq_core.clips.clip import Clip
from rvq_core.clips.motion import SmplxMotion
from rvq_core.clips.resample import uniform_times
from rvq_core.clips.retarget import Rig, retarget
from rvq_core.clips.slerp import lerp, locate, slerp
from rvq_core.errors import ClipError
from rvq_core.limits import SETTINGS, bounded_text

Array = NDArray[np.float64]

_COLUMNS = 44
# (joint, parent, first column, columns): 4 is a quaternion wxyz, 1 an angle about z. Column 0 is the frame's duration,
# 1:4 the root's position.
_LAYOUT: tuple[tuple[str, str | None, int, int], ...] = (
    ("root", None, 4, 4),
    ("chest", "root", 8, 4),
    ("neck", "chest", 12, 4),
    ("right_hip", "root", 16, 4),
    ("right_knee", "right_hip", 20, 1),
    ("right_ankle", "right_knee", 21, 4),
    ("right_shoulder", "chest", 25, 4),
    ("right_elbow", "right_shoulder", 29, 1),
    ("left_hip", "root", 30, 4),
    ("left_knee", "left_hip", 34, 1),
    ("left_ankle", "left_knee", 35, 4),
    ("left_shoulder", "chest", 39, 4),
    ("left_elbow", "left_shoulder", 43, 1),
)
_NUMBER = {name: number for number, (name, *_) in enumerate(_LAYOUT)}
_DOWN = (0.0, -1.0, 0.0)
_LIMBS = tuple(f"{side}_{part}" for side in ("left", "right") for part in ("hip", "knee", "shoulder", "elbow"))

# y up, facing +x, +z to the right; standing with the arms hanging down. Metres.
RIG = Rig(
    names=tuple(_NUMBER),
    joints={"pelvis": "root", "spine3": "chest", "neck": "neck"}
    | {name: name for name in _NUMBER if name.startswith(("left", "right"))},
    axes=np.array([[0.0, 0.0, -1.0], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0]]),
    leg=0.8314,
    ankle_height=0.05,
    directions=dict.fromkeys(_LIMBS, _DOWN),
)


def read_deepmimic(
    path: Path,
    *,
    representation: str | None = None,  # noqa: ARG001 - every reader is called alike
    fps: float | None = None,  # noqa: ARG001 - as above
    bone_map: Mapping[str, str] | None = None,  # noqa: ARG001 - as above
) -> Clip:
    """Read a motion and retarget it to SMPL-X, as a smplx_rot6d clip at the file's own frame rate."""
    return read_motion(path).to_clip(path.stem, path)


def read_motion(path: Path) -> SmplxMotion:
    """Read a motion and retarget it to SMPL-X.

    A frame's duration leads to the next frame; where durations differ inside the file, it is resampled at the most
    common one. The last duration and `Loop` say nothing about the frames and are ignored.
    """
    frames = _read_frames(path)
    times = _times(frames[:, 0], path)
    rotations, root = _world_rotations(frames, path), frames[:, 1:4]
    rate, even = _frame_rate(times)
    notes: tuple[str, ...] = ()
    if not even:
        where = locate(times, uniform_times(float(times[-1]), rate))
        rotations, root = slerp(rotations, where), lerp(root, where)
        notes = (f"frames of uneven duration resampled to {rate:g} fps (slerp)",)
    result = retarget(RIG, rotations, root)
    return SmplxMotion(result.rotations, result.translation, rate, (*notes, result.note))


def _read_frames(path: Path) -> Array:
    try:
        content: Any = json.loads(bounded_text(path, SETTINGS, ClipError))
    except (OSError, ValueError, RecursionError) as error:
        raise _not_deepmimic(path, f"{type(error).__name__}: {error}") from error
    rows = cast(dict[str, Any], content).get("Frames") if isinstance(content, dict) else None
    if not isinstance(rows, list) or not rows:
        raise _not_deepmimic(path, "JSON without a list `Frames`")
    try:
        frames = np.array(rows, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise _not_deepmimic(path, f"`Frames` that are not rows of equally many numbers: {error}") from error
    return as_frames(frames, shown(path, "Frames"), columns=(_COLUMNS,))


def _not_deepmimic(path: Path, found: str) -> ClipError:
    return ClipError(
        str(path),
        expected="a DeepMimic motion (JSON with `Frames`)",
        found=found,
        do="give a motion file, or leave it out",
    )


def _times(durations: Array, path: Path) -> Array:
    """Seconds [T] at which the frames lie."""
    bad = np.flatnonzero(durations[:-1] <= 0)
    if bad.size:
        raise ClipError(
            shown(path, "Frames"),
            expected="a duration above 0 in each frame but the last",
            found=f"{durations[bad[0]]:g} in frame {int(bad[0])}",
            do="repair or leave out this motion",
        )
    return np.concatenate(([0.0], np.cumsum(durations[:-1])))


def _frame_rate(times: Array) -> tuple[float, bool]:
    """Find the frame rate of the most common duration, and whether all durations are that one (within 0.1 %)."""
    if len(times) == 1:
        return 30.0, True
    durations = np.diff(times)
    usual = float(np.median(durations))
    return nominal_fps(1 / usual), bool(np.all(np.abs(durations - usual) <= 1e-3 * usual))


def _world_rotations(frames: Array, path: Path) -> Array:
    """World rotations [T, 13, 3, 3] of the joints of ``_LAYOUT``."""
    world = np.empty((len(frames), len(_LAYOUT), 3, 3))
    for joint, (name, parent, column, width) in enumerate(_LAYOUT):
        values = frames[:, column : column + width]
        local = _about_z(values) if width == 1 else _from_quaternions(values, f"{path}: Frames ({name})")
        world[:, joint] = local if parent is None else world[:, _NUMBER[parent]] @ local
    return world


def _about_z(angles: Array) -> Array:
    return Rotation.from_rotvec(angles * np.array([0.0, 0.0, 1.0])).as_matrix()


def _from_quaternions(wxyz: Array, where: str) -> Array:
    zero = np.flatnonzero(np.linalg.norm(wxyz, axis=1) < 1e-6)
    if zero.size:
        raise ClipError(
            where,
            expected="a quaternion",
            found=f"zeros in frame {int(zero[0])}",
            do="repair or leave out this motion",
        )
    return Rotation.from_quat(wxyz[:, [1, 2, 3, 0]]).as_matrix()
