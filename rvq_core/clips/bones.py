"""Which bone of a source skeleton stands for which SMPL-X joint: by the names that are in use, or by a user's map."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, cast

from rvq_core.clips.hierarchy import Hierarchy
from rvq_core.clips.smplx import JOINT_NAMES
from rvq_core.errors import ClipError, SettingsError, some_of
from rvq_core.limits import SETTINGS, bounded_text

# For each joint the names that bones have in CMU's files (ASF and cgspeed's BVH), Mixamo, MotionBuilder, 3ds Max
# Biped, Unreal, VRM, Xsens, Poser/DAZ, SMPL and Bandai-Namco's data: without side, separators and prefixes, the surest
# first. A bone serves one joint only: `shoulder` is the collar bone where there is an upper arm, `foot` the toes where
# there is an ankle. The spine needs no names, it is what lies between hips and neck.
SIDED_NAMES: dict[str, tuple[str, ...]] = {
    "hip": ("upleg", "upperleg", "thigh", "femur", "thighbend", "hip"),
    "knee": ("lowerleg", "lowleg", "shin", "calf", "tibia", "knee", "leg"),
    "ankle": ("ankle", "foot"),
    "foot": ("toebase", "toes", "toe", "toe0", "ball", "foot"),
    "shoulder": ("upperarm", "uparm", "humerus", "shldr", "shldrbend", "arm", "shoulder"),
    "collar": ("collar", "clavicle", "shoulder"),
    "elbow": ("forearm", "lowerarm", "lowarm", "radius", "forearmbend", "elbow"),
    "wrist": ("fingerbase", "hand", "wrist"),
}
MIDDLE_NAMES: dict[str, tuple[str, ...]] = {
    "pelvis": ("hips", "hip", "pelvis", "root"),
    "neck": ("neck", "lowerneck", "neck0", "neck1", "necklower"),
    "head": ("head",),
}
# One bone for all fingers turns the first joint of each.
_FINGERS = ("index", "middle", "pinky", "ring")
_FINGER = re.compile(r"(thumb|index|middle|ring|pinky|little)(?:finger)?(1|2|3|proximal|intermediate|distal)?")
_KNUCKLES = {None: "1", "proximal": "1", "intermediate": "2", "distal": "3"}

_SIDES = {"left": "left", "l": "left", "right": "right", "r": "right"}
_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_HELPERS = frozenset({"ik", "ctrl", "target", "pole", "twist", "roll", "helper"})
_VOCABULARY = frozenset(name for names in (*SIDED_NAMES.values(), *MIDDLE_NAMES.values()) for name in names) | {
    "fingers"
}

ESSENTIAL = ("pelvis", *(f"{side}_{part}" for part in ("hip", "knee", "ankle") for side in ("left", "right")))
_UPWARD = ("head", "neck", "spine3", "spine2", "spine1")

BoneMap = str | Path | Mapping[str, str]


def read_bone_map(given: BoneMap) -> dict[str, str]:
    """Read a map ``{SMPL-X joint: source bone}`` from a TOML or JSON file, or take it as it is.

    An empty bone leaves that joint at rest. Raises ``SettingsError``.
    """
    where = "bone_map" if isinstance(given, Mapping) else str(given)
    content: Any = given if isinstance(given, Mapping) else _read_map_file(Path(given))
    if not isinstance(content, Mapping):
        raise _no_map(where, f"a {type(content).__name__}")
    entries = cast(Mapping[object, object], content)
    for joint, bone in entries.items():
        if joint not in JOINT_NAMES:
            raise _no_map(where, f"{joint!r}, which is no joint of SMPL-X")
        if not isinstance(bone, str):
            raise _no_map(where, f"a {type(bone).__name__} for {joint}")
    return {str(joint): str(bone) for joint, bone in entries.items()}


def _read_map_file(path: Path) -> Any:
    try:
        text = bounded_text(path, SETTINGS, SettingsError, "utf-8-sig")
        return json.loads(text) if path.suffix.lower() == ".json" else tomllib.loads(text)
    except (OSError, ValueError, RecursionError) as error:
        raise _no_map(str(path), f"{type(error).__name__}: {error}") from error


def _no_map(where: str, found: str) -> SettingsError:
    return SettingsError(
        where,
        expected='a bone map in TOML or JSON, with entries such as left_hip = "LeftUpLeg"',
        found=found,
        do=f"name SMPL-X joints ({', '.join(JOINT_NAMES[:6])}, ...) and a bone of the file for each",
    )


def match_bones(hierarchy: Hierarchy, where: str, given: Mapping[str, str] | None = None) -> dict[str, int]:
    """Find the source joint for each SMPL-X joint that has one, the pelvis first; ``given`` counts before the names.

    Raises ``ClipError`` where hips, legs or all of the spine are missing.
    """
    given = given or {}
    _check_given(hierarchy, where, given)
    named = {joint: hierarchy.numbers[bone] for joint, bone in given.items() if bone}
    found = _by_names(hierarchy, named)
    if not any(joint.startswith("spine") for joint in given):
        found |= _spine(hierarchy, found)
    found = {joint: number for joint, number in (found | named).items() if given.get(joint) != ""}
    _check_essential(hierarchy, where, found)
    return {joint: found[joint] for joint in JOINT_NAMES if joint in found}


def _check_given(hierarchy: Hierarchy, where: str, given: Mapping[str, str]) -> None:
    for joint, bone in given.items():
        if bone and bone not in hierarchy.numbers:
            raise ClipError(
                where,
                expected=f"the bone {bone!r}, which the bone map gives for {joint}",
                found=_listed(hierarchy.names),
                do="correct the map",
            )


def _check_essential(hierarchy: Hierarchy, where: str, found: Mapping[str, int]) -> None:
    missing = [joint for joint in ESSENTIAL if joint not in found]
    if not any(joint in found for joint in _UPWARD):
        missing.append("spine")
    if missing:
        raise ClipError(
            where,
            expected=f"bones of a person, among them {', '.join(missing)}",
            found=f"the bones {_listed(hierarchy.names)}",
            do='name them in a bone map, a TOML or JSON file with lines such as left_hip = "LeftUpLeg"',
        )


def _listed(names: Iterable[str]) -> str:
    return some_of((name[:40] for name in names), 80)


def _by_names(hierarchy: Hierarchy, named: Mapping[str, int]) -> dict[str, int]:
    """Match by name, without the spine; ``named`` are known already, and their bones serve no other joint."""
    labels = _labels(hierarchy)
    found = dict(named)
    taken = set(named.values())
    wanted = [(f"{side}_{part}", side, names) for part, names in SIDED_NAMES.items() for side in ("left", "right")]
    wanted += [(joint, "", names) for joint, names in MIDDLE_NAMES.items()]
    for joint, side, names in wanted:
        bone = next((b for name in names if (b := labels.get((side, name))) is not None and b not in taken), None)
        if bone is not None and joint not in found:
            found[joint] = bone
            taken.add(bone)
    if "pelvis" not in found and {"left_hip", "right_hip"} <= found.keys():
        left = hierarchy.ancestors(found["left_hip"])
        shared = next((joint for joint in hierarchy.ancestors(found["right_hip"]) if joint in left), None)
        found |= {} if shared is None else {"pelvis": shared}
    return _fingers(labels) | found


def _fingers(labels: Mapping[tuple[str, str], int]) -> dict[str, int]:
    found: dict[str, int] = {}
    for side in ("left", "right"):
        if (side, "fingers") in labels:
            found |= {f"{side}_{finger}1": labels[side, "fingers"] for finger in _FINGERS}
    for (side, name), bone in labels.items():
        if side and (match := _FINGER.fullmatch(name)):
            finger = "pinky" if match[1] == "little" else match[1]
            found[f"{side}_{finger}{_KNUCKLES.get(match[2], match[2])}"] = bone
    return found


class _Label(NamedTuple):
    side: str  # left, right, or empty
    name: str
    prefix: int  # words in front that are no part of the name


def _labels(hierarchy: Hierarchy) -> dict[tuple[str, str], int]:
    """Find the bone of each (side, name); of several, the one with the fewest other words, then the first."""
    best: dict[tuple[str, str], tuple[int, int]] = {}
    for bone, name in enumerate(hierarchy.names):
        label = _label(name)
        if label is not None:
            key = label.side, label.name
            best[key] = min(best.get(key, (label.prefix, bone)), (label.prefix, bone))
    return {key: bone for key, (_, bone) in best.items()}


def _label(name: str) -> _Label | None:
    """Take a bone's name apart: `mixamorig:LeftUpLeg`, `thigh_l`, `Bip01 L Thigh` and `lfemur` are all a left thigh.

    >>> _label("mixamorig:LeftHandThumb1")
    _Label(side='left', name='thumb1', prefix=1)
    """
    words = [_plain(word) for word in _WORDS.findall(name.rpartition(":")[2])]
    side = next((_SIDES[word] for word in words if word in _SIDES), "")
    if side:
        words.remove(next(word for word in words if word in _SIDES))
    elif words and not _is_known("".join(words)):
        side, words = _glued_side(words)
    if _HELPERS.intersection(words):
        return None
    # The longest end of the name that means something: in `Character1_LowerArm` that is `lowerarm` and not `arm`.
    ends = (("".join(words[start:]), start) for start in range(len(words)))
    return next((_Label(side, end, start) for end, start in ends if _is_known(end)), None)


def _plain(word: str) -> str:
    return str(int(word)) if word.isdigit() else word.lower()


def _is_known(name: str) -> bool:
    return name in _VOCABULARY or _FINGER.fullmatch(name) is not None


def _glued_side(words: list[str]) -> tuple[str, list[str]]:
    """Part a side from the name that it is written into: `lfemur`, `LEFTFOOT`."""
    for mark, side in _SIDES.items():
        rest = words[0].removeprefix(mark)
        if rest != words[0] and _is_known("".join([rest, *words[1:]])):
            return side, [rest, *words[1:]]
    return "", words


def _spine(hierarchy: Hierarchy, found: Mapping[str, int]) -> dict[str, int]:
    """Spread the joints between pelvis and neck (or head, or shoulders) over the spine, whatever their names."""
    if "pelvis" not in found:
        return {}
    top = next((found[joint] for joint in ("neck", "head", "left_collar", "left_shoulder") if joint in found), None)
    if top is None:
        return {}
    below = {found["pelvis"], *hierarchy.ancestors(found["pelvis"])}
    chain = [joint for joint in reversed(hierarchy.ancestors(top)) if joint not in below]
    if not chain:
        return {}
    picked = {"spine1": chain[0], "spine2": chain[(len(chain) - 1) // 2], "spine3": chain[-1]}
    # One joint is the chest and two are the ends: what is between them shares their turn.
    keep = ("spine3",) if len(chain) == 1 else ("spine1", "spine3") if len(chain) == 2 else tuple(picked)
    return {joint: picked[joint] for joint in keep}
