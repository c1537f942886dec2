"""A skeleton: joint names, parents and rest offsets; forward kinematics in torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor


def mirror_permutation(names: tuple[str, ...]) -> tuple[int, ...]:
    """For each joint the number of its counterpart on the other side; joints of the middle stay.

    >>> mirror_permutation(("pelvis", "left_hip", "right_hip"))
    (0, 2, 1)
    """
    numbers = {name: number for number, name in enumerate(names)}
    return tuple(numbers.get(_other_side(name), number) for number, name in enumerate(names))


def _other_side(name: str) -> str:
    if "left" in name:
        return name.replace("left", "right")
    return name.replace("right", "left")


@dataclass(frozen=True, slots=True, eq=False)
class Skeleton:
    """Joints in an order where each stands after its parent.

    ``parents`` holds -1 for the root, which is joint 0. ``offsets`` [J, 3] are metres from the parent in the rest
    pose, y up; the root's own offset is where it stands when the translation is zero.
    """

    names: tuple[str, ...]
    parents: tuple[int, ...]
    offsets: NDArray[np.float64]

    def __post_init__(self) -> None:
        if not len(self.names) == len(self.parents) == len(self.offsets):
            raise ValueError(
                f"Skeleton: expected one parent and one offset a joint, found {len(self.names)} names, "
                f"{len(self.parents)} parents and {len(self.offsets)} offsets"
            )
        if self.parents[0] != -1 or any(not 0 <= parent < j for j, parent in enumerate(self.parents[1:], start=1)):
            raise ValueError("Skeleton: expected joint 0 to be the root and every joint to stand after its parent")

    @property
    def joints(self) -> int:
        """Number of joints J."""
        return len(self.names)

    @property
    def rest_positions(self) -> NDArray[np.float64]:
        """Joint positions [J, 3] in the rest pose, metres."""
        positions = np.array(self.offsets, dtype=np.float64)
        for joint, parent in enumerate(self.parents[1:], start=1):
            positions[joint] += positions[parent]
        return positions

    @property
    def mirrored(self) -> tuple[int, ...]:
        """The left-right permutation of the joints."""
        return mirror_permutation(self.names)

    def forward_kinematics(self, rotations: Tensor, root: Tensor | None = None, *, first: int | None = None) -> Tensor:
        """Joint positions [..., J, 3] in metres from local rotations [..., J, 3, 3].

        ``root`` [..., 3] is the translation: the root joint comes to ``root + offsets[0]``, without it to the origin.
        ``first`` computes only that many joints, from the front (22 leaves the hands and the face out).
        Differentiable.
        """
        import torch

        count = self.joints if first is None else min(first, self.joints)
        offsets = torch.tensor(self.offsets[:count], dtype=rotations.dtype, device=rotations.device)
        # Numbers of a matrix first, joints next: sums of whole planes are several times faster than small products.
        locals_ = rotations[..., :count, :, :].movedim((-2, -1, -3), (0, 1, 2))  # [3, 3, J, ...]
        origin = torch.zeros_like(locals_[0, :, 0]) if root is None else (root + offsets[0]).movedim(-1, 0)
        turns, positions = [locals_[:, :, 0]], [origin]
        inner = set(self.parents[:count])  # the turn of a joint without children moves nothing
        for joint in range(1, count):
            parent = self.parents[joint]
            turn, (x, y, z) = turns[parent], offsets[joint]
            positions.append(positions[parent] + (turn[:, 0] * x + turn[:, 1] * y + turn[:, 2] * z))
            turns.append(_composed(turn, locals_[:, :, joint]) if joint in inner else turn)
        return torch.stack(positions, dim=1).movedim((0, 1), (-1, -2))


def _composed(a: Tensor, b: Tensor) -> Tensor:
    """Products of matrices [3, 3, ...]: ``b`` first, then ``a``."""
    return a[:, 0, None] * b[None, 0] + a[:, 1, None] * b[None, 1] + a[:, 2, None] * b[None, 2]
