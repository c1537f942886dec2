"""Motion of a person's skeleton from a file, brought to SMPL-X: bones matched, rest pose and axes found."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rvq_core.clips.bones import match_bones
from rvq_core.clips.hierarchy import Hierarchy, Posed, SkeletonMotion
from rvq_core.clips.motion import SmplxMotion
from rvq_core.clips.retarget import AIMS, Rig, rest_bone, retarget
from rvq_core.errors import ClipError

Array = NDArray[np.float64]

# The trunk is taken to rest as ours does, for its bones run anywhere inside the body; unless one points elsewhere by
# more than this angle. The same holds for how far a foot points down.
_ANOTHER_REST = np.cos(np.radians(45.0))
_NOTHING = 1e-6  # a length, in whatever unit
_SIDES = ("left", "right")
_TRUNK = ("spine1", "spine2", "spine3", "neck", "left_collar", "right_collar")
_FEET = ("left_ankle", "right_ankle")
_WITHOUT_BONE = ("pelvis", "head", "left_foot", "right_foot")
_TOPS = ("head", "neck", "spine3", "spine2", "spine1")


class _Rest(NamedTuple):
    """A pose to compare with our rest pose: joint ``positions`` [J, 3] and world ``turns`` [J, 3, 3] in it.

    ``soles`` are the ways [3] out of the instep of feet that are not flat on the floor in it.
    """

    positions: Array
    turns: Array
    soles: Mapping[str, Array]
    note: tuple[str, ...] = ()


def to_smplx(motion: SkeletonMotion, where: str, bone_map: Mapping[str, str] | None = None) -> SmplxMotion:
    """Retarget a person's motion to SMPL-X; notes tell what was mapped, and how.

    ``where`` names the file in errors. Raises ``ClipError`` where the skeleton is no person's.
    """
    bones = match_bones(motion.hierarchy, where, bone_map)
    posed = motion.posed()
    rest = _find_rest(motion, posed, bones)
    at = {joint: rest.positions[number] for joint, number in bones.items()}
    up, up_note = _up(at)
    axes, leg = _axes(at, up, where), _leg(at, where)
    rig = Rig(
        names=tuple(bones),
        joints={joint: joint for joint in bones},
        axes=axes,
        leg=leg,
        ankle_height=_ankle_height(posed, bones, up, leg),
        directions=_directions(motion.hierarchy, rest, bones, axes),
    )
    numbers = list(bones.values())
    turns = posed.rotations[:, numbers] @ np.swapaxes(rest.turns[numbers], -1, -2)
    hips = posed.positions[:, [bones["left_hip"], bones["right_hip"]]].mean(axis=1)
    result = retarget(rig, turns, hips)
    notes = (*motion.notes, *rest.note, *up_note, result.note, _bone_note(motion.hierarchy, bones))
    return SmplxMotion(result.rotations, result.translation, motion.fps, notes)


def _find_rest(motion: SkeletonMotion, posed: Posed, bones: Mapping[str, int]) -> _Rest:
    """Take the pose without turns where it is a standing person, else the frame that is most like one.

    Some skeletons (Bandai-Namco's) lay all bones along one axis, so that their zero pose is nobody's.
    """
    zero = motion.rest_positions()
    if _stands(_uprightness(zero[None], bones))[0]:
        return _Rest(zero, np.tile(np.eye(3), (len(zero), 1, 1)), {})
    bends = _uprightness(posed.positions, bones)
    frame = int(bends.sum(axis=1).argmax())
    note = f"the zero pose is no standing person: the pose of frame {frame} stands for it"
    if not _stands(bends[frame : frame + 1])[0]:
        note += ", though it does not stand upright either"
    positions, turns = posed.positions[frame], posed.rotations[frame]
    up, _ = _up({joint: positions[number] for joint, number in bones.items()})
    soles = {joint: turns[bones[joint]] @ _sole(posed, bones[joint], up) for joint in _FEET}
    return _Rest(positions, turns, soles, (note,))


def _sole(posed: Posed, ankle: int, up: Array) -> Array:
    """Way up [3], in a foot's own axes, while it stands: in the tenth of the frames in which it moves least."""
    if len(posed.positions) < 2:
        return posed.rotations[0, ankle].T @ up
    speed = np.linalg.norm(np.gradient(posed.positions[:, ankle], axis=0), axis=1)
    standing = speed <= np.percentile(speed, 10)
    return _unit((np.swapaxes(posed.rotations[standing, ankle], -1, -2) @ up).mean(axis=0))


def _uprightness(positions: Array, bones: Mapping[str, int]) -> Array:
    """Cosines [T, 9] that are 1 in a person at attention; the first four judge the legs."""

    def bone(start: str, end: str) -> Array:
        if start not in bones or end not in bones:
            return np.zeros((len(positions), 3))
        return _unit(positions[:, bones[end]] - positions[:, bones[start]])

    spine, across = bone("pelvis", _top(bones)), bone("right_hip", "left_hip")
    forward = _unit(np.cross(across, spine))
    pairs = [(bone(f"{side}_ankle", f"{side}_hip"), spine) for side in _SIDES]
    pairs += [(bone(f"{side}_hip", f"{side}_knee"), bone(f"{side}_knee", f"{side}_ankle")) for side in _SIDES]
    pairs += [(bone(f"{side}_ankle", f"{side}_foot"), forward) for side in _SIDES]
    pairs += [(bone(f"{side}_shoulder", f"{side}_elbow"), bone(f"{side}_elbow", f"{side}_wrist")) for side in _SIDES]
    pairs += [(bone("right_shoulder", "left_shoulder"), across)]
    return np.stack([(one * other).sum(axis=1) for one, other in pairs], axis=1)


def _unit(vectors: Array) -> Array:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)


