"""Motion files as the tests write them: a person in BVH, in ASF/AMC, in DeepMimic's JSON."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

# First column of each joint in a DeepMimic frame.
COLUMNS = {
    "root": 4, "chest": 8, "neck": 12, "right_hip": 16, "right_knee": 20, "right_ankle": 21, "right_shoulder": 25,
    "right_elbow": 29, "left_hip": 30, "left_knee": 34, "left_ankle": 35, "left_shoulder": 39, "left_elbow": 43,
}  # fmt: skip


# A person in centimetres, y up, facing +z, left = +x, arms out to the sides: (joint, parent, offset).
PERSON = [
    ("Hips", None, (0, 0, 0)), ("Spine", "Hips", (0, 12, 0)), ("Chest", "Spine", (0, 20, 0)),
    ("Neck", "Chest", (0, 22, 0)), ("Head", "Neck", (0, 9, 2)),
    *((side + name, {"Hips": "Hips", "Chest": "Chest"}.get(parent, side + parent), (x * sign, y, z))
      for side, sign in (("Left", 1), ("Right", -1))
      for name, parent, (x, y, z) in (
          ("Shoulder", "Chest", (6, 18, 0)), ("Arm", "Shoulder", (12, 2, 0)), ("ForeArm", "Arm", (28, 0, 0)),
          ("Hand", "ForeArm", (25, 0, 0)), ("UpLeg", "Hips", (9, -5, 0)), ("Leg", "UpLeg", (0, -42, 0)),
          ("Foot", "Leg", (0, -42, 0)), ("ToeBase", "Foot", (0, -6, 14)),
      )),
]  # fmt: skip


@dataclass
class Source:
    """A BVH file to be: joints, offsets and the channels' values by name, such as `LeftLeg.Xrotation` [T]."""

    frames: int
    joints: list = field(default_factory=lambda: list(PERSON))
    values: dict = field(default_factory=dict)
    order: str = "ZXY"
    positions: tuple = ("Hips",)  # the joints with position channels
    tip: tuple = (0.0, 0.0, 0.0)
    frame_time: str = "0.0333333"
    declared: int | None = None

    def turned(self, **channels) -> Source:
        """With other values: `LeftLeg_X` turns, `LeftLeg_x` moves; each a number or [T]."""
        named = {
            f"{key[:-2]}.{key[-1].upper()}{'rotation' if key[-1].isupper() else 'position'}": value
            for key, value in channels.items()
        }
        return replace(self, values={**self.values, **named})

    def channels(self, joint: str) -> list[str]:
        moves = [f"{axis}position" for axis in "XYZ"] if joint in self.positions else []
        return [*moves, *(f"{axis}rotation" for axis in self.order)]

    def rows(self) -> np.ndarray:
        columns = []
        for joint in self.written():
            offset = dict(zip("XYZ", next(o for name, _, o in self.joints if name == joint), strict=True))
            for channel in self.channels(joint):
                usual = 95.0 * (channel == "Yposition") if joint == "Hips" else offset[channel[0]]
                usual = usual if channel.endswith("position") else 0.0
                columns.append(np.broadcast_to(self.values.get(f"{joint}.{channel}", usual), self.frames))
        return np.stack(columns, axis=1)

    def written(self) -> list[str]:
        def walk(joint):
            return [joint, *(name for child, parent, _ in self.joints if parent == joint for name in walk(child))]

        return walk(self.joints[0][0])

    def text(self) -> str:
        lines = ["HIERARCHY"]

        def walk(joint, keyword, depth):
            offset = next(o for name, _, o in self.joints if name == joint)
            channels, pad = self.channels(joint), "\t" * depth
            lines.extend((f"{pad}{keyword} {joint}", pad + "{"))
            lines.append(f"{pad}\tOFFSET {' '.join(repr(float(v)) for v in offset)}")
            lines.append(f"{pad}\tCHANNELS {len(channels)} {' '.join(channels)}")
            children = [name for name, parent, _ in self.joints if parent == joint]
            for child in children:
                walk(child, "JOINT", depth + 1)
            if not children:
                tip = " ".join(map(str, self.tip))
                lines.extend((f"{pad}\tEnd Site", pad + "\t{", f"{pad}\t\tOFFSET {tip}", pad + "\t}"))
            lines.append(pad + "}")

        walk(self.joints[0][0], "ROOT", 0)
        lines += ["MOTION", f"Frames: {self.declared or self.frames}", f"Frame Time: {self.frame_time}"]
        lines += [" ".join(repr(float(value)) for value in row) for row in self.rows()]
        return "\n".join(lines) + "\n"


