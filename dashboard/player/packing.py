"""The bytes that the player draws: a JSON header and arrays behind it.

Layout: the length of the header (uint32, little endian), the header (UTF-8), zeros up to a multiple of 8, then the
arrays, each from a multiple of 8 on. The header's ``arrays`` tell name, type, shape and place (from the end of the
header's padding) of each.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from plotly.colors import sequential

from dashboard.figures import theme
from dashboard.player.view import View
from rvq_core.playback import Figure, Playback

MOST_BYTES = 2_000_000
"""Motion sent at once, so that the whole page stays under 3 MB: 55 joints with 6 quantizers for 20 s at 30 fps."""

ALIGNMENT = 8
TYPES = {"int16": "<i2", "uint16": "<u2", "float32": "<f4"}
MILLIMETRES = 1000.0
FARTHEST_MM = 32_767
"""Joints farther than this from their root (32.8 m, in int16) are drawn there: only a broken decoder puts them so."""

FACE = ("jaw", "eye")
FINGERS = ("index", "middle", "ring", "pinky", "thumb")
FEET = ("foot", "ankle", "toe", "LA", "RA")
BODY_VIEW = {"centre": [0.0, 0.85, 0.0], "tall": 2.35}
"""Where the camera looks at a whole body, from under its root on the floor, and the metres that fit its picture."""

HIPS = (("left_hip", "right_hip"), ("LH", "RH"))
HEADS = ("head", "Head", "BUN")

COLOURS = {
    "light": {"original": theme.BLUE, "reconstruction": theme.VERMILLION, "beside": theme.GREEN},
    "dark": {"original": theme.SKY, "reconstruction": theme.ORANGE, "beside": theme.GREEN},
    "grey": theme.GREY,
    "error": [theme.SKY, theme.ORANGE, theme.VERMILLION],
    "share": list(sequential.Cividis),
}
"""Colours on a light and on a dark page; the scales of joint errors (small to large) and of shares (rare to common)."""


@dataclass(frozen=True, slots=True)
class Window:
    """Frames ``start`` to ``start + frames`` of a clip, whole tokens."""

    start: int
    frames: int

    @property
    def stop(self) -> int:
        """The first frame behind it."""
        return self.start + self.frames


@dataclass(frozen=True, slots=True, eq=False)
class Beside:
    """Another checkpoint's reconstruction, drawn with all its quantizers; ``reconstruction`` names the first's."""

    name: str
    playback: Playback
    reconstruction: str

    @property
    def told(self) -> dict[str, Any]:
        """What the player writes of it: its name, that of the other reconstruction, its error over the whole clip."""
        return {"name": self.name, "error": float(self.playback.errors[self._full]), "other": self.reconstruction}

    def joints(self, kept: slice) -> NDArray[np.float32]:
        """Joints [1, T, J, 3] of the frames ``kept``."""
        assert self.playback.figure is not None
        return self.playback.figure.reconstructions[self._full : self._full + 1, kept]

    @property
    def _full(self) -> int:
        return self.playback.depths.index(max(self.playback.depths))


def not_beside(playback: Playback, other: Playback) -> str | None:
    """Why the reconstruction of ``other`` cannot be drawn beside that of ``playback``; None where it can."""
    if playback.figure is None or other.figure is None:
        return (
            "The features of this clip do not tell joint positions to both checkpoints, so there is nothing to watch."
        )
    if playback.figure.names != other.figure.names or playback.clip.representation != other.clip.representation:
        return (
            f"The two checkpoints take motion on other joints ({playback.clip.representation}, "
            f"{other.clip.representation}), so they cannot be watched together."
        )
    if playback.clip.fps != other.clip.fps:
        return f"The two checkpoints take {playback.clip.fps:g} and {other.clip.fps:g} frames a second."
    return None


def window(playback: Playback, start_seconds: float = 0.0, most_bytes: int = MOST_BYTES) -> Window:
    """The part of the clip that is sent: all of it where it fits, else what fits from ``start_seconds`` on."""
    stride, total = playback.stride, playback.clip.frames
    fits = max(most_bytes // _bytes_a_token(playback), 1) * stride
    if fits >= total:
        return Window(0, total)
    wanted = round(start_seconds * playback.clip.fps / stride) * stride
    return Window(min(max(wanted, 0), total - fits), fits)


def payload(
    playback: Playback,
    shown: Window,
    shares: Sequence[NDArray[np.float64]],
    view: View,
    metric: str,
    beside: Beside | None = None,
) -> bytes:
    """All that the player draws of the frames ``shown``.

    ``shares`` holds each layer's share of tokens a code [K_q]; ``metric`` is the error's name for reading. A third
    figure stands ``beside`` the two: it must have these frames, and ``not_beside`` no objection.
    """
    arrays = _arrays(playback, shown, shares, beside)
    header = {
        "clip": {
            "name": playback.clip.name,
            "fps": playback.clip.fps,
            "start": shown.start,
            "frames": shown.frames,
            "total": playback.clip.frames,
            "stride": playback.stride,
            "notes": list(playback.clip.notes),
        },
        "depths": list(playback.depths),
        "metric": {"name": metric, "unit": playback.unit},
        "errors": playback.errors.tolist(),
        "figure": None if playback.figure is None else _figure(playback.figure, shown),
        "beside": None if beside is None else beside.told,
        "colours": COLOURS,
    }
    # The view is no part of the identity: it may change while the motion plays on.
    return pack(header | {"id": _identity(header, arrays), "view": view.told()}, arrays)


def pack(header: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """Write header and arrays one behind the other, as the module's docstring says."""
    places: dict[str, dict[str, Any]] = {}
    parts: list[bytes] = []
    place = 0
    for name, array in arrays.items():
        content = np.ascontiguousarray(array, dtype=TYPES[array.dtype.name]).tobytes()
        places[name] = {"type": array.dtype.name, "shape": list(array.shape), "at": place}
        parts.append(_padded(content))
        place += len(parts[-1])
    text = json.dumps({**header, "arrays": places}, allow_nan=False).encode()
    return b"".join([_padded(len(text).to_bytes(4, "little") + text), *parts])


