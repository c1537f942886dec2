"""Reader of BVH (Biovision hierarchy) motion files.

The format has no standard, only habits: position channels stand for a joint's OFFSET (on the root and, in some data
sets, on every joint), rotation channels multiply in the order in which they are listed, units and axes are anybody's.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rvq_core.clips.checks import nominal_fps
from rvq_core.clips.clip import Clip
from rvq_core.clips.hierarchy import Hierarchy, SkeletonMotion, compose_turns
from rvq_core.clips.humanoid import to_smplx
from rvq_core.clips.motion import SmplxMotion
from rvq_core.clips.rows import Line, check_count, line_error, read_numbers, read_rows, text_lines
from rvq_core.errors import ClipError

Array = NDArray[np.float64]

_MOST_JOINTS = 1000
_DEEPEST = 200
_LONGEST_LINE = 10_000  # of the hierarchy, in bytes
_CHANNELS = {f"{axis.lower()}{kind}": (kind, axis) for axis in "XYZ" for kind in ("position", "rotation")}

# A first frame counts as a calibration pose if leaving it takes a leap of this part of the skeleton's size, and of
# this many times the largest of the ten steps after it.
_LEAP_OF_SIZE = 0.08
_LEAP_OF_STEPS = 5.0


def read_bvh(
    path: Path,
    *,
    representation: str | None = None,  # noqa: ARG001 - every reader is called alike
    fps: float | None = None,  # noqa: ARG001 - the file names its own
    bone_map: Mapping[str, str] | None = None,
) -> Clip:
    """Read a motion and retarget it to SMPL-X, as a smplx_rot6d clip at the file's own frame rate."""
    return read_motion(path, bone_map=bone_map).to_clip(path.stem, path)


def read_motion(path: Path, *, bone_map: Mapping[str, str] | None = None) -> SmplxMotion:
    """Read a motion and retarget it to SMPL-X.

    ``bone_map`` names a source bone for SMPL-X joints where the names that are known do not do. A first frame that is
    a calibration pose is left out.
    """
    return to_smplx(_without_calibration(parse_bvh(path)), str(path), bone_map)


def parse_bvh(path: Path) -> SkeletonMotion:
    """Read skeleton and motion as they stand in the file, every frame, in its own units and axes."""
    lines = text_lines(path)
    start = next(
        (n for n, line in enumerate(lines) if line.split(None, 1)[:1] and _is(line.split(None, 1)[0], "motion")), None
    )
    if start is None:
        raise ClipError(
            str(path),
            expected="a BVH file with HIERARCHY and MOTION",
            found="no line MOTION",
            do="give a whole BVH file",
        )
    hierarchy, channels = _Header(path, lines[:start]).read()
    declared, frame_time, first = _read_timing(path, lines, start + 1)
    rows = [Line(n, lines[n - 1]) for n in range(first + 1, len(lines) + 1) if lines[n - 1].strip()]
    notes = check_count(path, declared, len(rows))
    values = read_rows(path, rows, len(channels))
    turns, moved = _decode(hierarchy, channels, values)
    return SkeletonMotion(hierarchy, turns, moved, nominal_fps(1 / frame_time), notes)


class Channel(NamedTuple):
    """One column of the motion: a ``kind`` (position or rotation) of a joint, about or along ``axis``."""

    joint: int
    kind: str
    axis: str


def _is(token: bytes, word: str) -> bool:
    return token.lower() == word.encode()


