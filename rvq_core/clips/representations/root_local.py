"""Features of HumanML3D's kind, both ways: the root's velocity, and all else as seen from the root.

Guo et al., "Generating Diverse and Natural 3D Human Motions from Text" (CVPR 2022). The columns of J joints, 12 J - 1
in all: yaw velocity of the root (1, half an angle a frame), its x and z velocity as the body faces (2), its height
(1), positions of the other joints (3 (J - 1)), their 6D rotations in two COLUMNS (6 (J - 1)), velocities of all joints
(3 J), contacts of four foot joints (4). Positions and velocities are turned so that the body faces +z; velocities are
a frame's displacement.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from rvq_core.clips.kinematics import turns_from

if TYPE_CHECKING:
    from torch import Tensor

Array = NDArray[np.float64]

SMOOTHING = 20.0
"""Standard deviation, in frames, of the Gaussian that smooths where the body faces."""

_NO_DIRECTION = 1e-8


@dataclass(frozen=True, slots=True)
class Layout:
    """How a skeleton's joints enter such features.

    ``rest`` [J][3] is the direction that the bone to each joint has where its rotation is none; ``chains`` are the
    paths along which rotations follow each other; ``hips`` and ``shoulders`` are right and left; ``feet`` are the four
    joints with contacts, in the columns' order; a foot is in contact while it moves less than the square root of
    ``contact`` a frame.
    """

    rest: tuple[tuple[int, int, int], ...]
    chains: tuple[tuple[int, ...], ...]
    hips: tuple[int, int]
    shoulders: tuple[int, int]
    feet: tuple[int, int, int, int]
    contact: float

    @property
    def joints(self) -> int:
        """Number of joints J."""
        return len(self.rest)


def features_from(joints: NDArray[np.floating], layout: Layout) -> Array:
    """Features [T - 1, 12 J - 1] of joint positions [T, J, 3], y up: a frame's velocity leads to the next.

    The motion is first placed as ``place`` does. The bones keep their lengths: bringing every body to one size, as
    HumanML3D's own preparation does, is up to the caller.
    """
    placed = place(joints, layout)
    yaw = _facing(placed, layout)
    steps = np.diff(placed, axis=0)
    root = placed[:, :1] * [1.0, 0.0, 1.0]
    local = _turn(placed[:, 1:] - root, yaw[:, None])
    columns = (
        _wrapped(np.diff(yaw))[:, None],
        _turn(steps[:, 0], yaw[1:])[:, [0, 2]],
        placed[:-1, 0, 1:2],
        local[:-1],
        _chain_rotations(placed, yaw, layout)[:-1, 1:, :, :2].swapaxes(-1, -2),
        _turn(steps, yaw[:-1, None]),
        np.square(steps[:, layout.feet]).sum(-1) < layout.contact,
    )
    return np.concatenate([part.reshape(len(steps), -1) for part in columns], axis=1)


def place(joints: NDArray[np.floating], layout: Layout) -> Array:
    """Joints [T, J, 3] where such features start: the lowest at y = 0, the root at x = z = 0, facing +z in frame 0."""
    placed = np.array(joints, dtype=np.float64)
    placed[..., 1] -= placed[..., 1].min()
    placed -= placed[0, 0] * [1.0, 0.0, 1.0]
    across = _across(placed[:1], layout.hips) + _across(placed[:1], layout.shoulders)
    return _turn(placed, _half_yaw(_forward(across)))


def _facing(placed: Array, layout: Layout) -> Array:
    """Half the angle [T] that turns the body to +z, 0 in the first frame.

    As in the published features, which models were trained on: the hips count from left to right here, against the
    shoulders, and the direction is smoothed.
    """
    from scipy.ndimage import gaussian_filter1d  # here: who reads clips need not wait for it

    across = _across(placed, layout.shoulders) - _across(placed, layout.hips)
    forward = gaussian_filter1d(_forward(across), SMOOTHING, axis=0, mode="nearest")
    yaw = _half_yaw(forward)
    yaw[0] = 0.0
    return yaw


def _across(joints: Array, pair: tuple[int, int]) -> Array:
    right, left = pair
    return joints[:, right] - joints[:, left]


def _forward(across: Array) -> Array:
    """Where a body faces [T, 3], level, whose right side lies ``across`` [T, 3] of its left: the shorter the steeper.

    +z where both sides are in one place.
    """
    length = np.linalg.norm(across, axis=-1, keepdims=True)
    forward = np.cross([0.0, 1.0, 0.0], across / np.maximum(length, _NO_DIRECTION))
    return np.where(length > _NO_DIRECTION, forward, [0.0, 0.0, 1.0])


def _half_yaw(forward: Array) -> Array:
    return -0.5 * np.arctan2(forward[:, 0], forward[:, 2])


def _wrapped(half: Array) -> Array:
    """Half angles [T] of the shorter way round."""
    return (half + np.pi / 2) % np.pi - np.pi / 2


def _turn(vectors: Array, half_yaw: Array) -> Array:
    """``vectors`` [..., 3] turned about y by twice ``half_yaw`` [...]."""
    cos, sin = np.cos(2 * half_yaw), np.sin(2 * half_yaw)
    x, y, z = np.moveaxis(vectors, -1, 0)
    return np.stack(np.broadcast_arrays(x * cos + z * sin, y, z * cos - x * sin), axis=-1)


def _chain_rotations(placed: Array, yaw: Array, layout: Layout) -> Array:
    """Rotations [T, J, 3, 3] of each bone against the one before it in its chain, without a twist of its own.

    Each chain starts from the turn that takes the body to +z.
    """
    root = _turn(np.eye(3), yaw[:, None]).swapaxes(-1, -2)
    rotations = np.tile(np.eye(3), (len(placed), layout.joints, 1, 1))
    for chain in layout.chains:
        world = root
        for parent, joint in pairwise(chain):
            turned = turns_from(np.array(layout.rest[joint], dtype=np.float64), placed[:, joint] - placed[:, parent])
            rotations[:, joint] = world.swapaxes(-1, -2) @ turned
            world = turned
    return rotations


def joints_from(features: Tensor, count: int) -> Tensor:
    """Joints [..., T, count, 3] of features [..., T, 12 count - 1]: root velocities summed up, then local positions."""
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
