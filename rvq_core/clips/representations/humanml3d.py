"""``humanml3d``: 263 features of SMPL's 22 body joints, metres, 20 frames a second.

The features' 6D rotations come from inverse kinematics over the same positions: positions are the truth.
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

_X, _Y, _Z = (1, 0, 0), (0, 1, 0), (0, 0, 1)
_LEFTWARD, _RIGHTWARD, _UP, _DOWN, _AHEAD = _X, (-1, 0, 0), _Y, (0, -1, 0), _Z

LAYOUT = Layout(
    rest=(
        (0, 0, 0), _LEFTWARD, _RIGHTWARD, _UP, _DOWN, _DOWN, _UP, _DOWN, _DOWN, _UP, _AHEAD, _AHEAD,
        _UP, _LEFTWARD, _RIGHTWARD, _AHEAD, _DOWN, _DOWN, _DOWN, _DOWN, _DOWN, _DOWN,
    ),
    chains=((0, 2, 5, 8, 11), (0, 1, 4, 7, 10), (0, 3, 6, 9, 12, 15), (9, 14, 17, 19, 21), (9, 13, 16, 18, 20)),
    hips=(2, 1),
    shoulders=(17, 16),
    feet=(7, 10, 8, 11),
    contact=0.002,
)  # fmt: skip


def humanml3d_features(joints: NDArray[np.floating]) -> NDArray[np.float32]:
    """Features [T - 1, 263] of SMPL's body joints [T, 22, 3] in metres, y up, at 20 frames a second.

    The motion is placed on the floor, at the origin and facing +z; bone lengths stay.
    """
    return features_from(joints, LAYOUT).astype(np.float32)


def _joints(features: Tensor, skeleton: Skeleton | None, first: int | None) -> Tensor:  # noqa: ARG001 - positions stand in the features
    return joints_from(features, LAYOUT.joints)[..., :first, :]


HUMANML3D = Representation(
    "humanml3d",
    dim=263,
    fps=20.0,
    joint_names=smplx.JOINT_NAMES[: smplx.BODY_JOINTS],
    parents=smplx.PARENTS[: smplx.BODY_JOINTS],
    body=tuple(range(smplx.BODY_JOINTS)),
    per_frame=(slice(0, 3), slice(193, 259)),
    joints_from=_joints,
)
