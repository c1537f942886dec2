"""A clip's features made into those of another representation, where its motion tells them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from rvq_core.clips.clip import Clip
from rvq_core.clips.representations import (
    HUMANML3D,
    JOINT_ROT6D,
    KIT,
    PART_JOINTS,
    SMPLX_ROT6D,
    Representation,
    get_representation,
    humanml3d_features,
    kit_features,
    kit_joints,
)
from rvq_core.clips.resample import resample_clip
from rvq_core.clips.smplx import BODY_JOINTS, JOINTS, LOWER, canonical_skeleton
from rvq_core.errors import ClipError

_FROM_POSITIONS = (HUMANML3D, KIT)
_PARTS = {"smplx_rot6d_upper": "upper body", "smplx_rot6d_hands": "hands", "smplx_rot6d_lower": "lower body"}


def can_convert(clip: Clip, kind: Representation) -> bool:
    """Whether ``convert_clip`` can make features of ``kind`` from the clip's."""
    if kind.name in PART_JOINTS:
        return clip.representation == SMPLX_ROT6D.name
    sources = {SMPLX_ROT6D.name, HUMANML3D.name} - {kind.name}
    return kind in _FROM_POSITIONS and clip.representation in sources


def convert_clip(clip: Clip, kind: Representation, fps: float | None = None) -> Clip:
    """Return ``clip`` with features of ``kind``, in their usual frame rate or at ``fps``; notes tell how.

    ``smplx_rot6d`` gives its parts (which keep their frame rate where ``fps`` is None), and through the joints of the
    canonical skeleton ``humanml3d`` and ``kit``; ``humanml3d`` gives ``kit``. Rotations are resampled before they are
    posed. Raises ``ClipError`` for all else, saying why.
    """
    if not can_convert(clip, kind):
        raise ClipError(
            str(clip.source or clip.name),
            expected=f"features in the representation {kind.name}",
            found=clip.representation,
            do=why_not(clip, kind),
        )
    if kind.name in PART_JOINTS:
        return _take_part(clip if fps is None else resample_clip(clip, fps), kind)
    return _through_positions(clip, kind, fps or kind.fps or clip.fps)


def why_not(clip: Clip, kind: Representation | None) -> str:
    """What to do instead where a clip's features cannot become those of ``kind`` (None: of no known kind)."""
    usual = "give clips in the representation that this checkpoint was trained on"
    source = get_representation(clip.representation)
    if kind is None or kind is source:
        return usual
    if source.name in PART_JOINTS and kind.rotations_from is not None:
        return f"give motion of the whole body: {source.name} is a part of it and does not tell the rest"
    if source in _FROM_POSITIONS and (kind is SMPLX_ROT6D or kind.name in PART_JOINTS):
        return (
            f"give motion with SMPL-X rotations: those of {source.name} come from inverse kinematics over positions "
            "and tell no twist of a limb"
        )
    if source is KIT and kind is HUMANML3D:
        return "give motion of SMPL's joints: KIT's body has other joints, of which HumanML3D's cannot be told"
    if source is JOINT_ROT6D:
        return "read the motion's own file without a representation: it is then brought to SMPL-X, and on from there"
    return usual


def _take_part(clip: Clip, kind: Representation) -> Clip:
    """The columns of a part. The path is the pelvis's, and stays where the part has the pelvis."""
    joints = PART_JOINTS[kind.name]
    columns = clip.features.reshape(clip.frames, JOINTS, 6)[:, list(joints)]
    return replace(
        clip,
        features=np.ascontiguousarray(columns.reshape(clip.frames, -1)),
        representation=kind.name,
        translation=clip.translation if joints == LOWER else None,
        notes=(*clip.notes, f"took {_PARTS[kind.name]}: {len(joints)} of {JOINTS} joints"),
    )


def _through_positions(clip: Clip, kind: Representation, fps: float) -> Clip:
    resampled = resample_clip(clip, fps)
    if resampled.frames < 2:
        raise ClipError(
            str(clip.source or clip.name),
            expected=f"at least 2 frames at {resampled.fps:g} fps, as {kind.name} holds velocities",
            found="1 frame",
            do="give a longer clip",
        )
    joints = _body_joints(resampled)
    features = humanml3d_features(joints) if kind is HUMANML3D else kit_features(kit_joints(joints))
    return replace(
        resampled,
        features=features,
        representation=kind.name,
        skeleton=None,
        translation=None,
        notes=(*resampled.notes, *_position_notes(resampled, kind)),
    )


def _body_joints(clip: Clip) -> NDArray[np.float64]:
    """Positions [T, 22, 3] of the body's joints, metres, with the root's path where the clip has one."""
    import torch

    features = torch.from_numpy(clip.features.astype(np.float64))
    found = get_representation(clip.representation).joints(features, canonical_skeleton(), first=BODY_JOINTS)
    assert found is not None  # both kinds that come here tell positions
    joints = found.numpy()
    return joints if clip.translation is None else joints + clip.translation[:, None].astype(np.float64)


def _position_notes(clip: Clip, kind: Representation) -> tuple[str, ...]:
    source = "SMPL-X rotations posed on the canonical skeleton" if clip.representation == SMPLX_ROT6D.name else "joints"
    body = ", on KIT's smaller body" if kind is KIT else ""
    notes = (f"{source} made into {kind.name} features{body}: on the floor, facing +z at the start",)
    if clip.representation == SMPLX_ROT6D.name and clip.translation is None:
        return (*notes, "no translation: the root stays in its place")
    return notes
