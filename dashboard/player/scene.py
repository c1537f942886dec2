"""Figures that play beside and over each other, without a clip's tokens and errors: what a code does, ways, windows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from dashboard.player.packing import COLOURS, identity, moving, pack
from dashboard.player.skeleton import bones, camera, facing, floor_of
from dashboard.player.view import View

Joints = NDArray[np.floating[Any]]
Tone = Literal["grey", "original", "reconstruction", "beside"]


@dataclass(frozen=True, slots=True, eq=False)
class Actor:
    """One figure: joints [T, J, 3] in metres, y up, and the colour that it has.

    Where ``marked`` [T] holds, it has the colour of reconstructions.
    """

    label: str
    joints: Joints
    tone: Tone
    marked: NDArray[np.bool_] | None = None


def scene(
    places: Sequence[Sequence[Actor]],
    names: Sequence[str],
    parents: Sequence[int],
    fps: float,
    *,
    alt: str,
    progress: NDArray[np.floating[Any]] | None = None,
) -> bytes:
    """What the player draws: ``places`` beside each other, in each its actors over one another, all as long.

    Each place is seen from where its first actor faces at the start, on a floor of its own. ``progress`` [T] is the
    share of a way that is told beside the frame; ``alt`` says what is seen to those who cannot see it.
    """
    placed = [_placed(actors, names) for actors in places]
    actors = [actor for each in places for actor in each]
    arrays: dict[str, NDArray[Any]] = moving(np.concatenate(placed).astype(np.float32))
    arrays["marked"] = np.stack([_marks(actor) for actor in actors]).astype(np.uint16)
    if progress is not None:
        arrays["progress"] = np.asarray(progress, dtype=np.float32)
    frames = len(actors[0].joints)
    header = {
        "clip": {"name": "", "fps": fps, "start": 0, "frames": frames, "total": frames, "stride": 1, "notes": []},
        "depths": [],
        "figure": {
            **bones(names, parents), **camera(names, placed[0][0], 0.0), "floor": 0.0, "facing": 0.0, "travels": False,
            "drifts": False,
        },
        "beside": None,
        "scene": {"alt": alt, "places": _numbered(places)},
        "colours": COLOURS,
    }  # fmt: skip
    return pack(header | {"id": identity(header, arrays), "view": View().told()}, arrays)


def _placed(actors: Sequence[Actor], names: Sequence[str]) -> NDArray[np.float64]:
    """Motions [A, T, J, 3] of a place: from the origin, on the floor, turned so that the first one faces +z."""
    motions = np.stack([actor.joints for actor in actors]).astype(np.float64)
    first = motions[0, 0]
    motions = motions - first[0] * [1, 0, 1] - np.array([0.0, floor_of(motions[0]), 0.0])
    angle = facing(first, names)
    x, z = motions[..., 0].copy(), motions[..., 2].copy()
    motions[..., 0] = x * np.cos(angle) - z * np.sin(angle)
    motions[..., 2] = x * np.sin(angle) + z * np.cos(angle)
    return motions


def _marks(actor: Actor) -> NDArray[np.bool_]:
    return np.zeros(len(actor.joints), dtype=np.bool_) if actor.marked is None else actor.marked


def _numbered(places: Sequence[Sequence[Actor]]) -> list[list[dict[str, Any]]]:
    """The actors of each place by the number of their motion."""
    numbers = iter(range(sum(map(len, places))))
    return [[{"motion": next(numbers), "label": actor.label, "tone": actor.tone} for actor in each] for each in places]
