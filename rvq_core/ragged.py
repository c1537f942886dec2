"""Short clips of different lengths through an encoder in one batch, each as if it were alone.

Alone, a clip is surrounded by the zeros that a convolution pads with. In a batch the others are longer, so before each
convolution that looks beyond its own position, what lies behind a clip's end is set to zero. Results are those of each
clip alone to rounding (1e-6 of their size): a processor adds in another order in a batch of another size.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from rvq_core.autoencoder import RVQVAE, ResidualBlock, ResidualStack
from rvq_core.pieces import encode_in_pieces, is_local

if TYPE_CHECKING:
    from rvq_core.loading.checkpoint import MotionModel

FRAMES_TOGETHER = 1024
"""Frames encoded in one batch: a clip as long fills the processor by itself."""

LEAST_SHARE = 0.8
"""The shortest clip of a batch is at least this long against the longest: the rest is computed in vain."""


def encode_clips(model: MotionModel, features: Sequence[Tensor]) -> list[Tensor]:
    """Normalised features [T, D] of clips, T a multiple of the stride -> latents [C, T'] of each."""
    found: dict[int, Tensor] = {}
    for numbers in bucketed([len(one) for one in features]):
        if len(numbers) > 1 and is_local(model):
            found |= zip(numbers, _together(model, [features[number] for number in numbers]), strict=True)
        else:
            found |= {number: encode_in_pieces(model, features[number])[0] for number in numbers}
    return [found[number] for number in range(len(features))]


def bucketed(frames: Sequence[int]) -> list[list[int]]:
    """Numbers of clips by batch, those of like length together: at most ``FRAMES_TOGETHER``, or one clip."""
    batches: list[list[int]] = []
    for number in sorted(range(len(frames)), key=lambda number: -frames[number]):
        longest = frames[batches[-1][0]] if batches else 0
        room = (len(batches[-1]) + 1) * longest <= FRAMES_TOGETHER if batches else False
        if room and frames[number] >= LEAST_SHARE * longest:
            batches[-1].append(number)
        else:
            batches.append([number])
    return batches


def _together(model: RVQVAE, features: Sequence[Tensor]) -> list[Tensor]:
    walk = _Walk(torch.tensor([len(one) for one in features], device=features[0].device))
    padded = pad_sequence(list(features), batch_first=True).transpose(1, 2)
    latents = walk.through(model.encoder.model, padded)
    return [one[:, :length] for one, length in zip(latents, walk.lengths.tolist(), strict=True)]


class _Walk:
    """A batch on its way through the layers: ``lengths`` [B] are how far each clip reaches in what comes next."""

    def __init__(self, lengths: Tensor) -> None:
        self.lengths = lengths

    def through(self, layer: nn.Module, x: Tensor) -> Tensor:
        """What the layer makes of x [B, C, T]."""
        if isinstance(layer, ResidualStack):
            return self.through(layer.model, x)
        if isinstance(layer, nn.Sequential):
            for one in layer:
                x = self.through(one, x)
            return x
        if isinstance(layer, ResidualBlock):
            return layer(x, self.through)
        return self._convolved(layer, x) if isinstance(layer, nn.Conv1d) else layer(x)

    def _convolved(self, layer: nn.Conv1d, x: Tensor) -> Tensor:
        beyond = torch.arange(x.shape[2], device=x.device) >= self.lengths[:, None]
        found = layer(x.masked_fill(beyond[:, None], 0.0))
        (kernel,), (stride,), (dilation,) = layer.kernel_size, layer.stride, layer.dilation
        (padding,) = cast("tuple[int]", layer.padding)
        reach = 2 * padding - dilation * (kernel - 1) - 1
        self.lengths = torch.div(self.lengths + reach, stride, rounding_mode="floor") + 1
        return found
