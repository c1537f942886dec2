"""Features that are 6D joint rotations (two ROWS each): of all SMPL-X joints, of a part of them, of any skeleton.

Positions are forward kinematics with the root joint at the origin: the features hold no translation.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from rvq_core.clips import smplx
from rvq_core.clips.representations.kind import Representation
from rvq_core.clips.skeleton import Skeleton

if TYPE_CHECKING:
    from torch import Tensor


def rotation_features(rotations: NDArray[np.floating]) -> NDArray[np.float32]:
    """Features [T, 6 J] of local rotations [T, J, 3, 3]: two rows of each matrix."""
    return rotations[..., :2, :].reshape(len(rotations), -1).astype(np.float32)


def _rotations(features: Tensor) -> Tensor:
    from rvq_core.clips.rotations import rot6d_to_matrix

    return rot6d_to_matrix(features.reshape(*features.shape[:-1], -1, 6), order="rows")


def _smplx_joints(features: Tensor, skeleton: Skeleton | None, first: int | None) -> Tensor:
    return _own_joints(features, skeleton or smplx.canonical_skeleton(), first)


def _own_joints(features: Tensor, skeleton: Skeleton, first: int | None) -> Tensor:
    wanted = features if first is None else features[..., : 6 * first]
    return skeleton.forward_kinematics(_rotations(wanted), first=first)


def _part_joints(part: tuple[int, ...], features: Tensor, skeleton: Skeleton | None, first: int | None) -> Tensor:
    """Joints of a part, posed with all other joints at rest: those before it in the tree count too."""
    import torch

    turns = _rotations(features)
    count = max(part) + 1
    rest = torch.eye(3, dtype=turns.dtype, device=turns.device)
    whole = rest.expand(*turns.shape[:-3], count, 3, 3).clone()
    whole[..., list(part), :, :] = turns
    joints = (skeleton or smplx.canonical_skeleton()).forward_kinematics(whole, first=count)
    return joints[..., list(part[:first]), :]


def _skeleton_joints(features: Tensor, skeleton: Skeleton | None, first: int | None) -> Tensor | None:
    return None if skeleton is None else _own_joints(features, skeleton, first)


def _part(name: str, joints: tuple[int, ...]) -> Representation:
    """Some joints of ``smplx_rot6d``. A joint whose parent is not among them is a root of its own (-1)."""
    numbers = {joint: number for number, joint in enumerate(joints)}
    return Representation(
        f"smplx_rot6d_{name}",
        dim=6 * len(joints),
        fps=30.0,
        joint_names=tuple(smplx.JOINT_NAMES[joint] for joint in joints),
        parents=tuple(numbers.get(smplx.PARENTS[joint], -1) for joint in joints),
        body=tuple(range(len(joints))),
        joints_from=partial(_part_joints, joints),
        rotations_from=_rotations,
    )


SMPLX_ROT6D = Representation(
    "smplx_rot6d",
    dim=6 * smplx.JOINTS,
    fps=30.0,
    joint_names=smplx.JOINT_NAMES,
    parents=smplx.PARENTS,
    body=tuple(range(smplx.BODY_JOINTS)),
    hands=smplx.HANDS,
    joints_from=_smplx_joints,
    rotations_from=_rotations,
)
SMPLX_ROT6D_UPPER = _part("upper", smplx.UPPER)
SMPLX_ROT6D_HANDS = _part("hands", smplx.HANDS)
SMPLX_ROT6D_LOWER = _part("lower", smplx.LOWER)

PART_JOINTS: dict[str, tuple[int, ...]] = {
    SMPLX_ROT6D_UPPER.name: smplx.UPPER,
    SMPLX_ROT6D_HANDS.name: smplx.HANDS,
    SMPLX_ROT6D_LOWER.name: smplx.LOWER,
}
"""For each part the SMPL-X joints that its columns turn, in their order."""

# The joints, and so the number of columns, are those of the skeleton that comes with the clip.
JOINT_ROT6D = Representation(
    "joint_rot6d", joints_from=_skeleton_joints, rotations_from=_rotations, own_skeleton=True, multiple_of=6
)
