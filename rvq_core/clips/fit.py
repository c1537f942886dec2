"""A clip made to suit a checkpoint."""

from __future__ import annotations

from dataclasses import replace

from rvq_core.clips.clip import Clip
from rvq_core.clips.convert import can_convert, convert_clip, why_not
from rvq_core.clips.representations import (
    JOINT_ROT6D,
    RAW,
    REPRESENTATIONS,
    SMPLX_ROT6D,
    Representation,
    guess_representation,
)
from rvq_core.clips.resample import resample_clip
from rvq_core.errors import ClipError

NOT_FROM_POSES: dict[int, str] = {
    57: "lower body (54) and velocity of the root (3)",
    61: "lower body (54), translation (3) and foot contacts (4)",
    100: "face (100)",
    106: "jaw (6) and face (100)",
    315: "upper body, hands and lower body (312) and velocity of the root (3)",
    433: "all joints (330), velocity of the root (3) and face (100)",
}
"""Widths in the field whose columns are more than rotations: known by D, and taken only as they are."""


def fit_clip(
    clip: Clip, *, dim: int, fps: float | None = None, stride: int = 1, representation: str | None = None
) -> Clip:
    """Return ``clip`` as a checkpoint takes it: in its features, at its ``fps``, cut to whole tokens of ``stride``.

    ``dim`` is the checkpoint's D; ``fps`` and ``representation`` are None where the checkpoint does not tell, and then
    D alone decides what its columns are. Features of another kind are converted where the motion tells them: a body
    part is taken of SMPL-X rotations, and these (or HumanML3D's joints) are made into ``humanml3d`` or ``kit``
    features. Notes tell what was done. Raises ``ClipError`` where they cannot be, or not one token is left.
    """
    suited = clip if _suits(clip, dim, representation) else _converted(clip, dim, fps, representation)
    fitted = suited if fps is None else resample_clip(suited, fps)
    return _cut(_without_skeleton(fitted), stride)


def _suits(clip: Clip, dim: int, representation: str | None) -> bool:
    # `raw` means that nobody said what the columns are: then D alone decides.
    known = representation not in (None, RAW.name, clip.representation) and clip.representation != RAW.name
    return clip.features.shape[1] == dim and not known


def _converted(clip: Clip, dim: int, fps: float | None, representation: str | None) -> Clip:
    kind = _wanted(dim, representation)
    if kind is not None and can_convert(clip, kind):
        return convert_clip(clip, kind, fps)
    found = clip.features.shape[1]
    if found == dim:
        raise ClipError(
            _where(clip),
            expected=f"features in the representation {representation}",
            found=clip.representation,
            do=why_not(clip, kind),
        )
    raise ClipError(
        _where(clip),
        expected=f"D = {dim} features a frame{f' ({representation})' if representation else ''}",
        found=f"D = {found} ({clip.representation})",
        do=_instead(clip, dim, kind),
    )


def _wanted(dim: int, representation: str | None) -> Representation | None:
    """The kind of feature that a checkpoint takes; None where neither its name nor D tells one that is known."""
    if representation in (None, RAW.name):
        guessed = guess_representation(dim)
        return None if guessed is RAW else guessed
    return next((kind for kind in REPRESENTATIONS if kind.name == representation and kind.fits(dim)), None)


def _instead(clip: Clip, dim: int, kind: Representation | None) -> str:
    if clip.representation == SMPLX_ROT6D.name and dim in NOT_FROM_POSES:
        return f"give such features as .npy: {dim} columns are {NOT_FROM_POSES[dim]}, which poses alone do not hold"
    return why_not(clip, kind)


def _without_skeleton(clip: Clip) -> Clip:
    """Rotations of joints that nothing names have no positions, and are measured as plain features."""
    if clip.representation != JOINT_ROT6D.name or clip.skeleton is not None:
        return clip
    note = "no skeleton comes with these rotations: errors are of features only"
    return replace(clip, representation=RAW.name, notes=(*clip.notes, note))


def _cut(clip: Clip, stride: int) -> Clip:
    tokens = clip.frames // stride
    if tokens == 0:
        raise ClipError(
            _where(clip),
            expected=f"at least {stride} frames at {clip.fps:g} fps (one token)",
            found=f"{clip.frames} frame{'s' * (clip.frames != 1)}",
            do="give a longer clip",
        )
    kept = tokens * stride
    if kept == clip.frames:
        return clip
    return cut_clip(clip, kept, f"cut from {clip.frames} to {kept} frames, a multiple of the stride {stride}")


def cut_clip(clip: Clip, frames: int, note: str) -> Clip:
    """Return the first ``frames`` of a clip, with ``note`` added."""
    translation = None if clip.translation is None else clip.translation[:frames]
    return replace(clip, features=clip.features[:frames], translation=translation, notes=(*clip.notes, note))


def _where(clip: Clip) -> str:
    return str(clip.source or clip.name)
