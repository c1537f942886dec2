"""Motion on the skeleton that its file describes, without retargeting: a ``joint_rot6d`` clip."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rvq_core.clips.clip import Clip
from rvq_core.clips.hierarchy import Hierarchy, SkeletonMotion
from rvq_core.clips.representations import JOINT_ROT6D, rotation_features
from rvq_core.clips.skeleton import Skeleton

Array = NDArray[np.float64]

_STANDS = 1e-3
"""A joint that moves no more than this many metres against its parent stands still."""


def own_clip(
    motion: SkeletonMotion, name: str, *, metres: float, axes: Array | None = None, source: Path | None = None
) -> Clip:
    """Return a motion as a clip of its own skeleton, with 6 J features.

    ``metres`` is the length of the file's unit; ``axes`` [3, 3] takes its vectors to y up (none: they are). The
    skeleton's root offset is zero, and the translation is where the root stands. A root whose one child carries the
    path instead is left out. Any other joint that the file moves against its parent is put at its mean place; a note
    tells how far it moves.
    """
    turn = np.eye(3) if axes is None else axes
    while _child_travels(motion, metres):
        motion = _without_root(motion)
    rotations = motion.rotations.copy()
    rotations[:, 0] = turn @ rotations[:, 0]
    places = {joint: metres * np.asarray(place) for joint, place in motion.moved.items()}
    root = places.pop(0, np.tile(metres * motion.hierarchy.offsets[0], (len(rotations), 1)))
    offsets = metres * motion.hierarchy.offsets
    offsets[0] = 0.0
    for joint, place in places.items():
        offsets[joint] = place.mean(axis=0)
    return Clip(
        name,
        motion.fps,
        rotation_features(rotations),
        JOINT_ROT6D.name,
        Skeleton(motion.hierarchy.names, motion.hierarchy.parents, offsets),
        (root @ turn.T).astype(np.float32),
        source,
        (*motion.notes, *_moving_note(motion, places, offsets)),
    )


def _child_travels(motion: SkeletonMotion, metres: float) -> bool:
    """Whether the root has a single child, and that moves against it."""
    if motion.hierarchy.parents.count(0) != 1 or 1 not in motion.moved:
        return False
    return float(metres * np.ptp(motion.moved[1], axis=0).max()) > _STANDS


def _without_root(motion: SkeletonMotion) -> SkeletonMotion:
    """The same motion from the root's one child on."""
    hierarchy, turns = motion.hierarchy, motion.rotations
    rotations = turns[:, 1:].copy()
    rotations[:, 0] = turns[:, 0] @ turns[:, 1]
    root = motion.moved.get(0, hierarchy.offsets[0]) + np.einsum("tij,tj->ti", turns[:, 0], motion.moved[1])
    moved = {joint - 1: place for joint, place in motion.moved.items() if joint > 1} | {0: root}
    shorter = Hierarchy(
        hierarchy.names[1:], tuple(parent - 1 for parent in hierarchy.parents[1:]), hierarchy.offsets[1:]
    )
    note = f"{hierarchy.names[0]} was left out: {hierarchy.names[1]} carries the path"
    return SkeletonMotion(shorter, rotations, moved, motion.fps, (*motion.notes, note))


def _moving_note(motion: SkeletonMotion, places: dict[int, Array], offsets: Array) -> tuple[str, ...]:
    far = {joint: float(np.linalg.norm(place - offsets[joint], axis=1).max()) for joint, place in places.items()}
    moving = [joint for joint, distance in far.items() if distance > _STANDS]
    if not moving:
        return ()
    names = ", ".join(motion.hierarchy.names[joint] for joint in moving)
    most = 1000 * max(far[joint] for joint in moving)
    return (f"put at their mean place, from which they move by up to {most:.0f} mm: {names}",)
