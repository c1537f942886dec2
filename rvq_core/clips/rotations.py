"""6D rotations in torch: two rows or two columns of a rotation matrix, one after the other.

Zhou et al., "On the Continuity of Rotation Representations in Neural Networks" (CVPR 2019) write two columns, and so
do HumanML3D's and KIT's features; BEAT2, EMAGE and SynTalker store two rows, and so do ``smplx_rot6d`` and
``joint_rot6d``. Read in the wrong order a rotation comes out as its inverse. Conversions that need no gradient
(axis-angle, quaternions, slerp) are scipy.spatial.transform's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

Order = Literal["rows", "columns"]
"""Which two of a matrix the six numbers are."""

# Shorter than this, a row is no direction; likewise what Gram-Schmidt leaves of the second row, relative to that row.
_SHORTEST = 1e-8
_PARALLEL = 1e-6


def rot6d_to_matrix(x: Tensor, order: Order = "rows") -> Tensor:
    """Rotation matrices [..., 3, 3] from two rows [..., 6] that need be neither unit nor orthogonal (Gram-Schmidt).

    ``order`` says whether they are rows or columns. Differentiable. Zero rows give the identity and parallel rows some
    rotation that keeps the first; never NaN.
    """
    # Each number of all rotations in one piece, and of each joint's: several times faster to work on.
    ahead = min(2, x.ndim)
    numbers = x.movedim((-1, -2)[:ahead], (0, 1)[:ahead]).contiguous()  # [6, J, ...]
    first_row, second_row = numbers[:3], numbers[3:]
    first = _unit(first_row, lambda: _x_axis_like(first_row))
    floor = (_PARALLEL**2 * (second_row * second_row).sum(0)).clamp_min(_SHORTEST**2)
    second = _unit(_reject(second_row, first), lambda: _least_aligned_across(first), floor)
    rows = torch.stack((first, second, _cross(first, second)))  # [3, 3, J, ...]
    return rows.movedim((0, 1, 2)[: ahead + 1], ((-2, -1, -3) if order == "rows" else (-1, -2, -3))[: ahead + 1])


def matrix_to_rot6d(matrix: Tensor, order: Order = "rows") -> Tensor:
    """Take the first two rows, or columns, [..., 6] of rotation matrices [..., 3, 3]."""
    return (matrix if order == "rows" else matrix.mT)[..., :2, :].flatten(-2)


def _unit(vector: Tensor, otherwise: Callable[[], Tensor], floor: Tensor | None = None) -> Tensor:
    """Scale ``vector`` [3, ...] to length one; where its squared length is under ``floor``, take ``otherwise``."""
    floor = vector.new_full((), _SHORTEST**2) if floor is None else floor
    # The square is raised to the floor before the root: the root's gradient at zero is infinite, and 0 * inf is NaN.
    square = (vector * vector).sum(0)
    unit = vector * torch.maximum(square, floor).rsqrt()
    short = square <= floor
    # Asked first, because real features never are that short, and the detour costs as much as all the rest.
    return torch.where(short, otherwise(), unit) if short.any() else unit


def _reject(vector: Tensor, unit: Tensor) -> Tensor:
    """Keep the part of ``vector`` [3, ...] that is orthogonal to ``unit`` [3, ...]."""
    return vector - (vector * unit).sum(0) * unit


def _cross(a: Tensor, b: Tensor) -> Tensor:
    """Vectors [3, ...] across both."""
    return torch.stack((a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]))


def _x_axis_like(vector: Tensor) -> Tensor:
    return _axis_like(vector, 0)


def _least_aligned_across(unit: Tensor) -> Tensor:
    """Choose a direction across ``unit`` [3, ...]: y as far as it lies across, z where ``unit`` points along y."""
    axis = torch.where(unit[1].abs() < 0.9, _axis_like(unit, 1), _axis_like(unit, 2))
    across = _reject(axis, unit)
    return across * (across * across).sum(0).rsqrt()


def _axis_like(vector: Tensor, number: int) -> Tensor:
    axis = torch.zeros_like(vector)
    axis[number] = 1.0
    return axis
