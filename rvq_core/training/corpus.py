"""The clips of a run: brought to one frame rate, divided into those trained on and those held out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from rvq_core.clips.clip import Clip, fingerprint
from rvq_core.clips.fit import fit_clip
from rvq_core.clips.representations import JOINT_ROT6D, SMPLX_ROT6D, Representation, get_representation
from rvq_core.errors import ClipError, SettingsError
from rvq_core.training.batches import in_all_headings, mirrored
from rvq_core.training.body_part import BODY_PARTS, BodyPart
from rvq_core.training.settings import TrainSettings


@dataclass(frozen=True, slots=True, eq=False)
class Corpus:
    """The clips of a run as raw features [T, D]: ``train`` with mirror images where wanted, ``held_out`` as they are.

    ``yaw``: whether training turns them about the vertical.
    """

    train: list[Tensor]
    held_out: list[Tensor]
    train_names: list[str]
    held_out_names: list[str]
    representation: Representation
    yaw: bool
    fingerprint: str

    @property
    def of_rotations(self) -> bool:
        """Whether the features are 6D rotations throughout."""
        return self.representation.name in (SMPLX_ROT6D.name, JOINT_ROT6D.name)

    def counted(self, part: list[Tensor]) -> Iterator[Tensor]:
        """The clips over which codes are counted: in all headings where training turns them."""
        for clip in part:
            yield from in_all_headings(clip) if self.yaw else [clip]


def split_corpus(clips: Sequence[Clip], settings: TrainSettings) -> Corpus:
    """Resample clips to the run's fps and divide them into training and held-out ones, by name or by a seeded draw.

    Raises ClipError and SettingsError.
    """
    if not clips:
        raise ClipError("clips", expected="at least one clip", found="none", do="give a file or a folder with motion")
    part = None if settings.part is None else BODY_PARTS[settings.part]
    clips = [
        fit_clip(clip, dim=clip.features.shape[1], fps=settings.fps) if part is None else part.whole(clip, settings.fps)
        for clip in clips
    ]
    _refuse_unlike(clips, settings, part)
    first = clips[0]
    held_out = _held_out_names(clips, settings)
    training = [clip for clip in clips if clip.name not in held_out]
    if not training:
        raise SettingsError("training: held_out", expected="clips left to train on", found="none", do="hold out fewer")
    features = [torch.from_numpy(clip.features) for clip in training]
    if settings.mirror and first.representation == SMPLX_ROT6D.name:
        features += [mirrored(clip) for clip in features]
    kept = [torch.from_numpy(clip.features) for clip in clips if clip.name in held_out]
    if part is not None:
        features, kept = [part.of(clip) for clip in features], [part.of(clip) for clip in kept]
    return Corpus(
        train=features,
        held_out=kept,
        train_names=[clip.name for clip in training],
        held_out_names=[clip.name for clip in clips if clip.name in held_out],
        representation=get_representation(first.representation) if part is None else part.representation,
        yaw=settings.yaw and first.representation == SMPLX_ROT6D.name and (part is None or part.has_pelvis),
        fingerprint=fingerprint(clips),
    )


def _refuse_unlike(clips: Sequence[Clip], settings: TrainSettings, part: BodyPart | None) -> None:
    """Raise where clips are too short, of two kinds, or of another width than the model's."""
    first = clips[0]
    for clip in clips:
        if clip.frames < settings.model.stride:
            raise ClipError(
                str(clip.source or clip.name), expected=f"at least {settings.model.stride} frames (one token)",
                found=f"{clip.frames} at {clip.fps:g} fps", do="leave this clip out",
            )  # fmt: skip
        if clip.representation != first.representation or clip.features.shape[1] != first.features.shape[1]:
            raise ClipError(
                str(clip.source or clip.name), expected=f"{first.representation} features like {first.name}",
                found=f"{clip.representation} with {clip.features.shape[1]} columns", do="train on one kind of motion",
            )  # fmt: skip
    width = first.features.shape[1] if part is None else part.width
    if width != settings.model.input_dim:
        raise SettingsError(
            "model config: input_dim", expected=str(width), found=str(settings.model.input_dim),
            do=f"add --set input_dim={width}, the columns of these clips",
        )  # fmt: skip


def _held_out_names(clips: Sequence[Clip], settings: TrainSettings) -> frozenset[str]:
    names = [clip.name for clip in clips]
    if settings.held_out:
        absent = sorted(set(settings.held_out) - set(names))
        if absent:
            raise SettingsError(
                "training: held_out", expected="names of clips that were given", found=repr(absent[0]),
                do="correct the name (a clip's name is its file's, without the ending)",
            )  # fmt: skip
        return frozenset(settings.held_out)
    count = round(settings.held_out_share * len(names))
    order = np.random.default_rng(settings.seed).permutation(len(names))
    return frozenset(names[i] for i in order[:count])
