"""Distances between a motion and its reconstruction.

Joints are [..., T, J, 3] in metres, the root first; any leading dimensions are kept, so that the reconstructions with
0..Q quantizers are measured at once. Means are taken over frames and joints.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]

MILLIMETRES = 1000.0


def feature_mse(predicted: Floats, truth: Floats) -> NDArray[np.float64]:
    """Mean squared error of normalised features: [..., T, D] against [T, D] -> [...]."""
    return np.square(predicted.astype(np.float64) - truth).mean(axis=(-2, -1))


def mpjpe(predicted: Floats, truth: Floats) -> NDArray[np.float64]:
    """Mean per-joint position error in mm, each frame aligned at the root: [..., T, J, 3] -> [...].

    The root itself counts as a joint (of error 0), as in MoMask's evaluation.
    """
    difference = _at_root(predicted) - _at_root(truth)
    return np.linalg.norm(difference, axis=-1).mean(axis=(-2, -1)) * MILLIMETRES


def velocity_error(predicted: Floats, truth: Floats, fps: float) -> NDArray[np.float64]:
    """Mean length of the difference of joint velocities in mm/s: [..., T, J, 3] -> [...]; NaN for a single frame."""
    if truth.shape[-3] < 2:
        return np.full(predicted.shape[:-3], np.nan)
    difference = np.diff(predicted.astype(np.float64), axis=-3) - np.diff(truth.astype(np.float64), axis=-3)
    return np.linalg.norm(difference, axis=-1).mean(axis=(-2, -1)) * fps * MILLIMETRES


def rotation_error(predicted: Floats, truth: Floats) -> NDArray[np.float64]:
    """Mean geodesic angle between rotations in degrees: [..., T, J, 3, 3] -> [...].

    The angle t of a rotation R has |R - I|_F = 2 sqrt(2) sin(t / 2), which stays exact near 0 where arccos does not.
    """
    gap = np.linalg.norm(predicted.astype(np.float64) - truth, axis=(-2, -1)) / (2 * np.sqrt(2))
    return np.degrees(2 * np.arcsin(np.clip(gap, 0, 1))).mean(axis=(-2, -1))


def _at_root(joints: Floats) -> NDArray[np.float64]:
    exact = joints.astype(np.float64)
    return exact - exact[..., :1, :]
