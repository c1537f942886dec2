"""What the player has to know of joints: which bones to draw, where the floor is, where the camera looks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

FACE = ("jaw", "eye")
FINGERS = ("index", "middle", "ring", "pinky", "thumb")
FEET = ("foot", "ankle", "toe", "LA", "RA")
BODY_VIEW = {"centre": [0.0, 0.85, 0.0], "tall": 2.35}
"""Where the camera looks at a whole body, from under its root on the floor, and the metres that fit its picture."""

HIPS = (("left_hip", "right_hip"), ("LH", "RH"))
HEADS = ("head", "Head", "BUN")


def bones(names: Sequence[str], parents: Sequence[int]) -> dict[str, Any]:
    """Joints by name, those that are drawn, those drawn thin, and the head's."""
    drawn = [joint for joint, name in enumerate(names) if not _is_one_of(name, FACE)]
    return {
        "names": list(names),
        "parents": list(parents),
        "drawn": drawn,
        "thin": [joint for joint in drawn if _is_one_of(names[joint], FINGERS)],
        "head": next((names.index(name) for name in HEADS if name in names), None),
    }


def camera(names: Sequence[str], joints: NDArray[np.floating[Any]], floor: float) -> dict[str, Any]:
    """Where the camera looks, from under the root of ``joints`` [T, J, 3], and the metres that fit its picture."""
    whole = any(_is_one_of(name, FEET) for name in names)
    return BODY_VIEW if whole else _part(joints, floor)


def _is_one_of(name: str, words: Sequence[str]) -> bool:
    return any(word in name.lower() or word == name for word in words)


def _part(joints: NDArray[np.floating[Any]], floor: float) -> dict[str, Any]:
    """The camera's place for a part of a body: on the middle of its joints, near enough to fill the picture."""
    local = (joints - joints[:, :1]).mean(axis=(0, 1))
    height = joints[..., 1].mean() - floor
    reach = np.linalg.norm(joints - joints.mean(axis=1, keepdims=True), axis=-1).max()
    return {"centre": [float(local[0]), float(height), float(local[2])], "tall": max(0.5, 2.4 * float(reach))}


def floor_of(joints: NDArray[np.floating[Any]]) -> float:
    """Height of the floor: what the lowest joint of a frame is above in nine of ten frames, so one dip is none."""
    return float(np.quantile(joints[..., 1].min(axis=-1), 0.1))


def facing(joints: NDArray[np.floating[Any]], names: Sequence[str]) -> float:
    """Angle about y, from +z towards +x, in which the hips face; 0 where the skeleton does not name them."""
    for left, right in HIPS:
        if left in names and right in names:
            across = joints[names.index(left)] - joints[names.index(right)]
            return float(np.arctan2(-across[2], across[0]))
    return 0.0