@dataclass(slots=True)
class _Header:
    """The HIERARCHY part, read token by token."""

    path: Path
    lines: list[bytes]
    names: list[str] = field(default_factory=list[str])
    parents: list[int] = field(default_factory=list[int])
    offsets: dict[int, Array] = field(default_factory=dict[int, Array])
    tips: dict[int, Array] = field(default_factory=dict[int, Array])
    channels: list[Channel] = field(default_factory=list[Channel])
    line: int = 0

    def read(self) -> tuple[Hierarchy, list[Channel]]:
        """Read the joints in the order of the file, which is the order of the motion's columns."""
        tokens = self._tokens()
        if not _is(next(tokens, b""), "hierarchy"):
            raise self._error("HIERARCHY at the beginning", "something else", "give a BVH file")
        open_joints: list[int] = []  # from the root down to where we are; -1 inside an End Site
        for token in tokens:
            match token.lower():
                case b"root" | b"joint":
                    self._begin_joint(tokens, open_joints)
                case b"end":
                    self._expect_brace(tokens)
                    open_joints.append(-1)
                case b"offset":
                    self._read_offset(tokens, open_joints)
                case b"channels":
                    self._read_channels(tokens, open_joints)
                case b"}" if open_joints:
                    open_joints.pop()
                case _:
                    raise self._error(
                        "ROOT, JOINT, End Site, OFFSET, CHANNELS or a brace", repr(token.decode(errors="replace"))
                    )
        return self._finish(open_joints)

    def _tokens(self) -> Iterator[bytes]:
        for number, line in enumerate(self.lines, start=1):
            self.line = number
            if len(line) > _LONGEST_LINE:
                raise self._error(
                    f"lines of at most {_LONGEST_LINE} characters in the hierarchy", f"{len(line)}", "give a BVH file"
                )
            yield from line.replace(b"{", b" { ").replace(b"}", b" } ").split()

    def _begin_joint(self, tokens: Iterator[bytes], open_joints: list[int]) -> None:
        if self.names and (not open_joints or open_joints[-1] < 0):
            raise self._error(
                "one ROOT, with all joints inside it", "a joint outside", "split the file into one file a skeleton"
            )
        if len(self.names) >= _MOST_JOINTS or len(open_joints) >= _DEEPEST:
            raise self._error(
                f"at most {_MOST_JOINTS} joints, at most {_DEEPEST} deep", "more", "give the motion of one person"
            )
        self.parents.append(open_joints[-1] if open_joints else -1)
        self.names.append(self._expect_brace(tokens) or f"joint {len(self.names)}")
        open_joints.append(len(self.names) - 1)

    def _expect_brace(self, tokens: Iterator[bytes]) -> str:
        """Read on to the next opening brace; what stands before it is a name (and may hold spaces)."""
        words: list[bytes] = []
        for token in tokens:
            if token == b"{":
                return b" ".join(words).decode("utf-8", errors="replace")
            if token == b"}" or len(words) > 20:
                break
            words.append(token)
        raise self._error("an opening brace after a joint's name", "none")

    def _read_offset(self, tokens: Iterator[bytes], open_joints: list[int]) -> None:
        offset = np.array(read_numbers(self.path, self.line, [next(tokens, b"") for _ in range(3)]))
        if not open_joints:
            raise self._error("OFFSET inside a joint", "one outside")
        if open_joints[-1] >= 0:
            self.offsets[open_joints[-1]] = offset
        elif len(open_joints) > 1:
            self.tips.setdefault(open_joints[-2], offset)

    def _read_channels(self, tokens: Iterator[bytes], open_joints: list[int]) -> None:
        if not open_joints or open_joints[-1] < 0:
            raise self._error("CHANNELS inside a joint", "them elsewhere")
        count = next(tokens, b"")
        if not count.isdigit() or int(count[:3]) > 6:
            raise self._error("a number of channels from 0 to 6", repr(count.decode(errors="replace")))
        for _ in range(int(count)):
            name = next(tokens, b"").decode("utf-8", errors="replace")
            if name.lower() not in _CHANNELS:
                raise self._error("a channel such as Xposition or Zrotation", repr(name))
            channel = Channel(open_joints[-1], *_CHANNELS[name.lower()])
            if channel in self.channels:
                raise self._error("each channel of a joint once", f"{name} twice")
            self.channels.append(channel)

    def _finish(self, open_joints: list[int]) -> tuple[Hierarchy, list[Channel]]:
        if not self.names or open_joints:
            raise self._error(
                "a joint with as many closing as opening braces", "none" if not self.names else "braces left open"
            )
        missing = [name for joint, name in enumerate(self.names) if joint not in self.offsets]
        if missing:
            raise self._error("an OFFSET in every joint", f"none in {missing[0]}")
        if not self.channels:
            raise self._error("CHANNELS in at least one joint", "none")
        offsets = np.array([self.offsets[joint] for joint in range(len(self.names))])
        return Hierarchy(tuple(self.names), tuple(self.parents), offsets, self.tips), self.channels

    def _error(self, expected: str, found: str, do: str = "repair or leave out this file") -> ClipError:
        return line_error(self.path, self.line, expected, found, do)


