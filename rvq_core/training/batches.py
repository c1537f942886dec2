"""Training batches: random windows of random clips, padded, turned and mirrored."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from rvq_core.clips import smplx
from rvq_core.clips.rotations import matrix_to_rot6d, rot6d_to_matrix
from rvq_core.loading.checkpoint import CONSTANT_FEATURE, Normalizer

HEADINGS = 8
"""Equally spaced headings that stand for a random one. Eight suffice for a normalizer: first and second moments of a
heading are sums of waves of at most twice the angle."""

STILL = 0.05
"""Standard deviation over a clip, of entries of rotation matrices, under which one stands still: some 3 degrees."""


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Raw features [B, T, D] and ``present`` [B, T], False where a clip had ended and its last frame is repeated."""

    features: Tensor
    present: Tensor


def mirrored(features: Tensor) -> Tensor:
    """The left-right image of ``smplx_rot6d`` features [..., D]: sides swapped, rotations reflected at x = 0.

    A reflection S turns a rotation R into S R S; with S = diag(-1, 1, 1) that changes the sign of R[0, 1], R[0, 2],
    R[1, 0] and R[2, 0], of which the first two rows hold three.
    """
    swapped = features.unflatten(-1, (-1, 6))[..., list(smplx.canonical_skeleton().mirrored), :]
    signs = features.new_tensor([1, -1, -1, -1, 1, 1])
    return (swapped * signs).flatten(-2)


def turned(features: Tensor, yaw: Tensor) -> Tensor:
    """``smplx_rot6d`` features [B, T, D] with each sample's pelvis turned about the vertical by ``yaw`` [B] radians."""
    cos, sin, zero, one = yaw.cos(), yaw.sin(), torch.zeros_like(yaw), torch.ones_like(yaw)
    turn = torch.stack((cos, zero, sin, zero, one, zero, -sin, zero, cos), dim=-1).view(-1, 1, 3, 3)
    pelvis = matrix_to_rot6d(turn @ rot6d_to_matrix(features[..., :6]))
    return torch.cat((pelvis, features[..., 6:]), dim=-1)


def in_all_headings(clip: Tensor) -> list[Tensor]:
    """A clip [T, D] of ``smplx_rot6d`` features turned to each of the equally spaced headings."""
    angles = torch.arange(HEADINGS) * (2 * torch.pi / HEADINGS)
    return list(turned(clip.expand(HEADINGS, -1, -1), angles))


def fit_normalizer(clips: Sequence[Tensor], yaw: bool, *, floor: float = 0.0) -> Normalizer:
    """Mean and std of features [T, D] over all frames, with ``yaw`` in all headings.

    No std of a feature that moves is below ``floor``; constant ones stay so: the normalizer divides them by 1.
    """

    def mean_over_frames(of: Callable[[Tensor], Tensor]) -> Tensor:
        views = (view for clip in clips for view in (in_all_headings(clip) if yaw else [clip]))
        total, frames = torch.zeros(clips[0].shape[1], dtype=torch.float64), 0
        for view in views:
            total += of(view.double()).sum(dim=0)
            frames += len(view)
        return total / frames

    mean = mean_over_frames(lambda features: features)
    variance = mean_over_frames(lambda features: (features - mean).square())
    std = variance.sqrt().float()
    return Normalizer(mean.float(), torch.where(std < CONSTANT_FEATURE, std, std.clamp(min=floor)))


def still_features(clips: Sequence[Tensor]) -> Tensor:
    """Which features [D] stand still in every one of clips [T, D], whatever their value: bool."""
    moves = [clip.std(dim=0, correction=0) >= STILL for clip in clips]
    return ~torch.stack(moves).any(dim=0)


class WindowSampler:
    """Draws batches of ``window`` frames from clips [T, D], each clip as often as it has frames (at least a window).

    ``share`` (rank, ranks): all ranks draw one batch alike, ``batch_size`` samples for each; this one takes its own.
    """

    def __init__(
        self, clips: Sequence[Tensor], *, window: int, batch_size: int, yaw: bool, seed: int,
        share: tuple[int, int] = (0, 1),
    ) -> None:  # fmt: skip
        self._clips = list(clips)
        self._window = window
        rank, ranks = share
        self._drawn = batch_size * ranks
        self._own = slice(batch_size * rank, batch_size * (rank + 1))
        self._yaw = yaw
        self._weights = torch.tensor([float(max(len(clip), window)) for clip in self._clips])
        self.generator = torch.Generator().manual_seed(seed)

    def draw(self) -> Batch:
        """One batch."""
        chosen = torch.multinomial(self._weights, self._drawn, replacement=True, generator=self.generator).tolist()
        starts = [self._start_in(self._clips[i]) for i in chosen]
        own = zip(chosen[self._own], starts[self._own], strict=True)
        features, present = zip(*(self._window_of(self._clips[i], start) for i, start in own), strict=True)
        batch = torch.stack(features)
        if self._yaw:
            angles = torch.rand(self._drawn, generator=self.generator) * (2 * torch.pi)
            batch = turned(batch, angles[self._own])
        return Batch(batch, torch.stack(present))

    def noise(self, width: int, generator: torch.Generator) -> Tensor:
        """Normal noise [B, 1, width] for this rank's part of a batch, of a ``generator`` that all ranks have alike."""
        return torch.randn(self._drawn, 1, width, generator=generator)[self._own]

    def _start_in(self, clip: Tensor) -> int:
        spare = len(clip) - self._window
        return int(torch.randint(0, spare + 1, (), generator=self.generator)) if spare > 0 else 0

    def _window_of(self, clip: Tensor, start: int) -> tuple[Tensor, Tensor]:
        position = torch.arange(start, start + self._window)
        return clip[position.clamp(max=len(clip) - 1)], position < len(clip)
