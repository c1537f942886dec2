"""SMPL-X joints, and a canonical skeleton of our own to stand for every body.

Names, order and parents are SMPL-X's (Pavlakos et al., CVPR 2019), because the data use them. The bone lengths are
NOT a body model's: they are rounded from the segment proportions of Drillis and Contini (1966) for a stature of
1.70 m (thigh 0.245 H, shank 0.246 H, ankle height 0.039 H, upper arm 0.186 H, forearm 0.146 H, hand 0.108 H,
shoulder height 0.818 H, half the distance of the hips 0.05 H). T-pose, y up, facing +z, left = +x, symmetric, metres.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from rvq_core.clips.skeleton import Skeleton

_FINGERS = ("index", "middle", "pinky", "ring", "thumb")

JOINT_NAMES: tuple[str, ...] = (
    "pelvis", "left_hip", "right_hip", "spine1", "left_knee", "right_knee", "spine2", "left_ankle", "right_ankle",
    "spine3", "left_foot", "right_foot", "neck", "left_collar", "right_collar", "head", "left_shoulder",
    "right_shoulder", "left_elbow", "right_elbow", "left_wrist", "right_wrist", "jaw", "left_eye", "right_eye",
    *(f"{side}_{finger}{bone}" for side in ("left", "right") for finger in _FINGERS for bone in (1, 2, 3)),
)  # fmt: skip

PARENTS: tuple[int, ...] = (
    -1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19, 15, 15, 15,
    20, 25, 26, 20, 28, 29, 20, 31, 32, 20, 34, 35, 20, 37, 38,
    21, 40, 41, 21, 43, 44, 21, 46, 47, 21, 49, 50, 21, 52, 53,
)  # fmt: skip

JOINTS = len(JOINT_NAMES)
BODY_JOINTS = 22

UPPER: tuple[int, ...] = (3, 6, 9, *range(12, 22))
HANDS: tuple[int, ...] = tuple(range(25, 55))
LOWER: tuple[int, ...] = (0, 1, 2, 4, 5, 7, 8, 10, 11)

# From the ankle joint down to the sole (Drillis and Contini: 0.039 H).
ANKLE_HEIGHT = 0.065

# SMPL-H (AMASS) has the same body and hands, without jaw and eyes.
SMPLH_IN_SMPLX: tuple[int, ...] = (*range(BODY_JOINTS), *HANDS)

# In SMPL-X's rest pose the pelvis lies about 0.35 m below the model's origin, and `trans` moves that origin.
_MIDDLE: dict[str, tuple[float, float, float]] = {
    "pelvis": (0.0, -0.35, 0.0),
    "spine1": (0.0, 0.12, -0.01),
    "spine2": (0.0, 0.12, 0.0),
    "spine3": (0.0, 0.09, 0.0),
    "neck": (0.0, 0.18, -0.01),
    "head": (0.0, 0.09, 0.02),
    "jaw": (0.0, 0.0, 0.02),
}
_LEFT: dict[str, tuple[float, float, float]] = {
    "hip": (0.085, -0.075, 0.0),
    "knee": (0.0, -0.415, 0.0),
    "ankle": (0.0, -0.415, 0.0),
    "foot": (0.02, -0.05, 0.13),
    "collar": (0.06, 0.10, 0.0),
    "shoulder": (0.12, 0.02, 0.0),
    "elbow": (0.30, 0.0, 0.0),
    "wrist": (0.25, 0.0, 0.0),
    "eye": (0.03, 0.06, 0.08),
    "index1": (0.095, 0.0, 0.025),
    "index2": (0.035, 0.0, 0.0),
    "index3": (0.025, 0.0, 0.0),
    "middle1": (0.10, 0.0, 0.005),
    "middle2": (0.035, 0.0, 0.0),
    "middle3": (0.03, 0.0, 0.0),
    "pinky1": (0.08, 0.0, -0.035),
    "pinky2": (0.025, 0.0, 0.0),
    "pinky3": (0.02, 0.0, 0.0),
    "ring1": (0.09, 0.0, -0.015),
    "ring2": (0.035, 0.0, 0.0),
    "ring3": (0.025, 0.0, 0.0),
    "thumb1": (0.03, -0.01, 0.025),
    "thumb2": (0.03, 0.0, 0.025),
    "thumb3": (0.03, 0.0, 0.015),
}


def _offset(name: str) -> tuple[float, float, float]:
    side, _, part = name.partition("_")
    if not part:
        return _MIDDLE[name]
    x, y, z = _LEFT[part]
    return (x, y, z) if side == "left" else (-x, y, z)


@cache
def canonical_skeleton() -> Skeleton:
    """Return the one skeleton on which all SMPL-X motion is posed, whoever moved (stature 1.70 m)."""
    offsets = np.array([_offset(name) for name in JOINT_NAMES])
    offsets.setflags(write=False)  # shared by every clip
    return Skeleton(JOINT_NAMES, PARENTS, offsets)
