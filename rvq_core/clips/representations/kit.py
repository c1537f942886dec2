"""``kit``: 251 features of the 21 joints of KIT's Master Motor Map (MMM), millimetres, 12.5 frames a second.

The same features as HumanML3D's, on another skeleton. Whoever moved, KIT's body is the MMM's, smaller than a person.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from rvq_core.clips import smplx
from rvq_core.clips.representations.kind import Representation
from rvq_core.clips.representations.root_local import Layout, features_from, joints_from
from rvq_core.clips.skeleton import Skeleton

if TYPE_CHECKING:
    from torch import Tensor

KIT_JOINTS: tuple[str, ...] = (
    "root", "BP", "BT", "BLN", "BUN", "LS", "LE", "LW", "RS", "RE", "RW",
    "LH", "LK", "LA", "LMrot", "LF", "RH", "RK", "RA", "RMrot", "RF",
)  # fmt: skip

KIT_PARENTS: tuple[int, ...] = (-1, 0, 1, 2, 3, 3, 5, 6, 3, 8, 9, 0, 11, 12, 13, 14, 0, 16, 17, 18, 19)

# The size of the MMM's body against a person's, as TEMOS (Petrovich et al., ECCV 2022) has it: 480 mm to 0.75 m.
MMM_SCALE = 0.48 / 0.75

_X, _Y, _Z = (1, 0, 0), (0, 1, 0), (0, 0, 1)
_UP, _DOWN, _AHEAD = _Y, (0, -1, 0), _Z
_FIRST, _SECOND = _X, (-1, 0, 0)

# The features take the joints that KIT names left for the right side (hips 11, 16 and shoulders 5, 8 are right, left):
# the published conversion mirrored the axes.
LAYOUT = Layout(
    rest=(
        (0, 0, 0), _UP, _UP, _UP, _UP, _FIRST, _DOWN, _DOWN, _SECOND, _DOWN, _DOWN,
        _FIRST, _DOWN, _DOWN, _AHEAD, _AHEAD, _SECOND, _DOWN, _DOWN, _AHEAD, _AHEAD,
    ),
    chains=((0, 11, 12, 13, 14, 15), (0, 16, 17, 18, 19, 20), (0, 1, 2, 3, 4), (3, 5, 6, 7), (3, 8, 9, 10)),
    hips=(11, 16),
    shoulders=(5, 8),
    feet=(19, 20, 14, 15),
    contact=0.05,
)  # fmt: skip

# For each KIT joint the SMPL joints in whose middle it lies.
_SIDE = {"S": "shoulder", "E": "elbow", "W": "wrist", "H": "hip", "K": "knee", "A": "ankle", "F": "foot"}
_FROM_SMPL: dict[str, tuple[str, ...]] = {
    "root": ("pelvis",), "BP": ("spine1",), "BT": ("spine3",), "BLN": ("neck",), "BUN": ("head",),
} | {
    side + part: tuple(f"{ours}_{joint}" for joint in joints)
    for side, ours in (("L", "right"), ("R", "left"))
    for part, joints in ({part: (joint,) for part, joint in _SIDE.items()} | {"Mrot": ("ankle", "foot")}).items()
}  # fmt: skip


def kit_joints(joints: NDArray[np.floating]) -> NDArray[np.float64]:
    """KIT's joints [T, 21, 3], in metres of the MMM's body, from SMPL's body joints [T, 22, 3] in metres.

    ``LMrot`` and ``RMrot`` are put halfway from ankle to foot, the spine's joints where SMPL's are nearest; what KIT
    names left is the right side (see ``LAYOUT``).
    """
    numbers = [[smplx.JOINT_NAMES.index(name) for name in _FROM_SMPL[joint]] for joint in KIT_JOINTS]
    return MMM_SCALE * np.stack([joints[:, several].mean(axis=1) for several in numbers], axis=1)


def kit_features(joints: NDArray[np.floating]) -> NDArray[np.float32]:
    """Features [T - 1, 251], in millimetres, of KIT's joints [T, 21, 3] in metres, y up, at 12.5 frames a second."""
    return features_from(1000.0 * joints, LAYOUT).astype(np.float32)


def _joints(features: Tensor, skeleton: Skeleton | None, first: int | None) -> Tensor:  # noqa: ARG001 - positions stand in the features
    joints = joints_from(features, LAYOUT.joints)[..., :first, :]
    # KIT-ML's published features are millimetres, but some projects rescale: no pelvis is 10 m above the floor.
    return joints * 1e-3 if features[..., 3].median() > 10 else joints


KIT = Representation(
    "kit",
    dim=251,
    fps=12.5,
    joint_names=KIT_JOINTS,
    parents=KIT_PARENTS,
    body=tuple(range(len(KIT_JOINTS))),
    per_frame=(slice(0, 3), slice(184, 247)),
    joints_from=_joints,
)
