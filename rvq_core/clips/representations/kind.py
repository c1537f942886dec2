"""What a representation of motion is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rvq_core.clips import smplx
from rvq_core.clips.skeleton import Skeleton

if TYPE_CHECKING:
    from torch import Tensor

JointsFunction = Callable[["Tensor", "Skeleton | None", "int | None"], "Tensor | None"]
RotationsFunction = Callable[["Tensor"], "Tensor"]


@dataclass(frozen=True, slots=True)
class Representation:
    """One kind of motion feature.

    ``dim`` is the number of columns D (None: any multiple of ``multiple_of``) and ``fps`` the field's frame rate for
    it (None: none is usual). ``joint_names`` and ``parents`` are those of the joints that ``joints`` gives; ``body``
    and ``hands`` number the ones that body and hand metrics average over. Where they are empty, the joints are those
    of the clip's own skeleton (``own_skeleton``), or there are none. ``per_frame`` are the columns that are
    displacements from one frame to the next: they scale with the frame's length.
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
    own_skeleton: bool = False
    multiple_of: int = 1

    def fits(self, dim: int) -> bool:
        """Whether features with ``dim`` columns can be of this kind."""
        return self.dim in (None, dim) and dim % self.multiple_of == 0

    def default_skeleton(self) -> Skeleton | None:
        """Return the skeleton that such features turn; None where they hold no rotations, or turn the clip's own."""
        return None if self.rotations_from is None or self.own_skeleton else smplx.canonical_skeleton()

    def joints(self, features: Tensor, skeleton: Skeleton | None = None, *, first: int | None = None) -> Tensor | None:
        """Joint positions [..., T, J, 3] in metres, y up, from features [..., T, D]; None where there are none.

        ``first`` leaves out the joints from that number on (22 spares the hands of ``smplx_rot6d``).
        """
        return None if self.joints_from is None else self.joints_from(features, skeleton, first)

    def rotations(self, features: Tensor) -> Tensor | None:
        """Local joint rotations [..., T, J, 3, 3], or None where the features are not rotations."""
        return None if self.rotations_from is None else self.rotations_from(features)