def _stands(bends: Array) -> NDArray[np.bool_]:
    # Arms may be bent: many a rest pose has them so.
    return np.all(bends[:, :4] > 0.6, axis=1)


def _top(bones: Mapping[str, int]) -> str:
    return next(joint for joint in _TOPS if joint in bones)


def _up(at: Mapping[str, Array]) -> tuple[Array, tuple[str, ...]]:
    """Axis [3] of the file's world that is nearest to the way from hips to head, with a note where it is not +y."""
    spine = at[next(joint for joint in _TOPS if joint in at)] - at["pelvis"]
    axis = int(np.abs(spine).argmax())
    up = np.eye(3)[axis] * np.sign(spine[axis])
    name = f"{'-' if spine[axis] < 0 else '+'}{'xyz'[axis]}"
    return up, () if name == "+y" else (f"up is {name} in the file, by its rest pose",)


def _axes(at: Mapping[str, Array], up: Array, where: str) -> Array:
    """Rows left, up and forward [3, 3]; left is where the left hip is."""
    left = at["left_hip"] - at["right_hip"]
    left = left - (left @ up) * up
    if not np.linalg.norm(left) > _NOTHING:
        raise _no_person(where, "hips apart from each other", "both in one place")
    left = left / np.linalg.norm(left)
    return np.stack([left, up, np.cross(left, up)])


def _leg(at: Mapping[str, Array], where: str) -> float:
    """Length of thigh and shank, the mean of both legs, in the file's units."""
    pairs = [(f"{side}_{a}", f"{side}_{b}") for side in _SIDES for a, b in (("hip", "knee"), ("knee", "ankle"))]
    leg = float(sum(np.linalg.norm(at[b] - at[a]) for a, b in pairs)) / 2
    if not leg > _NOTHING:
        raise _no_person(where, "legs of some length", "none")
    return leg


def _no_person(where: str, expected: str, found: str) -> ClipError:
    return ClipError(where, expected=expected, found=found, do="correct the bone map, or leave this file out")


def _ankle_height(posed: Posed, bones: Mapping[str, int], up: Array, leg: float) -> float | None:
    """Height of the lower ankle when it stands on the floor, if the file's floor is at height 0."""
    ankles = posed.positions[:, [bones["left_ankle"], bones["right_ankle"]]] @ up
    lowest = float(np.percentile(ankles.min(axis=1), 5))
    return lowest if 0 <= lowest <= 0.3 * leg else None


def _directions(
    hierarchy: Hierarchy, rest: _Rest, bones: Mapping[str, int], axes: Array
) -> dict[str, tuple[float, float, float]]:
    """Ways that bones point in the rest pose, in the file's axes."""
    directions: dict[str, tuple[float, float, float]] = {}
    for joint in bones:
        bone = None if joint in _WITHOUT_BONE else _bone(hierarchy, rest, bones, joint)
        if bone is None:
            continue
        ours, theirs = rest_bone(joint), axes @ bone
        if joint in _TRUNK and _cosine(ours, theirs) > _ANOTHER_REST:
            continue
        if joint in _FEET:
            theirs = _flat(ours, theirs, axes @ rest.soles[joint] if joint in rest.soles else np.array([0.0, 1.0, 0.0]))
        x, y, z = axes.T @ theirs
        directions[joint] = (float(x), float(y), float(z))
    return directions


def _bone(hierarchy: Hierarchy, rest: _Rest, bones: Mapping[str, int], joint: str) -> Array | None:
    """Bone [3] that starts at a joint: to the joint it aims at, else to the only joint after it, else to its tip."""
    own = bones[joint]
    following = [number for number, parent in enumerate(hierarchy.parents) if parent == own]
    if AIMS.get(joint) in bones:
        end = rest.positions[bones[AIMS[joint]]]
    elif len(following) == 1:
        end = rest.positions[following[0]]
    else:
        end = rest.positions[own] + rest.turns[own] @ hierarchy.tips.get(own, np.zeros(3))
    bone = end - rest.positions[own]
    return bone if np.linalg.norm(bone) > _NOTHING else None


def _flat(ours: Array, theirs: Array, out: Array) -> Array:
    """Lay a foot [3] on its sole as ours: where it heads, but with our slope; unless it points down steeply.

    ``out`` [3] leads upwards out of the source's sole.
    """
    ahead = theirs - (theirs @ out) * out
    level = np.linalg.norm(ahead)
    if level < _ANOTHER_REST * np.linalg.norm(theirs):
        return theirs
    return ahead + ours[1] / np.linalg.norm(ours[[0, 2]]) * level * out


def _cosine(one: Array, other: Array) -> float:
    return float(one @ other / (np.linalg.norm(one) * np.linalg.norm(other)))


def _bone_note(hierarchy: Hierarchy, bones: Mapping[str, int]) -> str:
    pairs = ", ".join(f"{joint} = {hierarchy.names[number]}" for joint, number in bones.items())
    unused = [name for number, name in enumerate(hierarchy.names) if number not in bones.values()]
    return f"bones: {pairs}" + (f"; not used: {', '.join(unused)}" if unused else "")
