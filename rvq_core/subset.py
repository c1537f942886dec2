"""A random part of the clips: what a limit on frames leaves, and how a report tells of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

import numpy as np

from rvq_core.counted import counted
from rvq_core.errors import SettingsError


class Long(Protocol):
    """What has a number of frames: a clip, or what is told of one."""

    @property
    def frames(self) -> int:
        """Number of frames T."""
        ...


Some = TypeVar("Some", bound=Long)


def limit_frames(
    clips: Sequence[Some],
    limit: int | None,
    seed: int,
    stride_of: Callable[[Some], int],
    cut: Callable[[Some, int, str], Some],
    *,
    setting: str,
) -> list[Some]:
    """Clips of at most ``limit`` frames together: taken in a random order of ``seed``, the last one cut, kept in place.

    ``cut`` gives the first frames of a clip, with a note. ``setting`` names the limit in notes and errors; None is no
    limit. Raises SettingsError for less than a token.
    """
    if limit is None or sum(clip.frames for clip in clips) <= limit:
        return list(clips)
    stride = min(stride_of(clip) for clip in clips)
    if limit < stride:
        raise SettingsError(
            setting, expected=f"at least {stride} (one token)", found=str(limit), do="allow more frames"
        )
    kept: dict[int, Some] = {}
    room = limit
    for i in np.random.default_rng(seed).permutation(len(clips)).tolist():
        frames = min(clips[i].frames, room - room % stride_of(clips[i]))
        if frames == 0:
            break
        shorter = frames < clips[i].frames
        kept[i] = cut(clips[i], frames, f"cut to {frames} frames by {setting}") if shorter else clips[i]
        room -= frames
    return [kept[i] for i in sorted(kept)]


def limit_clips(clips: Sequence[Some], limit: int | None, seed: int, *, setting: str) -> list[Some]:
    """At most ``limit`` clips, whole, drawn by ``seed`` and left in their order; None is no limit.

    Raises SettingsError for less than one.
    """
    if limit is not None and limit < 1:
        raise SettingsError(setting, expected="at least 1 clip", found=str(limit), do="allow more clips")
    if limit is None or limit >= len(clips):
        return list(clips)
    drawn = np.random.default_rng(seed).choice(len(clips), size=limit, replace=False)
    return [clips[i] for i in sorted(drawn.tolist())]


def subset_notes(what: str, given: Sequence[Long], measured: Sequence[Long]) -> list[str]:
    """A sentence where ``what`` was measured on a part of the clips; none where it was on all."""
    frames, of = (sum(clip.frames for clip in clips) for clips in (measured, given))
    if frames == of:
        return []
    return [f"{what} measured: {frames} of {counted(of, 'frame')}, {len(measured)} of {counted(len(given), 'clip')}."]
