"""Motion of any humanoid skeleton, brought to SMPL-X.

Each mapped joint keeps its world orientation: ``G_target = M G_source M^T A``, where M changes the world's axes and A
brings our rest pose to the source's: joint by joint, from the pelvis outwards, by the smallest turn that takes our
bone to the source's. So the source's rest pose (arms hanging, say) comes out as that pose, and not as our T-pose.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from rvq_core.clips.slerp import turn_towards
from rvq_core.clips.smplx import ANKLE_HEIGHT, BODY_JOINTS, HANDS, JOINT_NAMES, JOINTS, PARENTS, canonical_skeleton

Array = NDArray[np.float64]
Vector = Sequence[float]


@dataclass(frozen=True, slots=True)
class Rig:
    """How a source skeleton relates to SMPL-X. Lengths are in the source's units: the leg's length gives the scale.

    ``joints`` maps SMPL-X names to source names and holds at least the pelvis. ``axes`` [3, 3] takes a source vector
    to y up, +z forward, +x left. ``directions`` gives, in the source's axes and rest pose, the way its bone points
    that starts at a mapped joint; a joint without one is taken to rest as ours does. ``hips`` leads from the source's
    root to the middle between its hips, ``leg`` is thigh and shank, ``ankle_height`` from sole to ankle.
    """

    names: tuple[str, ...]
    joints: Mapping[str, str]
    axes: Array
    leg: float
    hips: Vector = (0.0, 0.0, 0.0)
    ankle_height: float | None = None
    directions: Mapping[str, Vector] = field(default_factory=dict[str, Vector])


# Where our bone points that starts at a joint: to its first child, in the hand to the middle finger; a finger's last
# bone goes on as the one before.
AIMS: dict[str, str] = {
    JOINT_NAMES[parent]: JOINT_NAMES[joint] for joint, parent in reversed(list(enumerate(PARENTS))) if parent >= 0
} | {f"{side}_wrist": f"{side}_middle1" for side in ("left", "right")}


def rest_bone(joint: str) -> Array:
    """Our bone [3] that starts at ``joint``, in our rest pose."""
    return canonical_skeleton().offsets[JOINT_NAMES.index(AIMS.get(joint, joint))]


class Retargeted(NamedTuple):
    """``rotations`` [T, 55, 3, 3] local, ``translation`` [T, 3] as SMPL-X's `trans`, ``note`` on what was mapped."""

    rotations: Array
    translation: Array
    note: str


def retarget(rig: Rig, rotations: Array, root: Array) -> Retargeted:
    """Pose SMPL-X like a source whose joints have the world ``rotations`` [T, J, 3, 3], its root at ``root`` [T, 3]."""
    mapped = {JOINT_NAMES.index(ours): rig.names.index(theirs) for ours, theirs in rig.joints.items()}
    alignments = _alignments(rig, mapped)
    worlds: dict[int, Array] = {
        joint: rig.axes @ rotations[:, source] @ rig.axes.T @ alignments[joint] for joint, source in mapped.items()
    }
    shared = _fill_chains(worlds)
    turns = _local_rotations(worlds, len(rotations))
    return Retargeted(turns, _translation(rig, rotations[:, mapped[0]], root, worlds[0]), _note(mapped, shared))


def _alignments(rig: Rig, mapped: Mapping[int, int]) -> list[Array]:
    """Rotation [3, 3] of each of our joints in the source's rest pose, as seen from our own rest pose."""
    turns: list[Array] = []
    for joint, parent in enumerate(PARENTS):
        turn = turns[parent] if parent >= 0 else np.eye(3)
        direction = rig.directions.get(JOINT_NAMES[joint])
        if joint in mapped and direction is not None:
            theirs = rig.axes @ np.asarray(direction, dtype=np.float64)
            turn = smallest_rotation(turn @ rest_bone(JOINT_NAMES[joint]), theirs) @ turn
        turns.append(turn)
    return turns


