"""Clips to tokens, and back at every depth, through encoder, quantizer and decoder."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rvq_core.clips.arrays import UNTIMED
from rvq_core.clips.clip import Clip
from rvq_core.clips.facts import ClipFacts
from rvq_core.clips.fit import fit_clip
from rvq_core.clips.indices import fit_indices
from rvq_core.clips.representations import LATENTS, TOKENS, UNDECODED
from rvq_core.errors import CheckpointError, SettingsError
from rvq_core.loading.checkpoint import Checkpoint
from rvq_core.pieces import decode_in_pieces
from rvq_core.ragged import encode_clips
from rvq_core.stats.reconstruction import UNQUANTISED

FRAMES_AT_ONCE = 16_384
"""Frames decoded in one batch: enough to fill the processor, and memory stays flat."""

MOST_CODES = 1 << 16
"""Codes a layer that a report's uint16 tokens can tell apart."""


@dataclass(frozen=True, slots=True, eq=False)
class Encoded:
    """A clip after encoder and quantizer.

    ``features`` [T, D] normalised, None where the clip holds latents or indices; ``latents`` [C, T'] as the codebooks
    see them; ``indices`` [T', Q] int64; ``partial`` [Q + 1, C, T'] the sums of the codes of the first 0..Q layers.
    Where the clip holds indices, nothing is decoded, and ``latents`` and ``partial`` are empty: [C, 0], [Q + 1, C, 0].
    """

    clip: Clip
    features: Tensor | None
    latents: Tensor
    indices: NDArray[np.int64]
    partial: Tensor


class Codec(Protocol):
    """What runs clips and brings their features back: a ``Pipeline``, or the parts of a body together."""

    @property
    def device(self) -> torch.device:
        """Where tensors are."""
        ...

    def fit(self, clip: Clip) -> Clip:
        """The clip as it is taken. Raises ClipError."""
        ...

    def encode(self, clip: Clip) -> Encoded:
        """Encode and quantize a fitted clip."""
        ...

    def decode(self, encoded: Encoded) -> Iterator[tuple[int, Tensor]]:
        """Normalised reconstructions [T, D] with n = 0..Q active quantizers and, last, without any (-1)."""
        ...

    def restore(self, features: Tensor) -> Tensor:
        """Normalised features to raw ones."""
        ...

    def stride(self, clip: Clip) -> int:
        """Frames of the clip that one row of indices stands for."""
        ...