ASF_BONES = {  # bone: (parent, direction, length, axis, channels); the person above, legs apart by 20 degrees
    "lowerback": ("root", (0, 1, 0), 12, (0, 0, 0), "rx ry rz"),
    "thorax": ("lowerback", (0, 1, 0), 30, (0, 0, 0), "rx ry rz"),
    "head": ("thorax", (0, 1, 0), 20, (0, 0, 0), "rx ry rz"),
} | {
    side + name: (
        {"root": "root", "thorax": "thorax"}.get(parent, side + parent), (x * sign, y, z), length,
        (a, b * sign, c * sign), channels,
    )
    for side, sign in (("l", 1), ("r", -1))
    for name, parent, (x, y, z), length, (a, b, c), channels in (
        ("hipjoint", "root", (9, -5, 0), 10.3, (0, 0, 0), ""),
        ("femur", "hipjoint", (0.34202, -0.93969, 0), 42, (0, 0, 20), "rx ry rz"),
        ("tibia", "femur", (0.34202, -0.93969, 0), 42, (0, 0, 20), "rx"),
        ("foot", "tibia", (0.06657, -0.18291, 0.98087), 14, (-90, 0, 20), "rx rz"),
        ("toes", "foot", (0, 0, 1), 5, (-90, 0, 20), "rx"),
        ("clavicle", "thorax", (0.94, 0.33, 0), 18, (0, 0, 0), "ry rz"),
        ("humerus", "clavicle", (1, 0, 0), 28, (180, -30, -90), "rx ry rz"),
        ("radius", "humerus", (1, 0, 0), 25, (180, -30, -90), "rx"),
        ("hand", "radius", (1, 0, 0), 10, (0, 90, 90), "rx rz"),
    )
}  # fmt: skip


def asf_text(bones=ASF_BONES, *, angle: str = "deg", order: str = "TX TY TZ RX RY RZ") -> str:
    unit = 1 if angle == "deg" else np.pi / 180
    lines = ["# a comment", ":version 1.10", ":name TEST", ":units", "  mass 1.0", "  length 0.45", f"  angle {angle}"]
    lines += [":root", f"  order {order}", "  axis XYZ", "  position 0 0 0", "  orientation 0 0 0", ":bonedata"]
    for number, (name, (_, direction, length, axis, channels)) in enumerate(bones.items(), start=1):
        lines += ["  begin", f"    id {number}", f"    name {name}", f"    direction {' '.join(map(str, direction))}"]
        lines += [f"    length {length}", f"    axis {' '.join(str(unit * a) for a in axis)} XYZ"]
        if channels:
            lines += [f"    dof {channels}", "    limits (-160.0 20.0)", "           (-70.0 70.0)"]
        lines.append("  end")
    lines += [":hierarchy", "  begin"]
    for parent in ("root", *bones):
        children = [name for name, (above, *_) in bones.items() if above == parent]
        lines += [f"    {' '.join([parent, *children])}"] if children else []
    return "\n".join([*lines, "  end", ""])


def amc_text(frames, bones=ASF_BONES, *, header: str = ":FULLY-SPECIFIED\n:DEGREES\n") -> str:
    """Each frame is {bone: values}; the root stands at height 92, all else is 0."""
    text = "#!OML:ASF test\n" + header
    for number, given in enumerate(frames, start=1):
        text += f"{number}\n"
        values = {"root": [0, 92, 0, 0, 0, 0]} | {
            name: [0] * len(channels.split()) for name, (*_, channels) in bones.items() if channels
        }
        for name, row in (values | given).items():
            text += f"{name} {' '.join(map(str, row))}\n"
    return text


def deepmimic_frame(duration: float = 1 / 30, position=(0.0, 0.88, 0.0), **turns) -> list[float]:
    """A DeepMimic frame: the rest pose (arms hanging) with some joints turned: quaternion wxyz, or an angle."""
    row = [0.0] * 44
    row[0], row[1:4] = duration, position
    for name, column in COLUMNS.items():
        if not name.endswith(("knee", "elbow")):
            row[column] = 1.0
    for name, turn in turns.items():
        values = [turn] if np.isscalar(turn) else list(turn)
        row[COLUMNS[name] : COLUMNS[name] + len(values)] = values
    return row
