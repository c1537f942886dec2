"""A skeleton as motion files describe it, its motion, and where that brings the joints."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Hierarchy:
    """Joints in an order where each stands after its parent; joint 0 is the root, its parent -1.

    ``offsets`` [J, 3] lead from the parent in the rest pose, in the file's units. ``tips`` are the offsets [3] of the
    ends of bones that no joint follows.
    """

    names: tuple[str, ...]
    parents: tuple[int, ...]
    offsets: Array
    tips: Mapping[int, Array] = field(default_factory=dict[int, Array])

    @cached_property
    def numbers(self) -> dict[str, int]:
        """The number of each joint by its name; of several with one name, the first."""
        return {name: joint for joint, name in reversed(list(enumerate(self.names)))}

    def ancestors(self, joint: int) -> list[int]:
        """List a joint's parent, its parent's parent, and so on to the root."""
        found: list[int] = []
        while (joint := self.parents[joint]) >= 0:
            found.append(joint)
        return found


class Posed(NamedTuple):
    """World ``rotations`` [T, J, 3, 3] and ``positions`` [T, J, 3] of joints, in the file's axes and units."""

    rotations: Array
    positions: Array


@dataclass(frozen=True, slots=True)
class SkeletonMotion:
    """A skeleton's motion: local ``rotations`` [T, J, 3, 3].

    ``moved`` holds the place [T, 3] of a joint as seen from its parent, where the file gives it frame by frame. It
    stands for the joint's offset and is not added to it.
    """

    hierarchy: Hierarchy
    rotations: Array
    moved: Mapping[int, Array]
    fps: float
    notes: tuple[str, ...] = ()

    def posed(self, frames: int | None = None) -> Posed:
        """Forward kinematics of the first ``frames`` frames, or of all."""
        local = np.ascontiguousarray(np.moveaxis(self.rotations[:frames], 1, 0))  # joint by joint: [J, T, 3, 3]
        turns, places = np.empty_like(local), np.empty(local.shape[:3])
        for joint, parent in enumerate(self.hierarchy.parents):
            step = self.moved[joint][:frames] if joint in self.moved else self.hierarchy.offsets[joint]
            if parent < 0:
                turns[joint], places[joint] = local[joint], step
            else:
                np.matmul(turns[parent], local[joint], out=turns[joint])
                places[joint] = places[parent] + np.einsum(
                    "tij,tj->ti", turns[parent], np.broadcast_to(step, places[0].shape)
                )
        return Posed(np.moveaxis(turns, 0, 1), np.moveaxis(places, 0, 1))

    def rest_positions(self) -> Array:
        """Joint positions [J, 3] with no joint turned; a joint that the file moves stands as in the first frame."""
        places = np.zeros_like(self.hierarchy.offsets)
        for joint, parent in enumerate(self.hierarchy.parents):
            if parent >= 0:
                step = self.moved[joint][0] if joint in self.moved else self.hierarchy.offsets[joint]
                places[joint] = places[parent] + step
        return places


def compose_turns(angles: Array, axes: str) -> Array:
    """Rotation matrices [..., 3, 3] from degrees [..., n] about n ``axes``: the first in the list is the outermost.

    BVH lists its channels so. With no axis the result is the identity.

    >>> compose_turns(np.array([90.0, 0.0]), "ZX").round() @ [1, 0, 0]
    array([0., 1., 0.])
    """
    columns = np.zeros((3, 3, *angles.shape[:-1]))  # [column, row, ...]: each a whole array, so that numpy is fast
    columns[[0, 1, 2], [0, 1, 2]] = 1.0
    for number, axis in enumerate(axes):
        angle = np.radians(angles[..., number])
        cos, sin = np.cos(angle), np.sin(angle)
        one, other = ("XYZ".index(axis) + 1) % 3, ("XYZ".index(axis) + 2) % 3
        columns[one], columns[other] = (
            cos * columns[one] + sin * columns[other],
            cos * columns[other] - sin * columns[one],
        )
    return np.ascontiguousarray(np.moveaxis(columns, (1, 0), (-2, -1)))
