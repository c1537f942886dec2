"""What the columns of a clip's features mean: joint positions back from them, and features from positions.

A representation is a small value; all stand in one ordered tuple, ``REPRESENTATIONS``. Features are [..., T, D] with
any leading dimensions, so that reconstructions with 0..Q quantizers are decoded in one batch.
"""

from rvq_core.clips.representations.humanml3d import HUMANML3D, humanml3d_features
from rvq_core.clips.representations.kind import Representation
from rvq_core.clips.representations.kit import KIT, KIT_JOINTS, KIT_PARENTS, kit_features, kit_joints
from rvq_core.clips.representations.rot6d import (
    JOINT_ROT6D,
    PART_JOINTS,
    SMPLX_ROT6D,
    SMPLX_ROT6D_HANDS,
    SMPLX_ROT6D_LOWER,
    SMPLX_ROT6D_UPPER,
    rotation_features,
)

__all__ = [
    "HUMANML3D",
    "JOINT_ROT6D",
    "KIT",
    "KIT_JOINTS",
    "KIT_PARENTS",
    "LATENTS",
    "PART_JOINTS",
    "RAW",
    "REPRESENTATIONS",
    "SMPLX_ROT6D",
    "SMPLX_ROT6D_HANDS",
    "SMPLX_ROT6D_LOWER",
    "SMPLX_ROT6D_UPPER",
    "TOKENS",
    "UNDECODED",
    "Representation",
    "get_representation",
    "guess_representation",
    "humanml3d_features",
    "kit_features",
    "kit_joints",
    "representation_names",
    "rotation_features",
]

RAW = Representation("raw")
# What an encoder made of motion, [T', C]: goes into a quantizer as it is.
LATENTS = Representation("latents")
# What a quantizer made of them, [T', Q]: indices of codes, counted as they are.
TOKENS = Representation("tokens")
UNDECODED = frozenset({LATENTS.name, TOKENS.name})
"""What is no motion: there is nothing to encode, and no reconstruction to compare."""

REPRESENTATIONS: tuple[Representation, ...] = (
    SMPLX_ROT6D,
    SMPLX_ROT6D_UPPER,
    SMPLX_ROT6D_HANDS,
    SMPLX_ROT6D_LOWER,
    HUMANML3D,
    KIT,
    JOINT_ROT6D,
    RAW,
    LATENTS,
    TOKENS,
)


def representation_names() -> tuple[str, ...]:
    """List the names of all representations."""
    return tuple(representation.name for representation in REPRESENTATIONS)


def get_representation(name: str) -> Representation:
    """Find the representation of that name.

    Raises ``SettingsError`` where none has it.
    """
    from rvq_core.errors import SettingsError

    for representation in REPRESENTATIONS:
        if representation.name == name:
            return representation
    raise SettingsError(
        "representation",
        expected=f"one of {', '.join(representation_names())}",
        found=repr(name),
        do="choose one of these, or leave it out to have it guessed from the number of columns",
    )


def guess_representation(dim: int) -> Representation:
    """Find the representation with ``dim`` columns, ``raw`` where none has just that many."""
    return next((r for r in REPRESENTATIONS if r.dim == dim), RAW)
