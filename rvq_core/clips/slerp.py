"""Interpolation in time: slerp for rotations, linear for everything else."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

Array = NDArray[np.float64]


class Between(NamedTuple):
    """Where new times lie: ``weight`` [N] of the way from frame ``before`` [N] to frame ``after`` [N]."""

    before: NDArray[np.intp]
    after: NDArray[np.intp]
    weight: Array


def locate(source_times: Array, times: Array) -> Between:
    """Find ``times`` [N] among rising ``source_times`` [T]; times outside take the first or the last frame."""
    last = len(source_times) - 1
    before = np.clip(np.searchsorted(source_times, times, side="right") - 1, 0, last)
    after = np.minimum(before + 1, last)
    span = np.where(after > before, source_times[after] - source_times[before], 1.0)
    weight = np.clip((times - source_times[before]) / span, 0.0, 1.0)
    # A new time that falls on a frame up to rounding is that frame, bit for bit.
    weight = np.where(weight < 1e-6, 0.0, np.where(weight > 1 - 1e-6, 1.0, weight))
    return Between(before, after, weight)


def lerp(values: Array, where: Between) -> Array:
    """Interpolate ``values`` [T, D] linearly, giving [N, D]."""
    weight = where.weight[:, None]
    return values[where.before] * (1 - weight) + values[where.after] * weight


def slerp(rotations: Array, where: Between) -> Array:
    """Interpolate ``rotations`` [T, J, 3, 3] at constant speed along the shorter arc, giving [N, J, 3, 3]."""
    start, end = rotations[where.before], rotations[where.after]
    return turn_towards(start, end, np.broadcast_to(where.weight[:, None], start.shape[:2]))


def turn_towards(start: Array, end: Array, weight: Array) -> Array:
    """Turn rotations ``start`` [..., 3, 3] by the part ``weight`` [...] of the way to ``end`` [..., 3, 3]."""
    result = np.where((weight == 1.0)[..., None, None], end, start)
    moving = (weight != 0.0) & (weight != 1.0)
    if moving.any():
        relative = np.swapaxes(start[moving], -1, -2) @ end[moving]
        steps = Rotation.from_matrix(relative).as_rotvec() * weight[moving][:, None]
        result[moving] = start[moving] @ Rotation.from_rotvec(steps).as_matrix()
    return result
