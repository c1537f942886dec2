"""Reader of ASF (Acclaim skeleton) files, which tell what the numbers of an AMC file turn.

A bone of the format hangs at the end of its parent, and its channels turn it there; so each bone is a joint at its
own beginning. Directions and axes are the world's, in the rest pose.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rvq_core.clips.hierarchy import Hierarchy, compose_turns
from rvq_core.clips.rows import Line, line_error, read_numbers, text_lines
from rvq_core.errors import ClipError

Array = NDArray[np.float64]

_MOST_BONES = 1000
_LONGEST_LINE = 10_000
_CHANNELS = frozenset({"tx", "ty", "tz", "rx", "ry", "rz", "l"})


@dataclass(slots=True)
class Bone:
    """A bone: its end as seen from its beginning [3], its axes [3, 3] in the rest pose, its channels in order."""

    name: str
    line: int
    end: Array = field(default_factory=lambda: np.zeros(3))
    axes: Array = field(default_factory=lambda: np.eye(3))
    channels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class AcclaimSkeleton:
    """The joints of an ASF file, ``bones`` in the same order; ``degrees`` is the unit of its angles."""

    hierarchy: Hierarchy
    bones: tuple[Bone, ...]
    degrees: bool


def read_asf(path: Path) -> AcclaimSkeleton:
    """Read a skeleton; raises ``ClipError`` with the line that is wrong. Limits of joints are not used."""
    sections = _sections(path)
    if "bonedata" not in sections or "hierarchy" not in sections:
        raise ClipError(
            str(path),
            expected="an ASF file with :bonedata and :hierarchy",
            found=f"{', '.join(f':{name}' for name in sections) or 'no section'}",
            do="give the skeleton that the AMC file was recorded with",
        )
    degrees = _in_degrees(sections.get("units", []))
    bones = [_read_root(path, sections.get("root", []), degrees), *_read_bones(path, sections["bonedata"], degrees)]
    hierarchy, order = _read_hierarchy(path, sections["hierarchy"], bones)
    return AcclaimSkeleton(hierarchy, tuple(bones[number] for number in order), degrees)


def _sections(path: Path) -> dict[str, list[Line]]:
    """Lines of each section by its name, without comments; what stands behind the name is its first line."""
    sections: dict[str, list[Line]] = {}
    current: list[Line] = []
    for number, text in enumerate(text_lines(path), start=1):
        if len(text) > _LONGEST_LINE:
            raise line_error(
                path, number, f"lines of at most {_LONGEST_LINE} characters", f"{len(text)}", "give an ASF file"
            )
        words = text.split(b"#")[0].split()
        if words and words[0].startswith(b":"):
            current = sections.setdefault(_word(words[0][1:]), [])
            words = words[1:]
        if words:
            current.append(Line(number, b" ".join(words)))
    return sections


def _word(word: bytes) -> str:
    return word.decode("utf-8", errors="replace").lower()


def _in_degrees(units: list[Line]) -> bool:
    # The unit of length is left alone: it is the same for bones and for the root's path.
    angles = [_word(text.split()[-1]) for _, text in units if text.lower().startswith(b"angle")]
    return not (angles and angles[0].startswith("rad"))


def _read_root(path: Path, lines: list[Line], degrees: bool) -> Bone:
    root = Bone("root", lines[0].number if lines else 1)
    angles, order = np.zeros(3), "XYZ"
    for number, text in lines:
        key, *words = text.split()
        match _word(key):
            case "order":
                root.channels = _read_channels(path, number, words)
            case "axis" if words:
                order = _read_order(path, number, words[-1])
            case "orientation":
                angles = np.array(read_numbers(path, number, _three(path, number, words)))
            case _:
                pass
    root.axes = _turn(angles, order, degrees)
    return root


def _read_bones(path: Path, lines: list[Line], degrees: bool) -> list[Bone]:
    bones: list[Bone] = []
    inside = False
    direction, length = np.zeros(3), 0.0
    for number, text in lines:
        key, *words = text.split()
        match _word(key):
            case "begin":
                inside, direction, length = True, np.zeros(3), 0.0
                bones.append(Bone("", number))
                if len(bones) > _MOST_BONES:
                    raise line_error(
                        path, number, f"at most {_MOST_BONES} bones", "more", "give the skeleton of one person"
                    )
            case "end" if inside:
                bones[-1].end = _bone_end(direction, length)
                inside = False
            case "name" if inside and words:
                bones[-1].name = words[0].decode("utf-8", errors="replace")
            case "direction" if inside:
                direction = np.array(read_numbers(path, number, _three(path, number, words)))
            case "length" if inside and words:
                (length,) = read_numbers(path, number, words[:1])
            case "axis" if inside and len(words) > 3:
                angles = np.array(read_numbers(path, number, words[:3]))
                bones[-1].axes = _turn(angles, _read_order(path, number, words[3]), degrees)
            case "dof" if inside:
                bones[-1].channels = _read_channels(path, number, words)
            case _ if not inside:
                raise line_error(path, number, "`begin` of a bone", repr(_word(key)))
            case _:
                pass  # id, limits, masses
    if inside or not bones:
        raise line_error(
            path, lines[-1].number if lines else 1, "bones between `begin` and `end`", "none that is whole"
        )
    return bones


def _bone_end(direction: Array, length: float) -> Array:
    size = float(np.linalg.norm(direction))
    return direction / size * length if size > 0 else np.zeros(3)


def _three(path: Path, number: int, words: list[bytes]) -> list[bytes]:
    if len(words) < 3:
        raise line_error(path, number, "three numbers", f"{len(words)}")
    return words[:3]


def _read_channels(path: Path, number: int, words: list[bytes]) -> tuple[str, ...]:
    channels = tuple(_word(word) for word in words)
    if not _CHANNELS.issuperset(channels) or len(set(channels)) < len(channels):
        raise line_error(
            path, number, f"each of {', '.join(sorted(_CHANNELS))} at most once", repr(" ".join(channels)[:60])
        )
    return channels


def _read_order(path: Path, number: int, word: bytes) -> str:
    order = _word(word).upper()
    if sorted(order) != ["X", "Y", "Z"]:
        raise line_error(path, number, "an order of axes such as XYZ", repr(order[:20]))
    return order


def _turn(angles: Array, order: str, degrees: bool) -> Array:
    """Turn [3, 3] of three angles listed x, y, z and applied in ``order``, each about the world's axis."""
    sorted_angles = angles[["XYZ".index(axis) for axis in order]]
    # The last one applied is the outermost.
    return compose_turns((sorted_angles if degrees else np.degrees(sorted_angles))[::-1], order[::-1])


