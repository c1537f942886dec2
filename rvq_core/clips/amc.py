"""Reader of AMC (Acclaim motion capture) files with the ASF skeleton that lies beside them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rvq_core.clips.asf import AcclaimSkeleton, Bone, read_asf
from rvq_core.clips.checks import check_fps
from rvq_core.clips.clip import Clip
from rvq_core.clips.hierarchy import SkeletonMotion, compose_turns
from rvq_core.clips.humanoid import to_smplx
from rvq_core.clips.motion import SmplxMotion
from rvq_core.clips.rows import Line, line_error, read_numbers, strange_rows, text_lines
from rvq_core.errors import ClipError

Array = NDArray[np.float64]

_ASSUMED_FPS = 120.0  # CMU's, where nearly all of these files come from
_LONGEST_LINE = 10_000


def read_amc(
    path: Path,
    *,
    representation: str | None = None,  # noqa: ARG001 - every reader is called alike
    fps: float | None = None,
    bone_map: Mapping[str, str] | None = None,
) -> Clip:
    """Read a motion and retarget it to SMPL-X, as a smplx_rot6d clip.

    The file has no frame rate: ``fps``, or 120 as in CMU's (a note says so).
    """
    return read_motion(path, fps=fps, bone_map=bone_map).to_clip(path.stem, path)


def refuse_asf(
    path: Path,
    *,
    representation: str | None = None,  # noqa: ARG001 - every reader is called alike
    fps: float | None = None,  # noqa: ARG001 - as above
    bone_map: Mapping[str, str] | None = None,  # noqa: ARG001 - as above
) -> Clip:
    """Say that a skeleton alone is no motion."""
    raise ClipError(
        str(path),
        expected="a motion",
        found="a skeleton (ASF), which holds none",
        do="give the AMC files beside it; their skeleton is found by its name",
    )


def read_motion(path: Path, *, fps: float | None = None, bone_map: Mapping[str, str] | None = None) -> SmplxMotion:
    """Read a motion and retarget it to SMPL-X; ``bone_map`` as for BVH files."""
    return to_smplx(parse_amc(path, fps=fps), str(path), bone_map)


def parse_amc(path: Path, *, fps: float | None = None, skeleton: Path | None = None) -> SkeletonMotion:
    """Read a motion as it stands in the file, in its own units and axes; ``skeleton`` is the ASF file."""
    acclaim = read_asf(skeleton or find_asf(path))
    degrees, rows = _split_header(path, acclaim.degrees)
    layout = _read_layout(path, rows, acclaim)
    values = _read_values(path, rows, layout)
    turns, moved = _decode(acclaim, layout, values, degrees)
    rate, notes = _frame_rate(fps)
    silent = [
        bone.name for bone in acclaim.bones if bone.channels and bone.name not in {entry.name for entry in layout}
    ]
    if silent:
        notes = (*notes, f"bones of the skeleton without motion in the file: {', '.join(silent)}")
    return SkeletonMotion(acclaim.hierarchy, turns, moved, rate, notes)


def find_asf(path: Path) -> Path:
    """Find the skeleton of an AMC file in its folder.

    It has the same stem, or the stem up to an underscore (01_02.amc -> 01.asf), or is the only one.
    """
    found = {file.stem.lower(): file for file in sorted(path.parent.iterdir()) if file.suffix.lower() == ".asf"}
    words = path.stem.lower().split("_")
    for count in range(len(words), 0, -1):
        if "_".join(words[:count]) in found:
            return found["_".join(words[:count])]
    if len(found) == 1:
        return next(iter(found.values()))
    raise ClipError(
        str(path),
        expected=f"its skeleton beside it: {path.stem}.asf or {words[0]}.asf",
        found=f"{len(found)} other .asf files" if found else "no .asf file",
        do="put the ASF file of this subject into the same folder",
    )


class Entry(NamedTuple):
    """A line of each frame: a bone's name and the number of its values."""

    name: str
    values: int


def _frame_rate(fps: float | None) -> tuple[float, tuple[str, ...]]:
    if fps is not None:
        return check_fps(fps, "fps"), ()
    return _ASSUMED_FPS, (f"{_ASSUMED_FPS:g} frames a second assumed: the file names no frame rate",)


def _split_header(path: Path, degrees: bool) -> tuple[bool, list[Line]]:
    """Tell whether angles are degrees, and list the lines from the first frame on."""
    rows: list[Line] = []
    for number, text in enumerate(text_lines(path), start=1):
        if len(text) > _LONGEST_LINE:
            raise line_error(
                path, number, f"lines of at most {_LONGEST_LINE} characters", f"{len(text)}", "give an AMC file"
            )
        words = text.split(None, 1)
        if not words or words[0].startswith(b"#"):
            continue
        if words[0].startswith(b":"):
            header = words[0].lower()
            degrees = True if header == b":degrees" else False if header == b":radians" else degrees
        else:
            rows.append(Line(number, text))
    if not rows or not rows[0].text.strip().isdigit():
        raise ClipError(
            f"{path}: line {rows[0].number}" if rows else str(path),
            expected="an AMC file: a frame's number, then a line for each bone",
            found="something else" if rows else "no frame",
            do="give a motion recorded with an ASF skeleton",
        )
    return degrees, rows


