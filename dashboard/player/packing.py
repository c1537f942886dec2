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
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from plotly.colors import sequential

from dashboard.figures import theme
from dashboard.player.skeleton import bones, camera, facing, floor_of
from dashboard.player.view import View
from rvq_core.playback import Figure, Playback

MOST_BYTES = 2_000_000
"""Motion sent at once, so that the whole page stays under 3 MB: 55 joints with 6 quantizers for 20 s at 30 fps."""

ALIGNMENT = 8
TYPES = {"int16": "<i2", "uint16": "<u2", "float32": "<f4"}
MILLIMETRES = 1000.0
FARTHEST_MM = 32_767
"""Joints farther than this from their root (32.8 m, in int16) are drawn there: only a broken decoder puts them so."""

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


class Row(NamedTuple):
    """A row of the timeline: its ``name``, and the number of the layer (1-based) that the decoder gets from n on."""

    name: str
    layer: int


@dataclass(frozen=True, slots=True, eq=False)
class Beside:
    """A third figure between the original and the reconstruction: joints [T, J, 3] in metres of the whole clip.

    ``detail`` says which codes it is made of; ``error`` is its own, None where none is told. The reconstruction
    beside it is then called ``other``.
    """

    name: str
    detail: str
    joints: NDArray[np.float32]
    error: float | None
    other: str = "Reconstruction"

    @classmethod
    def of(cls, name: str, playback: Playback, other: str) -> Beside:
        """Another checkpoint's reconstruction with all its quantizers, and its error over the whole clip."""
        assert playback.figure is not None
        full = playback.depths.index(max(playback.depths))
        return cls(name, "all quantizers", playback.figure.reconstructions[full], float(playback.errors[full]), other)

    @property
    def told(self) -> dict[str, Any]:
        """What the player writes of it."""
        return {"name": self.name, "detail": self.detail, "error": self.error, "other": self.other}


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
    rows: Sequence[Row] | None = None,
    marked: NDArray[np.bool_] | None = None,
) -> bytes:
    """All that the player draws of the frames ``shown``.

    ``shares`` holds each layer's share of tokens a code [K_q]; ``metric`` is the error's name for reading. A third
    figure stands ``beside`` the two: it must have these frames, and ``not_beside`` no objection. ``rows`` tell what
    the columns of the playback's tokens are, where they are not layers 1, 2, ... ``marked`` [T', Q] are the clip's
    tokens that stand out: the others are faded.
    """
    rows = rows or [Row(f"layer {layer}", layer) for layer in range(1, len(shares) + 1)]
    arrays = _arrays(playback, shown, shares, beside)
    if marked is not None:
        arrays["marked"] = marked[_tokens_of(playback, shown)].astype(np.uint16)
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
        "rows": [row._asdict() for row in rows],
        "metric": {"name": metric, "unit": playback.unit},
        "errors": playback.errors.tolist(),
        "figure": None if playback.figure is None else _figure(playback.figure, shown),
        "beside": None if beside is None else beside.told,
        "colours": COLOURS,
    }
    # The view is no part of the identity: it may change while the motion plays on.
    return pack(header | {"id": identity(header, arrays), "view": view.told()}, arrays)


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


def _tokens_of(playback: Playback, shown: Window) -> slice:
    return slice(shown.start // playback.stride, shown.stop // playback.stride)


def _arrays(
    playback: Playback, shown: Window, shares: Sequence[NDArray[np.float64]], beside: Beside | None
) -> dict[str, NDArray[Any]]:
    tokens = playback.tokens[_tokens_of(playback, shown)]
    arrays: dict[str, NDArray[Any]] = {
        "tokens": tokens.astype(np.uint16),
        "shares": np.stack([share[tokens[:, q]] for q, share in enumerate(shares)], axis=1).astype(np.float32),
        "frame_errors": playback.frame_errors[:, shown.start : shown.stop].astype(np.float32),
    }
    if playback.figure is not None:
        arrays |= _joints(playback.figure, shown, beside)
    return arrays


def _joints(figure: Figure, shown: Window, beside: Beside | None) -> dict[str, NDArray[Any]]:
    kept = slice(shown.start, shown.stop)
    others = [] if beside is None else [beside.joints[None, kept]]
    motions = np.concatenate([figure.original[None, kept], figure.reconstructions[:, kept], *others])
    # Not the height: the floor stays where it is.
    return moving(motions - motions[0, 0, 0] * np.array([1, 0, 1], dtype=np.float32))


def moving(motions: NDArray[np.float32]) -> dict[str, NDArray[Any]]:
    """Roots [M, T, 3] in metres and joints [M, T, J, 3] in mm from their root, of motions [M, T, J, 3] in metres."""
    roots = motions[:, :, :1]
    local = np.rint((motions - roots) * MILLIMETRES).clip(-FARTHEST_MM, FARTHEST_MM)
    return {"roots": roots[:, :, 0].astype(np.float32), "joints": local.astype(np.int16)}


def _figure(figure: Figure, shown: Window) -> dict[str, Any]:
    floor = floor_of(figure.original)
    roots = figure.reconstructions[:, :, 0] - figure.original[:, 0]
    return {
        **bones(figure.names, figure.parents),
        **camera(figure.names, figure.original, floor),
        "floor": floor,
        "facing": facing(figure.original[shown.start], figure.names),
        "travels": figure.travels,
        "drifts": bool(np.abs(roots).max(initial=0.0) > 1 / MILLIMETRES),
    }


def identity(header: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> str:
    """What tells one payload from another: the player begins anew when it changes."""
    digest = hashlib.sha256(json.dumps(header, sort_keys=True).encode())
    for array in arrays.values():
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:16]