def _read_hierarchy(path: Path, lines: list[Line], bones: list[Bone]) -> tuple[Hierarchy, list[int]]:
    """Put the joints in an order where each stands after its parent; returns the number of the bone of each."""
    children = _read_children(path, lines, bones)
    order, parents = [0], [-1]
    for place, number in enumerate(order):  # grows while we walk it
        order += children.get(number, [])
        parents += [place] * len(children.get(number, []))
    if len(order) < len(bones):
        lost = next(bone for number, bone in enumerate(bones) if number not in set(order))
        raise line_error(
            path, lost.line, "each bone to hang on the root by :hierarchy", f"{lost.name!r}, which does not"
        )
    # A bone begins where its parent ends; the root is a point.
    offsets = np.array([np.zeros(3) if parent < 0 else bones[order[parent]].end for parent in parents])
    inner = set(parents)
    tips = {joint: bones[number].end for joint, number in enumerate(order) if joint not in inner}
    return Hierarchy(tuple(bones[number].name for number in order), tuple(parents), offsets, tips), order


def _read_children(path: Path, lines: list[Line], bones: list[Bone]) -> Mapping[int, list[int]]:
    numbers = {bone.name: number for number, bone in enumerate(bones)}
    children: dict[int, list[int]] = {}
    taken = {0}
    for line, text in lines:
        parent, *names = (word.decode("utf-8", errors="replace") for word in text.split())
        if not names and parent.lower() in ("begin", "end"):
            continue
        for name in (parent, *names):
            if name not in numbers:
                raise line_error(path, line, "bones that :bonedata describes", repr(name))
        for child in (numbers[name] for name in names):
            if child in taken:
                raise line_error(path, line, "one parent for each bone", f"another for {bones[child].name!r}")
            taken.add(child)
            children.setdefault(numbers[parent], []).append(child)
    return children