def _read_layout(path: Path, rows: list[Line], acclaim: AcclaimSkeleton) -> list[Entry]:
    """Read the bones of the first frame, and check them against the skeleton; all frames must be alike."""
    known = {bone.name: len(bone.channels) for bone in acclaim.bones}
    layout: list[Entry] = []
    for number, text in rows[1:]:
        word, *values = text.split()
        name = word.decode("utf-8", errors="replace")
        if name.isdigit() and not values:
            break
        if name not in known:
            raise line_error(
                path, number, "a bone of the skeleton", repr(name[:40]), "give the ASF file of the same subject"
            )
        if any(name == entry.name for entry in layout):
            raise line_error(path, number, "the number of the next frame", f"{name!r} again")
        if len(values) != known[name]:
            raise line_error(path, number, f"{known[name]} values for {name}", f"{len(values)}")
        layout.append(Entry(name, len(values)))
    if not layout:
        raise line_error(path, rows[0].number, "lines of bones in the frame", "none")
    return layout


def _read_values(path: Path, rows: list[Line], layout: list[Entry]) -> Array:
    """Values [T, C] of all frames, the bones' one after the other."""
    height = 1 + len(layout)
    frames = -(-len(rows) // height)
    values = np.empty((frames, sum(entry.values for entry in layout)))
    names = [entry.name.encode() for entry in layout]
    for frame in range(frames):
        block = rows[frame * height : (frame + 1) * height]
        words = [line.text.split() for line in block]
        if [line[0] for line in words[1:]] != names or [len(line) - 1 for line in words] != [
            0,
            *(e.values for e in layout),
        ]:
            raise _frame_error(path, block, words, layout)
        try:
            values[frame] = [float(word) for line in words[1:] for word in line[1:]]
        except ValueError:
            _check_block(path, block)
    for frame in strange_rows(values):
        _check_block(path, rows[frame * height : (frame + 1) * height])
    return values


def _frame_error(path: Path, block: list[Line], words: list[list[bytes]], layout: list[Entry]) -> ClipError:
    """Name the first line of a frame that is not as in the first frame, or the frame's end where it is cut short."""
    if len(words[0]) != 1 or not words[0][0].isdigit():
        return line_error(
            path, block[0].number, "the number of the next frame", repr(words[0][0].decode(errors="replace")[:40])
        )
    for line, found, entry in zip(block[1:], words[1:], layout, strict=False):
        if found[0] != entry.name.encode() or len(found) != entry.values + 1:
            told = f"{found[0].decode(errors='replace')[:40]!r} with {len(found) - 1}"
            return line_error(
                path, line.number, f"{entry.name!r} with {entry.values} values, as in the first frame", told
            )
    found = f"the end of the file after {len(block) - 1}"
    return line_error(
        path, block[-1].number, f"{len(layout)} bones in the frame", found, "get the whole file: this one is cut short"
    )


def _check_block(path: Path, block: list[Line]) -> None:
    for number, text in block[1:]:
        read_numbers(path, number, text.split()[1:])


def _decode(
    acclaim: AcclaimSkeleton, layout: list[Entry], values: Array, degrees: bool
) -> tuple[Array, dict[int, Array]]:
    """Local rotations [T, J, 3, 3], and the places [T, 3] of the joints that have translations."""
    hierarchy = acclaim.hierarchy
    turns = np.tile(np.eye(3), (len(values), len(hierarchy.names), 1, 1))
    moved: dict[int, Array] = {}
    column = 0
    for name, width in layout:
        joint = hierarchy.numbers[name]
        own = dict(zip(acclaim.bones[joint].channels, values[:, column : column + width].T, strict=True))
        column += width
        turns[:, joint] = _turns(acclaim.bones[joint], own, degrees)
        shift = {axis: own[f"t{axis}"] for axis in "xyz" if f"t{axis}" in own}
        if shift:
            moved[joint] = hierarchy.offsets[joint] + np.stack(
                [shift.get(axis, np.zeros(len(values))) for axis in "xyz"], axis=1
            )
    return turns, moved


def _turns(bone: Bone, own: Mapping[str, Array], degrees: bool) -> Array:
    """Turns [T, 3, 3] about the bone's own axes, as seen in the world's: the first channel is applied first."""
    axes = "".join(channel[1].upper() for channel in bone.channels if channel.startswith("r"))
    if not axes:
        return np.eye(3)
    angles = np.stack([own[f"r{axis.lower()}"] for axis in reversed(axes)], axis=1)
    return bone.axes @ compose_turns(angles if degrees else np.degrees(angles), axes[::-1]) @ bone.axes.T
