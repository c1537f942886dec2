"""What the columns of a clip's features mean, and how joint positions come back from them.

A representation is a small value; all stand in one ordered tuple, ``REPRESENTATIONS``. Features are [..., T, D] with
any leading dimensions, so that reconstructions with 0..Q quantizers are decoded in one batch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rvq_core.clips import smplx
from rvq_core.clips.skeleton import Skeleton

if TYPE_CHECKING:
    from torch import Tensor

KIT_JOINTS: tuple[str, ...] = (
    "root", "BP", "BT", "BLN", "BUN", "LS", "LE", "LW", "RS", "RE", "RW",
    "LH", "LK", "LA", "LMrot", "LF", "RH", "RK", "RA", "RMrot", "RF",
)  # fmt: skip

KIT_PARENTS: tuple[int, ...] = (-1, 0, 1, 2, 3, 3, 5, 6, 3, 8, 9, 0, 11, 12, 13, 14, 0, 16, 17, 18, 19)

JointsFunction = Callable[["Tensor", "Skeleton | None", "int | None"], "Tensor"]
RotationsFunction = Callable[["Tensor"], "Tensor"]


@dataclass(frozen=True, slots=True)
class Representation:
    """One kind of motion feature.

    ``dim`` is the number of columns D (None: any) and ``fps`` the field's frame rate for it (None: none is usual).
    ``joint_names`` and ``parents`` are those of the joints that ``joints`` gives; ``body`` and ``hands`` number the
    ones that body and hand metrics average over. ``per_frame`` are the columns that are displacements from one frame
    to the next: they scale with the frame's length.
    """

    name: str
    dim: int | None = None
    fps: float | None = None
    joint_names: tuple[str, ...] = ()
    parents: tuple[int, ...] = ()
    body: tuple[int, ...] = ()
    hands: tuple[int, ...] = ()
    per_frame: tuple[slice, ...] = ()
    joints_from: JointsFunction | None = None
    rotations_from: RotationsFunction | None = None

    def fits(self, dim: int) -> bool:
        """Whether features with ``dim`` columns can be of this kind."""
        return self.dim in (None, dim)

    def default_skeleton(self) -> Skeleton | None:
        """Return the skeleton that such features turn; None where they hold no rotations."""
        return None if self.rotations_from is None else smplx.canonical_skeleton()

    def joints(self, features: Tensor, skeleton: Skeleton | None = None, *, first: int | None = None) -> Tensor | None:
        """Joint positions [..., T, J, 3] in metres, y up, from features [..., T, D]; None where there are none.

        ``first`` leaves out the joints from that number on (22 spares the hands of ``smplx_rot6d``).
        """
        return None if self.joints_from is None else self.joints_from(features, skeleton, first)

    def rotations(self, features: Tensor) -> Tensor | None:
        """Local joint rotations [..., T, J, 3, 3], or None where the features are not rotations."""
        return None if self.rotations_from is None else self.rotations_from(features)


def _smplx_rotations(features: Tensor) -> Tensor:
    from rvq_core.clips.rotations import rot6d_to_matrix

    return rot6d_to_matrix(features.reshape(*features.shape[:-1], -1, 6))


def _smplx_joints(features: Tensor, skeleton: Skeleton | None, first: int | None) -> Tensor:
    # The features hold no translation: the pelvis stays at the origin.
    skeleton = skeleton or smplx.canonical_skeleton()
    wanted = features if first is None else features[..., : 6 * first]
    return skeleton.forward_kinematics(_smplx_rotations(wanted), first=first)


def _humanml3d_joints(features: Tensor, skeleton: Skeleton | None, first: int | None) -> Tensor:  # noqa: ARG001 - positions stand in the features
    return _recover_joints(features, smplx.BODY_JOINTS)[..., :first, :]


def _kit_joints(features: Tensor, skeleton: Skeleton | None, first: int | None) -> Tensor:  # noqa: ARG001 - as above
    joints = _recover_joints(features, len(KIT_JOINTS))[..., :first, :]
    # KIT-ML's published features are millimetres, but some projects rescale: no pelvis is 10 m above the floor.
    return joints * 1e-3 if features[..., 3].median() > 10 else joints


def _recover_joints(features: Tensor, count: int) -> Tensor:
    """Joints [..., T, count, 3] of HumanML3D-like features: the root's velocities summed up, then local positions.

    Columns: 0 yaw velocity of the root (half an angle a frame), 1:3 its x and z velocity as the body faces,
    3 its height, then the other joints' positions, turned to face +z and measured from below the root.
    """
    import torch

    yaw = _before_each_frame(features[..., 0])
    step = features[..., :3] * features.new_tensor([0.0, 1.0, 1.0])
    velocity = torch.stack((step[..., 1], step[..., 0], step[..., 2]), dim=-1)
    # A frame's velocity leads from that frame to the next, and is turned by the yaw of the frame it leads to.
    arriving = torch.cat((torch.zeros_like(velocity[..., :1, :]), velocity[..., :-1, :]), dim=-2)
    path = _turn_back(arriving, yaw).cumsum(-2)
    root = torch.stack((path[..., 0], features[..., 3], path[..., 2]), dim=-1)
    local = features[..., 4 : 4 + 3 * (count - 1)].reshape(*features.shape[:-1], count - 1, 3)
    others = _turn_back(local, yaw[..., None]) + (root * root.new_tensor([1.0, 0.0, 1.0]))[..., None, :]
    return torch.cat((root[..., None, :], others), dim=-2)


def _before_each_frame(velocity: Tensor) -> Tensor:
    """Sum a velocity [..., T] over the frames before each frame."""
    return velocity.cumsum(-1) - velocity


def _turn_back(vectors: Tensor, yaw: Tensor) -> Tensor:
    """``vectors`` [..., 3] turned about y by -2 ``yaw`` [...]: the features' yaw is a quaternion's half angle."""
    import torch

    cos, sin = (2 * yaw).cos(), (2 * yaw).sin()
    x, y, z = vectors.unbind(-1)
    return torch.stack((x * cos - z * sin, y, x * sin + z * cos), dim=-1)


SMPLX_ROT6D = Representation(
    "smplx_rot6d",
    dim=6 * smplx.JOINTS,
    fps=30.0,
    joint_names=smplx.JOINT_NAMES,
    parents=smplx.PARENTS,
    body=tuple(range(smplx.BODY_JOINTS)),
    hands=smplx.HANDS,
    joints_from=_smplx_joints,
    rotations_from=_smplx_rotations,
)
# The 6D rotations of the next two come from inverse kinematics over the same positions: positions are the truth.
HUMANML3D = Representation(
    "humanml3d",
    dim=263,
    fps=20.0,
    joint_names=smplx.JOINT_NAMES[: smplx.BODY_JOINTS],
    parents=smplx.PARENTS[: smplx.BODY_JOINTS],
    body=tuple(range(smplx.BODY_JOINTS)),
    per_frame=(slice(0, 3), slice(193, 259)),
    joints_from=_humanml3d_joints,
)
KIT = Representation(
    "kit",
    dim=251,
    fps=12.5,
    joint_names=KIT_JOINTS,
    parents=KIT_PARENTS,
    body=tuple(range(len(KIT_JOINTS))),
    per_frame=(slice(0, 3), slice(184, 247)),
    joints_from=_kit_joints,
)
RAW = Representation("raw")
# What an encoder made of motion, [T', C]: goes into a quantizer as it is.
LATENTS = Representation("latents")

REPRESENTATIONS: tuple[Representation, ...] = (SMPLX_ROT6D, HUMANML3D, KIT, RAW, LATENTS)


def representation_names() -> tuple[str, ...]:
    """List the names of all representations."""
    return tuple(representation.name for representation in REPRESENTATIONS)


def get_representation(name: str) -> Representation:
    """Find the representation of that name.

    Raises ``SettingsError`` where none has it.
    """
    from rvq_core.errors import SettingsError

    for representation in REPRESENTATIONS:
        if representation.name == name:
            return representation
    raise SettingsError(
        "representation",
        expected=f"one of {', '.join(representation_names())}",
        found=repr(name),
        do="choose one of these, or leave it out to have it guessed from the number of columns",
    )


def guess_representation(dim: int) -> Representation:
    """Find the representation with ``dim`` columns, ``raw`` where none has just that many."""
    return next((r for r in REPRESENTATIONS if r.dim == dim), RAW)
