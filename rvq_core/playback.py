"""A clip and its reconstructions as motion to watch: joints, tokens and the error of every frame."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rvq_core.clips.clip import Clip
from rvq_core.clips.representations import Representation, get_representation
from rvq_core.clips.skeleton import Skeleton
from rvq_core.stats import errors
from rvq_core.tokens import FRAMES_AT_ONCE, Codec, Encoded

Positions = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Figure:
    """Joints to draw: ``names`` and ``parents`` [J] (-1: the root), ``body`` numbers those that errors average over.

    ``original`` [T, J, 3] and ``reconstructions`` [N, T, J, 3] are metres, y up, N as in ``Playback.depths``.
    ``travels`` tells whether the figures move through the room, or stand with the root at the origin because neither
    the features nor the clip hold a path; ``path_of_clip`` whether it is the clip's path under all of them.
    """

    names: tuple[str, ...]
    parents: tuple[int, ...]
    body: tuple[int, ...]
    original: Positions
    reconstructions: Positions
    travels: bool
    path_of_clip: bool


@dataclass(frozen=True, slots=True, eq=False)
class Playback:
    """One clip as a checkpoint sees it.

    ``clip`` is the clip fitted to the checkpoint (T frames), ``stride`` its frames a token; ``tokens`` [T', Q].
    ``depths`` [N] are the numbers of active quantizers, 0..Q and -1 for unquantised. ``frame_errors`` [N, T] are
    MPJPE in mm where there is a ``figure``, else mean squared errors of normalised features; N is 0, and ``figure``
    None, where the clip holds latents. ``figure`` is None too where features do not tell joint positions.
    """

    clip: Clip
    stride: int
    tokens: NDArray[np.int64]
    depths: tuple[int, ...]
    frame_errors: NDArray[np.float64]
    figure: Figure | None

    @property
    def metric(self) -> str:
        """Name of the metric of ``frame_errors``, as reports call it."""
        return "feature_mse" if self.figure is None else "mpjpe"

    @property
    def unit(self) -> str:
        """Unit of ``frame_errors``."""
        return "1" if self.figure is None else "mm"

    @property
    def errors(self) -> NDArray[np.float64]:
        """Error of the clip at each depth [N]: the mean over its frames."""
        return self.frame_errors.mean(axis=1)


@torch.inference_mode()
def motion_of(pipeline: Codec, clip: Clip) -> Playback:
    """The motion of ``clip``, quantized by the pipeline's checkpoint, at every depth.

    Where the features hold no path and the clip does (``Clip.translation``), it moves original and reconstructions
    alike. Raises ClipError where the checkpoint does not take the clip, CheckpointError where it holds no encoder and
    the clip is no latents.
    """
    fitted = pipeline.fit(clip)
    encoded = pipeline.encode(fitted)
    poser = Poser.of(pipeline, fitted)
    truth = None if encoded.features is None else poser.pose(torch.from_numpy(fitted.features).to(pipeline.device))
    depths: list[int] = []
    frames: list[NDArray[np.float64]] = []
    joints: list[Positions] = []
    for numbers, normalised in _decoded(pipeline, encoded):
        depths += numbers
        posed = poser.pose(pipeline.restore(normalised))
        if truth is None or posed is None:
            assert encoded.features is not None  # else nothing is decoded
            each = errors.feature_errors(normalised.cpu().numpy(), encoded.features.cpu().numpy())
        else:
            each = errors.position_errors(posed, truth)[..., list(poser.body)]
            joints.append(posed)
        frames.append(errors.by_frame(each))
    return Playback(
        clip=fitted,
        stride=pipeline.stride(fitted),
        tokens=encoded.indices,
        depths=tuple(depths),
        frame_errors=np.concatenate(frames) if frames else np.zeros((0, fitted.frames)),
        figure=None if truth is None or not joints else poser.figure(truth, np.concatenate(joints)),
    )


def _decoded(pipeline: Codec, encoded: Encoded) -> Iterator[tuple[list[int], Tensor]]:
    """Depths and their normalised reconstructions [B, T, D], as many at once as stay small in memory."""
    at_once = max(1, FRAMES_AT_ONCE // encoded.clip.frames)
    decoded = pipeline.decode(encoded)
    while batch := list(islice(decoded, at_once)):
        yield [n_active for n_active, _ in batch], torch.stack([features for _, features in batch])


@dataclass(frozen=True, slots=True, eq=False)
class Poser:
    """Poses features of a clip and its reconstructions alike: on one skeleton, with the clip's path under both."""

    kind: Representation
    skeleton: Skeleton | None
    path: Tensor | None
    body: tuple[int, ...]

    @classmethod
    def of(cls, pipeline: Codec, clip: Clip) -> Poser:
        """The one for a fitted clip."""
        kind = get_representation(clip.representation)
        # The clip's own only where the kind has none: reconstructions say nothing of the body that moved.
        skeleton = kind.default_skeleton() or clip.skeleton
        names = kind.joint_names or (skeleton.names if skeleton else ())
        # Positions that features tell come with their path; rotations leave the root at the origin.
        path = None
        if clip.translation is not None and kind.rotations_from is not None and skeleton is not None:
            root = clip.translation + skeleton.offsets[0].astype(np.float32)
            path = torch.from_numpy(root).to(pipeline.device)
        return cls(kind, skeleton, path, kind.body or tuple(range(len(names))))

    def pose(self, raw: Tensor) -> Positions | None:
        """Joints [..., T, J, 3] of raw features [..., T, D]; None where they do not tell any."""
        joints = self.kind.joints(raw, self.skeleton)
        if joints is None:
            return None
        placed = joints if self.path is None else joints + self.path[:, None]
        return placed.cpu().numpy()

    def without_path(self) -> Poser:
        """The same, with the root where the features alone put it."""
        return replace(self, path=None)

    def figure(self, original: Positions, reconstructions: Positions) -> Figure:
        """The joints with what is known of them."""
        names = self.kind.joint_names or (self.skeleton.names if self.skeleton else ())
        parents = self.kind.parents or (self.skeleton.parents if self.skeleton else ())
        path_of_clip = self.path is not None
        travels = self.kind.rotations_from is None or path_of_clip
        return Figure(names, parents, self.body, original, reconstructions, travels, path_of_clip)
