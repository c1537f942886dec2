"""Distances between a motion and its reconstruction: of every joint in every frame, and means of them.

Joints are [..., T, J, 3] in metres, y up, the root first; any leading dimensions are kept, so that the reconstructions
with 0..Q quantizers are measured at once. ``*_errors`` give a value a frame and joint; ``by_frame``, ``by_joint`` and
``mean`` average those, and ``mpjpe``, ``velocity_error``, ``acceleration_error`` and ``rotation_error`` are the means.
What no frame has (a velocity in a clip of one frame) is NaN.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]
Means = NDArray[np.float64]
Flags = NDArray[np.bool_]

MILLIMETRES = 1000.0

CONTACT_HEIGHT = 0.04
"""A foot joint is low within so many metres of the lowest it comes in the clip: the height of a toe on the ground in
HuMoR (Rempe et al., ICCV 2021), measured from each joint's own lowest, as an ankle never comes to the floor."""

CONTACT_SPEED = 0.15
"""A foot joint is slow below this, in m/s: HuMoR's 5 mm a frame at 30 fps."""


def by_frame(errors: Floats) -> Means:
    """Mean over joints: [..., T, J] -> [..., T]."""
    return errors.mean(axis=-1, dtype=np.float64)


def by_joint(errors: Floats) -> Means:
    """Mean over frames: [..., T, J] -> [..., J]."""
    if errors.shape[-2] == 0:
        return np.full((*errors.shape[:-2], errors.shape[-1]), np.nan)
    return errors.mean(axis=-2, dtype=np.float64)


def mean(errors: Floats) -> Means:
    """Mean over frames and joints: [..., T, J] -> [...]."""
    return by_joint(errors).mean(axis=-1)


def feature_mse(predicted: Floats, truth: Floats) -> Means:
    """Mean squared error of normalised features: [..., T, D] against [T, D] -> [...]."""
    return mean(feature_errors(predicted, truth))


def feature_errors(predicted: Floats, truth: Floats) -> Means:
    """Squared error of each normalised feature: [..., T, D] against [T, D] -> [..., T, D]."""
    return np.square(predicted.astype(np.float64, order="C") - truth)


def mpjpe(predicted: Floats, truth: Floats) -> Means:
    """Mean per-joint position error in mm, each frame aligned at the root: [..., T, J, 3] -> [...].

    The root itself counts as a joint (of error 0), as in MoMask's evaluation.
    """
    return mean(position_errors(predicted, truth))


def position_errors(predicted: Floats, truth: Floats) -> Means:
    """Distance of each joint in mm, each frame aligned at the root: [..., T, J, 3] -> [..., T, J]."""
    return _lengths(_at_root(predicted) - _at_root(truth))


def velocity_error(predicted: Floats, truth: Floats, fps: float) -> Means:
    """Mean length of the difference of joint velocities in mm/s: [..., T, J, 3] -> [...]; NaN for a single frame."""
    return mean(velocity_errors(predicted, truth, fps))


def velocity_errors(predicted: Floats, truth: Floats, fps: float) -> Means:
    """Length of the difference of joint velocities in mm/s: [..., T, J, 3] -> [..., T - 1, J].

    A velocity is the step from one frame to the next: the first stands for the clip's frame 1.
    """
    return _lengths(np.diff(_difference(predicted, truth), axis=-3)) * fps


def acceleration_error(predicted: Floats, truth: Floats, fps: float) -> Means:
    """Mean length of the difference of accelerations in mm/s^2: [..., T, J, 3] -> [...]; NaN under three frames."""
    return mean(acceleration_errors(predicted, truth, fps))


def acceleration_errors(predicted: Floats, truth: Floats, fps: float) -> Means:
    """Length of the difference of joint accelerations in mm/s^2: [..., T, J, 3] -> [..., T - 2, J].

    An acceleration is the change from a frame's arriving step to its leaving one: the first stands for frame 1.
    """
    return _lengths(np.diff(_difference(predicted, truth), n=2, axis=-3)) * fps**2


def rotation_error(predicted: Floats, truth: Floats) -> Means:
    """Mean geodesic angle between rotations in degrees: [..., T, J, 3, 3] -> [...]."""
    return mean(rotation_errors(predicted, truth))


def rotation_errors(predicted: Floats, truth: Floats) -> Means:
    """Geodesic angle between rotations in degrees: [..., T, J, 3, 3] -> [..., T, J].

    The angle t of a rotation R has |R - I|_F = 2 sqrt(2) sin(t / 2), which stays exact near 0 where arccos does not.
    """
    gap = np.linalg.norm(_difference(predicted, truth), axis=(-2, -1)) / (2 * np.sqrt(2))
    return np.degrees(2 * np.arcsin(np.clip(gap, 0, 1)))


def ground_contacts(feet: Floats, fps: float) -> Flags:
    """Whether a foot stands on the ground from one frame to the next: joints [..., T, F, 3] -> [..., T - 1, F].

    It does where it is low at both ends of the step (``CONTACT_HEIGHT``) and slow between (``CONTACT_SPEED``).
    """
    exact = feet.astype(np.float64, order="C")
    height = exact[..., 1]
    low = height <= height.min(axis=-2, keepdims=True) + CONTACT_HEIGHT
    slow = np.linalg.norm(np.diff(exact, axis=-3), axis=-1) * fps < CONTACT_SPEED
    return low[..., :-1, :] & low[..., 1:, :] & slow


def foot_skating(feet: Floats, contacts: Flags, fps: float) -> Means:
    """Mean horizontal speed of foot joints during contacts in mm/s: [..., T, F, 3] -> [...]; NaN without a contact.

    ``contacts`` [T - 1, F] are those of the original (``ground_contacts``): what stands still there should stand
    still in a reconstruction.
    """
    return _mean_where(_sliding(feet, fps), contacts, axis=(-2, -1))


def foot_skating_by_frame(feet: Floats, contacts: Flags, fps: float) -> Means:
    """``foot_skating`` of each step: [..., T, F, 3] -> [..., T - 1], NaN where no foot stands; from frame 1 on."""
    return _mean_where(_sliding(feet, fps), contacts, axis=-1)


def _sliding(feet: Floats, fps: float) -> Means:
    """Horizontal speed in mm/s: [..., T, F, 3] -> [..., T - 1, F]."""
    return _lengths(np.diff(feet[..., [0, 2]].astype(np.float64, order="C"), axis=-3)) * fps


def _mean_where(values: Means, kept: Flags, axis: int | tuple[int, ...]) -> Means:
    count = kept.sum(axis=axis)
    total = np.where(kept, values, 0.0).sum(axis=axis)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _lengths(vectors: Means) -> Means:
    """Lengths of vectors [..., 3] in metres, in mm: [...]."""
    return np.linalg.norm(vectors, axis=-1) * MILLIMETRES


def _difference(predicted: Floats, truth: Floats) -> Means:
    return predicted.astype(np.float64, order="C") - truth.astype(np.float64)


def _at_root(joints: Floats) -> Means:
    exact = joints.astype(np.float64, order="C")
    return exact - exact[..., :1, :]