class Pipeline:
    """A checkpoint on a device, ready to take clips: motion where it holds a whole model, latents in any case."""

    def __init__(self, checkpoint: Checkpoint, device: str = "auto") -> None:
        self.checkpoint = checkpoint
        _check_sizes(checkpoint)
        self.device: torch.device = choose_device(device)
        on_cpu = self.device.type == "cpu"
        self.model = checkpoint.model
        self.quantizer = checkpoint.quantizer
        if self.model is not None and not on_cpu:
            self.model = copy.deepcopy(self.model).to(self.device)
            self.quantizer = self.model.quantizer
        elif not on_cpu:
            self.quantizer = copy.deepcopy(self.quantizer).to(self.device)

    def fit(self, clip: Clip) -> Clip:
        """The clip at this checkpoint's frame rate, cut to a whole number of tokens. Raises ClipError."""
        config = self.checkpoint.config
        if clip.representation == LATENTS.name:
            return fit_clip(clip, dim=self.quantizer.latent_dim)
        if clip.representation == TOKENS.name:
            sizes = [len(codebook) for codebook in self.checkpoint.codebooks]
            fps = self.checkpoint.fps
            return fit_indices(clip, sizes, None if fps is None or config is None else fps / config.stride)
        if self.model is None or config is None:
            raise CheckpointError(
                str(self.checkpoint.path), expected="a whole model, to encode motion", found="codebooks only",
                do="give the checkpoint of the whole model, or its latents as .npy [B, C, T]",
            )  # fmt: skip
        return fit_clip(
            clip,
            dim=config.input_dim,
            fps=self.checkpoint.fps,
            stride=config.stride,
            representation=self.checkpoint.representation,
        )

    def stride(self, clip: Clip | ClipFacts) -> int:
        """Frames of the clip that one token stands for."""
        config = self.checkpoint.config
        return 1 if config is None or clip.representation in UNDECODED else config.stride

    def seconds_per_token(self, clip: Clip | ClipFacts) -> float | None:
        """How long one token of the clip lasts; None where nothing tells."""
        untimed = clip.representation in UNDECODED and clip.fps == UNTIMED
        return None if untimed else self.stride(clip) / clip.fps

    def encode(self, clip: Clip) -> Encoded:
        """Encode (where it is motion) and quantize a fitted clip; one that holds indices is taken as it is."""
        return self.encode_all([clip])[0]

    @torch.inference_mode()
    def encode_all(self, clips: Sequence[Clip]) -> list[Encoded]:
        """``encode`` of several clips, those of like length together.

        The results are those of each clip alone, to rounding (1e-6 of the latents' size).
        """
        quantized = iter(self._quantized([clip for clip in clips if clip.representation != TOKENS.name]))
        return [self._of_indices(clip) if clip.representation == TOKENS.name else next(quantized) for clip in clips]

    @torch.inference_mode()
    def latents(self, clip: Clip) -> Tensor:
        """Latents [C, T'] of a fitted clip of motion or latents, as the quantizer takes them."""
        return self._latents([clip], [self._features(clip)])[0]

    @torch.inference_mode()
    def quantize(self, latents: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Latents [C, N] in code space, their indices [N, Q], and the sums [Q + 1, C, N] of the first 0..Q codes."""
        _, indices, _, _, codes = self.quantizer(latents[None], return_all_codes=True)
        sums = torch.cat([torch.zeros_like(codes[:1, 0]), _running_sums(codes[:, 0])])
        return self.quantizer.to_code_space(latents[None])[0], indices[0], sums.transpose(1, 2)

    def _quantized(self, clips: Sequence[Clip]) -> list[Encoded]:
        features = [self._features(clip) for clip in clips]
        latents = self._latents(clips, features)
        if not latents:
            return []
        inner, indices, partial = self.quantize(torch.cat(latents, dim=1))
        sizes = [one.shape[1] for one in latents]
        parts = (inner.split(sizes, dim=1), indices.cpu().split(sizes), partial.split(sizes, dim=2))
        return [
            Encoded(clip, of_clip, z, tokens.numpy(), sums)
            for clip, of_clip, z, tokens, sums in zip(clips, features, *parts, strict=True)
        ]

    def _features(self, clip: Clip) -> Tensor | None:
        return None if self.model is None or clip.representation == LATENTS.name else self.normalise(clip.features)

    def _latents(self, clips: Sequence[Clip], features: Sequence[Tensor | None]) -> list[Tensor]:
        """Latents [C, T'] of fitted clips: of features, and where these are None what the clip holds."""
        motion = [one for one in features if one is not None]
        encoded = iter(() if self.model is None else encode_clips(self.model, motion))
        held = (torch.from_numpy(clip.features).to(self.device).t() for clip in clips)
        return [of_clip if one is None else next(encoded) for one, of_clip in zip(features, held, strict=True)]

    def _of_indices(self, clip: Clip) -> Encoded:
        nothing = torch.empty(self.quantizer.num_quantizers + 1, self.quantizer.code_dim, 0, device=self.device)
        return Encoded(clip, None, nothing[0], clip.features.astype(np.int64), nothing)

    @torch.inference_mode()
    def decode(self, encoded: Encoded) -> Iterator[tuple[int, Tensor]]:
        """Normalised reconstructions [T, D] with n = 0..Q active quantizers and, last, from the latents (n = -1).

        None where the clip holds latents or indices: there is no motion to compare with.
        """
        if encoded.features is None:
            return
        depths = [*range(len(encoded.partial)), UNQUANTISED]
        inputs = torch.cat([encoded.partial, encoded.latents[None]])
        yield from zip(depths, self.decode_latents(encoded, inputs), strict=False)

    @torch.inference_mode()
    def decode_latents(self, encoded: Encoded, latents: Tensor) -> Iterator[Tensor]:
        """Normalised reconstructions [T, D] of a clip from each of ``latents`` [V, C, T'], several at once.

        None where the clip holds latents: there is no motion to compare with.
        """
        if encoded.features is None or self.model is None:
            return
        at_once = max(1, FRAMES_AT_ONCE // encoded.clip.frames)
        for start in range(0, len(latents), at_once):
            yield from decode_in_pieces(self.model, latents[start : start + at_once])

    def normalise(self, features: NDArray[Any]) -> Tensor:
        """Raw features to the model's input, on its device."""
        tensor = torch.from_numpy(features).to(self.device)
        return tensor if self.checkpoint.normalizer is None else self.checkpoint.normalizer.apply(tensor)

    def restore(self, features: Tensor) -> Tensor:
        """The model's output to raw features."""
        return features if self.checkpoint.normalizer is None else self.checkpoint.normalizer.invert(features)


def choose_device(name: str) -> torch.device:
    """'auto' is a GPU where there is one. Raises SettingsError for a device that is not there."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        # Reading a value back tells a device that computes from one that only pretends to (meta).
        torch.zeros(1, device=device).item()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise SettingsError(
            "device", expected="auto, cpu or an available device such as cuda", found=repr(name), do="choose another"
        ) from error
    return device


def _check_sizes(checkpoint: Checkpoint) -> None:
    """Raise CheckpointError where reconstructions would not be as long as the clip, or indices not fit a report."""
    config = checkpoint.config
    if config is not None and config.stride != 2**config.down_t:
        raise CheckpointError(
            f"{checkpoint.path}: config", expected="a decoder that undoes the encoder's stride (stride_t = 2)",
            found=f"{config.stride} frames a token, {2**config.down_t} decoded from it",
            do="correct stride_t, or look at this file with rvq-lens inspect",
        )  # fmt: skip
    if checkpoint.quantizer.nb_code > MOST_CODES:
        raise CheckpointError(
            f"{checkpoint.path}: nb_code", expected=f"at most {MOST_CODES} codes (tokens are kept as uint16)",
            found=str(checkpoint.quantizer.nb_code), do="look at this file with rvq-lens inspect",
        )  # fmt: skip


def _running_sums(codes: Tensor) -> Tensor:
    """Sums of codes [Q, ...] over the first 1..Q layers, added in the quantizer's order: they equal its output."""
    sums = codes.clone()
    for q in range(1, len(codes)):
        sums[q] = sums[q - 1] + codes[q]
    return sums
