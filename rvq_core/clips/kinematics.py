"""From joint positions back to rotations. Positions tell no twist about a single bone: it is left at none."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from rvq_core.clips.skeleton import Skeleton

Array = NDArray[np.float64]

_NO_LENGTH = 1e-8
_OPPOSITE = 1e-9


def turns_from(start: Array, ends: Array) -> Array:
    """Rotations [..., 3, 3] by the smallest angle that take the direction ``start`` to ``ends``, both [..., 3].

    A vector without length turns nothing; opposite directions are half a turn about some axis across.
    """
    start, ends = np.broadcast_arrays(np.asarray(start, dtype=np.float64), ends)
    lengths = np.linalg.norm(start, axis=-1) * np.linalg.norm(ends, axis=-1)
    somewhere = lengths > _NO_LENGTH**2
    scale = np.where(somewhere, lengths, 1.0)
    cos = np.where(somewhere, (start * ends).sum(-1) / scale, 1.0)
    axis = np.where(somewhere[..., None], np.cross(start, ends) / scale[..., None], 0.0)
    cross = _cross_matrix(axis)
    opposite = cos < _OPPOSITE - 1
    divisor = np.where(opposite, 1.0, 1 + cos)
    # Rodrigues' formula without the angle itself.
    turns = np.eye(3) + cross + cross @ cross / divisor[..., None, None]
    if opposite.any():
        turns[opposite] = _half_turns(start[opposite])
    return turns


def rotations_from_joints(joints: NDArray[np.floating], skeleton: Skeleton) -> Array:
    """Local rotations [T, J, 3, 3] that pose ``skeleton`` like ``joints`` [T, J, 3].

    Forward kinematics gives the positions back where the bones have the skeleton's lengths and the bones of one joint
    keep their angles. A joint with several bones turns by their best fit (Kabsch), one with a single bone by the
    smallest angle from where its parent leaves it, one without bones not at all.
    """
    children: list[list[int]] = [[] for _ in skeleton.parents]
    for joint, parent in enumerate(skeleton.parents[1:], start=1):
        if np.linalg.norm(skeleton.offsets[joint]) > _NO_LENGTH:
            children[parent].append(joint)
    local = np.tile(np.eye(3), (len(joints), skeleton.joints, 1, 1))
    worlds = [np.tile(np.eye(3), (len(joints), 1, 1))] * skeleton.joints
    for joint, parent in enumerate(skeleton.parents):
        before = worlds[max(parent, 0)]
        bones = [before.swapaxes(-1, -2) @ (joints[:, c] - joints[:, joint])[..., None] for c in children[joint]]
        if bones:
            local[:, joint] = _fit(skeleton.offsets[children[joint]], np.stack(bones, axis=1)[..., 0])
        worlds[joint] = before @ local[:, joint]
    return local


def _fit(rest: Array, bones: Array) -> Array:
    """The rotations [T, 3, 3] that take ``rest`` [N, 3] nearest to ``bones`` [T, N, 3]."""
    if len(rest) == 1:
        return turns_from(rest[0], bones[:, 0])
    u, _, vh = np.linalg.svd(np.einsum("tni,nj->tij", bones, rest))
    sign = np.ones((len(bones), 3))
    sign[:, 2] = np.sign(np.linalg.det(u @ vh))
    return (u * sign[:, None]) @ vh


def _cross_matrix(vectors: Array) -> Array:
    """Matrices [..., 3, 3] whose product with a vector is the cross product of ``vectors`` [..., 3] with it."""
    x, y, z = np.moveaxis(vectors, -1, 0)
    zero = np.zeros_like(x)
    rows = ((zero, -z, y), (z, zero, -x), (-y, x, zero))
    return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)


def _half_turns(vectors: Array) -> Array:
    """Half turns [N, 3, 3] about an axis across each of ``vectors`` [N, 3]."""
    least = np.eye(3)[np.abs(vectors).argmin(axis=-1)]
    axes = np.cross(vectors, least)
    axes /= np.linalg.norm(axes, axis=-1, keepdims=True)
    return 2 * axes[:, :, None] * axes[:, None] - np.eye(3)