_FRAMES = re.compile(rb"\s*frames\s*:\s*(\S+)\s*$", re.IGNORECASE)
_FRAME_TIME = re.compile(rb"\s*frame\s*time\s*:\s*(\S+)\s*$", re.IGNORECASE)


def _read_timing(path: Path, lines: list[bytes], start: int) -> tuple[int, float, int]:
    """Read `Frames:` and `Frame Time:`, in either order; returns both and the number of lines read so far."""
    frames: int | None = None
    seconds: float | None = None
    for number, line in enumerate(lines[start:], start=start + 1):
        if not line.strip():
            continue
        if match := _FRAMES.match(line):
            if not match[1].isdigit() or len(match[1]) > 18:
                raise line_error(path, number, "a number of frames", repr(match[1].decode(errors="replace")[:40]))
            frames = int(match[1])
        elif match := _FRAME_TIME.match(line):
            (seconds,) = read_numbers(path, number, [match[1]])
            if not 1e-5 <= seconds <= 100:
                raise line_error(path, number, "a frame time between 1e-5 and 100 seconds", f"{seconds:g}")
        else:
            raise line_error(path, number, "`Frames:` and `Frame Time:` after MOTION", "something else")
        if frames is not None and seconds is not None:
            return frames, seconds, number
    raise line_error(path, len(lines), "`Frames:` and `Frame Time:` after MOTION", "the end of the file")


def _decode(hierarchy: Hierarchy, channels: list[Channel], values: Array) -> tuple[Array, dict[int, Array]]:
    """Local rotations [T, J, 3, 3], and the places [T, 3] of the joints that have position channels."""
    turns = np.empty((len(values), len(hierarchy.names), 3, 3))
    for axes, joints in _by_axes(hierarchy, channels).items():
        numbers = list(joints)
        turns[:, numbers] = compose_turns(values[:, [joints[joint] for joint in numbers]], axes)
    moved: dict[int, Array] = {}
    for column, channel in enumerate(channels):
        if channel.kind == "position":
            # An axis without a channel keeps the OFFSET's value.
            place = moved.setdefault(channel.joint, np.tile(hierarchy.offsets[channel.joint], (len(values), 1)))
            place[:, "XYZ".index(channel.axis)] = values[:, column]
    return turns, moved


def _by_axes(hierarchy: Hierarchy, channels: list[Channel]) -> dict[str, dict[int, list[int]]]:
    """Group joints by the order of their rotation channels: their columns, in that order."""
    columns: dict[int, list[int]] = {joint: [] for joint in range(len(hierarchy.names))}
    for column, channel in enumerate(channels):
        if channel.kind == "rotation":
            columns[channel.joint].append(column)
    groups: dict[str, dict[int, list[int]]] = {}
    for joint, own in columns.items():
        groups.setdefault("".join(channels[column].axis for column in own), {})[joint] = own
    return groups


def _without_calibration(motion: SkeletonMotion) -> SkeletonMotion:
    """Leave out a first frame from which the joints leap into the motion, as in cgspeed's conversions of CMU."""
    positions = motion.posed(12).positions
    if len(positions) < 4:
        return motion
    steps = np.linalg.norm(np.diff(positions, axis=0), axis=-1).max(axis=1)
    leap, size = float(steps[0]), float(np.ptp(positions[0], axis=0).max())
    if leap < _LEAP_OF_SIZE * size or leap < _LEAP_OF_STEPS * float(steps[1:].max()):
        return motion
    note = f"first frame left out: a calibration pose, from which joints leap {leap * motion.fps:,.0f} units a second"
    moved = {joint: places[1:] for joint, places in motion.moved.items()}
    return replace(motion, rotations=motion.rotations[1:], moved=moved, notes=(*motion.notes, note))