def smallest_rotation(start: Array, end: Array) -> Array:
    """Return the rotation [3, 3] by the smallest angle that takes the direction ``start`` [3] to ``end`` [3]."""
    start, end = start / np.linalg.norm(start), end / np.linalg.norm(end)
    axis = np.cross(start, end)
    angle = np.arctan2(np.linalg.norm(axis), start @ end)
    if np.linalg.norm(axis) < 1e-9:
        # Parallel: any axis across will do, for no turn as for half a turn.
        axis = np.cross(start, np.eye(3)[np.argmin(np.abs(start))])
    return Rotation.from_rotvec(axis / np.linalg.norm(axis) * angle).as_matrix()


def _fill_chains(worlds: dict[int, Array]) -> list[int]:
    """Let unmapped joints between two mapped ones (the spine) share the turn evenly; returns the joints filled."""
    filled: list[int] = []
    for end in sorted(worlds):
        chain: list[int] = []
        joint = PARENTS[end]
        while joint >= 0 and joint not in worlds:
            chain.append(joint)
            joint = PARENTS[joint]
        if not chain or joint < 0 or not _is_spine(chain):
            continue
        for step, between in enumerate(reversed(chain), start=1):
            weight = np.full(len(worlds[end]), step / (len(chain) + 1))
            worlds[between] = turn_towards(worlds[joint], worlds[end], weight)
        filled += chain
    return filled


def _is_spine(chain: list[int]) -> bool:
    # A collar bone also lies between two mapped joints, but an arm's swing is the shoulder's: the collar stays at rest.
    return all("collar" not in JOINT_NAMES[joint] for joint in chain)


def _local_rotations(worlds: dict[int, Array], frames: int) -> Array:
    """Local rotations [T, 55, 3, 3]; a joint without a world rotation stays at rest relative to its parent."""
    turns = np.tile(np.eye(3), (frames, JOINTS, 1, 1))
    for joint, parent in enumerate(PARENTS):
        if joint not in worlds:
            worlds[joint] = worlds[parent]
        elif parent < 0:
            turns[:, joint] = worlds[joint]
        else:
            turns[:, joint] = np.swapaxes(worlds[parent], -1, -2) @ worlds[joint]
    return turns


def _translation(rig: Rig, root_turn: Array, root: Array, pelvis_turn: Array) -> Array:
    """SMPL-X's `trans` [T, 3]: the middle between the hips follows the source's, scaled by the length of the legs."""
    rest = canonical_skeleton()
    left = [JOINT_NAMES.index(f"left_{part}") for part in ("knee", "ankle")]
    scale = float(np.linalg.norm(rest.offsets[left], axis=1).sum()) / rig.leg
    hips = scale * (root + root_turn @ np.asarray(rig.hips, dtype=np.float64)) @ rig.axes.T
    if rig.ankle_height is not None:
        hips[:, 1] += ANKLE_HEIGHT - scale * rig.ankle_height
    our_hips = rest.offsets[[JOINT_NAMES.index("left_hip"), JOINT_NAMES.index("right_hip")]].mean(axis=0)
    return hips - pelvis_turn @ our_hips - rest.offsets[0]


def _note(mapped: Mapping[int, int], shared: list[int]) -> str:
    rest = [JOINT_NAMES[j] for j in range(BODY_JOINTS) if j not in mapped and j not in shared]
    fingers = len(set(HANDS) - mapped.keys())
    rest += ["face"] + (["fingers"] if fingers == len(HANDS) else [f"{fingers} finger joints"] if fingers else [])
    parts = [f"retargeted to SMPL-X: {len(mapped)} joints mapped"]
    if shared:
        parts.append(f"{', '.join(JOINT_NAMES[j] for j in sorted(shared))} share the turn of their neighbours")
    parts.append(f"at rest: {', '.join(rest)}")
    return "; ".join(parts)
