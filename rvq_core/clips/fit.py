"""A clip made to suit a checkpoint."""

from __future__ import annotations

from dataclasses import replace

from rvq_core.clips.clip import Clip
from rvq_core.clips.resample import resample_clip
from rvq_core.errors import ClipError


def fit_clip(
    clip: Clip, *, dim: int, fps: float | None = None, stride: int = 1, representation: str | None = None
) -> Clip:
    """Return ``clip`` as a checkpoint takes it: at its ``fps``, cut to whole tokens of ``stride`` frames.

    ``dim`` is the checkpoint's D; ``fps`` and ``representation`` are None where the checkpoint does not tell. Notes
    tell what was changed. Raises ``ClipError`` where D or the representation differ, or not one token is left.
    """
    _check_features(clip, dim, representation)
    fitted = clip if fps is None else resample_clip(clip, fps)
    return _cut(fitted, stride)


def _check_features(clip: Clip, dim: int, representation: str | None) -> None:
    found = clip.features.shape[1]
    if found != dim:
        raise ClipError(
            _where(clip),
            expected=f"D = {dim} features a frame{f' ({representation})' if representation else ''}",
            found=f"D = {found} ({clip.representation})",
            do="give clips in the representation that this checkpoint was trained on",
        )
    # `raw` means that nobody said what the columns are: then D alone decides.
    if representation not in (None, "raw", clip.representation) and clip.representation != "raw":
        raise ClipError(
            _where(clip),
            expected=f"features in the representation {representation}",
            found=clip.representation,
            do="give clips in the representation that this checkpoint was trained on",
        )


def _cut(clip: Clip, stride: int) -> Clip:
    tokens = clip.frames // stride
    if tokens == 0:
        raise ClipError(
            _where(clip),
            expected=f"at least {stride} frames at {clip.fps:g} fps (one token)",
            found=f"{clip.frames} frame{'s' * (clip.frames != 1)}",
            do="give a longer clip",
        )
    kept = tokens * stride
    if kept == clip.frames:
        return clip
    return cut_clip(clip, kept, f"cut from {clip.frames} to {kept} frames, a multiple of the stride {stride}")


def cut_clip(clip: Clip, frames: int, note: str) -> Clip:
    """Return the first ``frames`` of a clip, with ``note`` added."""
    translation = None if clip.translation is None else clip.translation[:frames]
    return replace(clip, features=clip.features[:frames], translation=translation, notes=(*clip.notes, note))


def _where(clip: Clip) -> str:
    return str(clip.source or clip.name)
