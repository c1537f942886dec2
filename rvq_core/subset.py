"""A random part of the clips: what a limit on frames leaves, and how a report tells of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from rvq_core.clips.clip import Clip
from rvq_core.clips.fit import cut_clip
from rvq_core.errors import SettingsError


def limit_frames(
    clips: Sequence[Clip], limit: int | None, seed: int, stride_of: Callable[[Clip], int], *, setting: str
) -> list[Clip]:
    """Clips of at most ``limit`` frames together: taken in a random order of ``seed``, the last one cut, kept in place.

    ``setting`` names the limit in notes and errors; None is no limit. Raises SettingsError for less than a token.
    """
    if limit is None or sum(clip.frames for clip in clips) <= limit:
        return list(clips)
    stride = min(stride_of(clip) for clip in clips)
    if limit < stride:
        raise SettingsError(
            setting, expected=f"at least {stride} (one token)", found=str(limit), do="allow more frames"
        )
    kept: dict[int, Clip] = {}
    room = limit
    for i in np.random.default_rng(seed).permutation(len(clips)).tolist():
        frames = min(clips[i].frames, room - room % stride_of(clips[i]))
        if frames == 0:
            break
        cut = frames < clips[i].frames
        kept[i] = cut_clip(clips[i], frames, f"cut to {frames} frames by {setting}") if cut else clips[i]
        room -= frames
    return [kept[i] for i in sorted(kept)]


def limit_clips(clips: Sequence[Clip], limit: int | None, seed: int, *, setting: str) -> list[Clip]:
    """At most ``limit`` clips, whole, drawn by ``seed`` and left in their order; None is no limit.

    Raises SettingsError for less than one.
    """
    if limit is not None and limit < 1:
        raise SettingsError(setting, expected="at least 1 clip", found=str(limit), do="allow more clips")
    if limit is None or limit >= len(clips):
        return list(clips)
    drawn = np.random.default_rng(seed).choice(len(clips), size=limit, replace=False)
    return [clips[i] for i in sorted(drawn.tolist())]


def subset_notes(what: str, given: Sequence[Clip], measured: Sequence[Clip]) -> list[str]:
    """A sentence where ``what`` was measured on a part of the clips; none where it was on all."""
    frames, of = (sum(clip.frames for clip in clips) for clips in (measured, given))
    if frames == of:
        return []
    return [f"{what} measured: {frames} of {of} frames, {len(measured)} of {len(given)} clips."]
