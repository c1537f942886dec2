"""One part of the body, taken of clips of the whole body: what ``rvq-lens train --part`` trains on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from rvq_core.clips.clip import Clip
from rvq_core.clips.fit import fit_clip
from rvq_core.clips.representations import (
    PART_JOINTS,
    SMPLX_ROT6D,
    SMPLX_ROT6D_HANDS,
    SMPLX_ROT6D_LOWER,
    SMPLX_ROT6D_UPPER,
    Representation,
)

PELVIS = 0
"""The joint that a turn of the whole body turns."""


@dataclass(frozen=True, slots=True)
class BodyPart:
    """Columns of ``smplx_rot6d``, by the representation of the part."""

    representation: Representation

    @property
    def joints(self) -> tuple[int, ...]:
        """Numbers of its SMPL-X joints."""
        return PART_JOINTS[self.representation.name]

    @property
    def width(self) -> int:
        """D: 6 for each joint."""
        return 6 * len(self.joints)

    @property
    def has_pelvis(self) -> bool:
        """Whether a turn of the body about the vertical changes it."""
        return PELVIS in self.joints

    def whole(self, clip: Clip, fps: float) -> Clip:
        """The clip as rotations of the whole body. Raises ClipError for motion that does not tell them."""
        return fit_clip(clip, dim=6 * len(SMPLX_ROT6D.joint_names), fps=fps, representation=SMPLX_ROT6D.name)

    def of(self, features: Tensor) -> Tensor:
        """The part [..., D] of features of the whole body [..., 330]."""
        return features.unflatten(-1, (-1, 6))[..., list(self.joints), :].flatten(-2)


BODY_PARTS: Mapping[str, BodyPart] = {
    "upper": BodyPart(SMPLX_ROT6D_UPPER),
    "hands": BodyPart(SMPLX_ROT6D_HANDS),
    "lower": BodyPart(SMPLX_ROT6D_LOWER),
}
