"""A code where it was chosen: the clip around it, and the clip without it; and ways between the latents of clips."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from rvq_core.clips.clip import Clip
from rvq_core.clips.representations import get_representation
from rvq_core.playback import Poser, Positions
from rvq_core.stats import errors
from rvq_core.tokens import Pipeline


class Without(NamedTuple):
    """A clip decoded without some of its codes: joints [T, J, 3] in metres, error of each frame [T] (MPJPE, mm)."""

    joints: Positions
    frame_errors: NDArray[np.float64]


@torch.inference_mode()
def motion_without(pipeline: Pipeline, clip: Clip, layer: int, tokens: tuple[int, int]) -> Without | None:
    """``clip`` decoded from all its codes but those of ``layer`` (1-based) in ``tokens`` (first, one behind the last).

    All else stays as it was chosen, so what differs from the reconstruction is what these codes do in this place. None
    where nothing is decoded (latents, indices), or where the features do not tell joints. Raises ClipError where the
    checkpoint does not take the clip.
    """
    fitted = pipeline.fit(clip)
    encoded = pipeline.encode(fitted)
    poser = Poser.of(pipeline, fitted)
    first, behind = tokens
    some = encoded.partial[-1].clone()
    some[:, first:behind] -= (encoded.partial[layer] - encoded.partial[layer - 1])[:, first:behind]
    truth = None if encoded.features is None else poser.pose(torch.from_numpy(fitted.features).to(pipeline.device))
    for normalised in pipeline.decode_latents(encoded, some[None]):
        posed = poser.pose(pipeline.restore(normalised))
        if truth is not None and posed is not None:
            each = errors.position_errors(posed, truth)[..., list(poser.body)]
            return Without(posed, errors.by_frame(each))
    return None


def motion_around(pipeline: Pipeline, clip: Clip, token: int, around: int) -> Positions | None:
    """Joints [T, J, 3] in metres of ``clip`` itself from ``around`` tokens before ``token`` to as many behind it.

    Always 2 ``around`` + 1 tokens long: where the clip ends its last pose stays. None where the features do not tell
    joints. Raises ClipError where the checkpoint does not take the clip.
    """
    fitted = pipeline.fit(clip)
    stride = pipeline.stride(fitted)
    frames = np.arange((token - around) * stride, (token + around + 1) * stride).clip(0, fitted.frames - 1)
    raw = torch.from_numpy(fitted.features).to(pipeline.device)
    if get_representation(fitted.representation).rotations_from is None:
        # Positions that features tell follow from all frames before.
        posed = Poser.of(pipeline, fitted).pose(raw)
        return None if posed is None else posed[frames]
    path = None if fitted.translation is None else fitted.translation[frames]
    part = replace(fitted, features=fitted.features[frames], translation=path)
    return Poser.of(pipeline, part).pose(raw[frames])


@torch.inference_mode()
def between_clips(pipeline: Pipeline, start: Clip, end: Clip, steps: int) -> Positions | None:
    """Joints [steps, T, J, 3] in metres, decoded evenly along the line between the latents of two clips.

    The latents are those of the encoder, not quantized; both clips are cut to the shorter one, and each point of the
    line is between what both do at the same time. Without the clips' own paths: a path between two rooms means nothing.
    None where nothing is decoded, or where the features do not tell joints. Raises ClipError where the checkpoint
    does not take a clip.
    """
    fitted = [pipeline.fit(clip) for clip in (start, end)]
    encoded = [pipeline.encode(clip) for clip in fitted]
    if any(one.features is None for one in encoded):
        return None
    tokens = min(one.latents.shape[1] for one in encoded)
    first, last = (one.latents[:, :tokens] for one in encoded)
    shares = torch.linspace(0.0, 1.0, steps, device=first.device)[:, None, None]
    poser = Poser.of(pipeline, fitted[0]).without_path()
    posed: list[Positions] = []
    for normalised in pipeline.decode_latents(encoded[0], first + shares * (last - first)):
        joints = poser.pose(pipeline.restore(normalised))
        if joints is None:
            return None
        posed.append(joints)
    return np.stack(posed) if posed else None
