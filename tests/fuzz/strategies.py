"""What hypothesis makes files of: whole ones with odd contents, and texts that only look like one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

NAMES = st.from_regex(r"[A-Za-z_][A-Za-z0-9_:.]{0,8}", fullmatch=True)
SPACES = st.sampled_from([" ", "  ", "\t", " \t "])
ENDS = st.sampled_from(["\n", "\r\n", "\n\n", " \n"])
PLACES = st.floats(-1e3, 1e3).map(lambda value: round(value, 4))
ANGLES = st.floats(-720, 720).map(lambda value: round(value, 4))


@dataclass(frozen=True)
class Bvh:
    """A BVH file to be: joints with parents before them, each with its rotation channels; ``values`` [T, channels]."""

    names: list[str]
    parents: list[int]
    offsets: list[tuple[float, float, float]]
    axes: list[str]
    values: list[list[float]]
    frame_time: float
    space: str
    end: str
    upper: bool

    def text(self) -> str:
        lines = [
            "HIERARCHY",
            *self._joint(0),
            "MOTION",
            f"Frames: {len(self.values)}",
            f"Frame Time: {self.frame_time}",
        ]
        lines += [self.space.join(map(str, row)) for row in self.values]
        return self.end.join(lines) + self.end

    def _joint(self, joint: int) -> list[str]:
        channels = [f"{axis}rotation" for axis in self.axes[joint]]
        channels = ["Xposition", "Yposition", "Zposition", *channels] if joint == 0 else channels
        said = [self._said("JOINT" if joint else "ROOT", self.names[joint]), "{"]
        said.append(self._said("OFFSET", *map(str, self.offsets[joint])))
        said.append(self._said("CHANNELS", str(len(channels)), *channels))
        children = [child for child, parent in enumerate(self.parents) if parent == joint]
        for child in children:
            said += self._joint(child)
        if not children:
            said += ["End Site", "{", self._said("OFFSET", "0", "1", "0"), "}"]
        return [*said, "}"]

    def _said(self, word: str, *rest: str) -> str:
        return self.space.join([word if self.upper else word.lower(), *rest])

    def order(self) -> list[int]:
        """Joints as the file lists them: each with all below it before the next."""
        below = [child for child, parent in enumerate(self.parents) if parent == 0]
        found = [0]
        while below:
            joint = below.pop(0)
            found.append(joint)
            below = [child for child, parent in enumerate(self.parents) if parent == joint] + below
        return found


@st.composite
def bvh_files(draw: st.DrawFn) -> Bvh:
    joints = draw(st.integers(1, 7))
    axes = draw(st.lists(st.permutations("XYZ").map("".join), min_size=joints, max_size=joints))
    width = 3 + 3 * joints
    frames = draw(st.integers(1, 3))
    return Bvh(
        names=draw(st.lists(NAMES, min_size=joints, max_size=joints, unique=True)),
        parents=[-1, *(draw(st.integers(0, joint - 1)) for joint in range(1, joints))],
        offsets=draw(st.lists(st.tuples(PLACES, PLACES, PLACES), min_size=joints, max_size=joints)),
        axes=axes,
        values=draw(st.lists(st.lists(ANGLES, min_size=width, max_size=width), min_size=frames, max_size=frames)),
        frame_time=draw(st.sampled_from([0.0333333, 0.008333, 0.05, 1.0])),
        space=draw(SPACES),
        end=draw(ENDS),
        upper=draw(st.booleans()),
    )


KEYS = st.sampled_from(
    ["poses", "trans", "mocap_frame_rate", "mocap_framerate", "betas", "gender", "root_orient", "pose_body", "surface",
     "motion", "joints", "latents", "indices", "expressions", "a"]
)  # fmt: skip
"""Names that archives of motion use, and one that they do not."""

KINDS = st.one_of(
    arrays.floating_dtypes(), arrays.integer_dtypes(), arrays.boolean_dtypes(), arrays.complex_number_dtypes(),
    arrays.byte_string_dtypes(max_len=4), arrays.unicode_string_dtypes(max_len=4), arrays.datetime64_dtypes(),
)  # fmt: skip
ARRAYS = KINDS.flatmap(lambda kind: arrays.arrays(kind, arrays.array_shapes(min_dims=0, max_dims=4, max_side=6)))
MOTION = st.tuples(st.integers(1, 4), st.sampled_from([63, 156, 165, 263, 330])).flatmap(
    lambda shape: arrays.arrays(np.float32, shape, elements=st.floats(width=32) | st.just(0.0))
)
ARCHIVES = st.dictionaries(KEYS, ARRAYS | MOTION, max_size=5)

WORDS = st.text(st.characters(codec="utf-8"), max_size=30)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | WORDS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS, inner, max_size=4), max_leaves=15,
)  # fmt: skip
SETTINGS = st.sampled_from(["vq_act", "vq_norm", "dilation_growth_rate", "mu", "nb_code", "dataset_name"])
