"""A motion clip: named features at a frame rate."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rvq_core.clips.skeleton import Skeleton

Array = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Clip:
    """Motion as features.

    ``features`` is [T, D] float32, finite. ``representation`` names what the D columns mean (see
    ``rvq_core.clips.representations``); ``skeleton`` is the one that they turn, None where they are not rotations.
    ``translation`` is [T, 3] in metres, where the source has one that the features leave out: the root joint stands
    at ``translation + skeleton.offsets[0]`` (so BEAT2's `trans` is kept as it is).
    ``notes`` tell what was done on the way (resampled, retargeted, ...), one sentence each.
    """

    name: str
    fps: float
    features: Array
    representation: str
    skeleton: Skeleton | None = None
    translation: Array | None = None
    source: Path | None = None
    notes: tuple[str, ...] = field(default=())

    @property
    def frames(self) -> int:
        """Number of frames T."""
        return self.features.shape[0]

    @property
    def seconds(self) -> float:
        """Duration in seconds: frames / fps."""
        return self.frames / self.fps

    @property
    def fingerprint(self) -> str:
        """sha256 over name, representation, frame rate and features: the identity of this motion."""
        digest = hashlib.sha256(f"{self.name}\0{self.representation}\0{self.fps!r}\0{self.features.shape}\0".encode())
        digest.update(np.ascontiguousarray(self.features, dtype="<f4").data)
        return digest.hexdigest()


def fingerprint(clips: Iterable[Clip]) -> str:
    """sha256 over the fingerprints of clips, in their order."""
    return joint_fingerprint(clip.fingerprint for clip in clips)


def joint_fingerprint(fingerprints: Iterable[str]) -> str:
    """The fingerprint of clips from their own ones, in their order."""
    digest = hashlib.sha256()
    for one in fingerprints:
        digest.update(one.encode())
    return digest.hexdigest()