def unpack(content: bytes) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Header and arrays of a payload."""
    length = int.from_bytes(content[:4], "little")
    header = json.loads(content[4 : 4 + length])
    start = -(-(4 + length) // ALIGNMENT) * ALIGNMENT
    arrays = {
        name: np.frombuffer(
            content, TYPES[told["type"]], count=int(np.prod(told["shape"])), offset=start + told["at"]
        ).reshape(told["shape"])
        for name, told in header["arrays"].items()
    }
    return header, arrays


def _padded(content: bytes) -> bytes:
    return content + bytes(-len(content) % ALIGNMENT)


def _bytes_a_token(playback: Playback) -> int:
    motions = 0 if playback.figure is None else 1 + len(playback.depths)
    joints = 0 if playback.figure is None else len(playback.figure.names)
    a_frame = motions * (joints * 3 * 2 + 3 * 4) + 4 * len(playback.depths)
    return playback.stride * a_frame + playback.tokens.shape[1] * (2 + 4)


def _arrays(
    playback: Playback, shown: Window, shares: Sequence[NDArray[np.float64]], beside: Beside | None
) -> dict[str, NDArray[Any]]:
    tokens = playback.tokens[shown.start // playback.stride : shown.stop // playback.stride]
    arrays: dict[str, NDArray[Any]] = {
        "tokens": tokens.astype(np.uint16),
        "shares": np.stack([share[tokens[:, q]] for q, share in enumerate(shares)], axis=1).astype(np.float32),
        "frame_errors": playback.frame_errors[:, shown.start : shown.stop].astype(np.float32),
    }
    if playback.figure is not None:
        arrays |= _joints(playback.figure, shown, beside)
    return arrays


def _joints(figure: Figure, shown: Window, beside: Beside | None) -> dict[str, NDArray[Any]]:
    """Roots [M, T, 3] in metres from where the original starts, joints [M, T, J, 3] in mm from their root."""
    kept = slice(shown.start, shown.stop)
    others = [] if beside is None else [beside.joints(kept)]
    motions = np.concatenate([figure.original[None, kept], figure.reconstructions[:, kept], *others])
    roots = motions[:, :, :1]
    local = np.rint((motions - roots) * MILLIMETRES).clip(-FARTHEST_MM, FARTHEST_MM)
    # Not the height: the floor stays where it is.
    start = roots[0, 0, 0] * np.array([1, 0, 1], dtype=np.float32)
    return {"roots": (roots[:, :, 0] - start).astype(np.float32), "joints": local.astype(np.int16)}


def _figure(figure: Figure, shown: Window) -> dict[str, Any]:
    names = figure.names
    drawn = [joint for joint, name in enumerate(names) if not _is_one_of(name, FACE)]
    floor = _floor(figure.original)
    whole = any(_is_one_of(name, FEET) for name in names)
    roots = figure.reconstructions[:, :, 0] - figure.original[:, 0]
    return {
        "names": list(names),
        "parents": list(figure.parents),
        "drawn": drawn,
        "thin": [joint for joint in drawn if _is_one_of(names[joint], FINGERS)],
        "head": next((names.index(name) for name in HEADS if name in names), None),
        "floor": floor,
        "facing": facing(figure.original[shown.start], names),
        "travels": figure.travels,
        "drifts": bool(np.abs(roots).max(initial=0.0) > 1 / MILLIMETRES),
        **(BODY_VIEW if whole else _part_view(figure.original, floor)),
    }


def _is_one_of(name: str, words: Sequence[str]) -> bool:
    return any(word in name.lower() or word == name for word in words)


def _part_view(joints: NDArray[np.float32], floor: float) -> dict[str, Any]:
    """The camera's place for a part of a body: on the middle of its joints, near enough to fill the picture."""
    local = (joints - joints[:, :1]).mean(axis=(0, 1))
    height = joints[..., 1].mean() - floor
    reach = np.linalg.norm(joints - joints.mean(axis=1, keepdims=True), axis=-1).max()
    return {"centre": [float(local[0]), float(height), float(local[2])], "tall": max(0.5, 2.4 * float(reach))}


def _floor(joints: NDArray[np.float32]) -> float:
    """Height of the floor: what the lowest joint of a frame is above in nine of ten frames, so one dip is none."""
    return float(np.quantile(joints[..., 1].min(axis=-1), 0.1))


def facing(joints: NDArray[np.float32], names: Sequence[str]) -> float:
    """Angle about y, from +z towards +x, in which the hips face; 0 where the skeleton does not name them."""
    for left, right in HIPS:
        if left in names and right in names:
            across = joints[names.index(left)] - joints[names.index(right)]
            return float(np.arctan2(-across[2], across[0]))
    return 0.0


def _identity(header: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> str:
    digest = hashlib.sha256(json.dumps(header, sort_keys=True).encode())
    for array in arrays.values():
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:16]
