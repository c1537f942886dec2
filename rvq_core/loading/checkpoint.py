"""What a checkpoint file becomes: model, quantizer, normalizer, and notes on how it was read."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol, Self, overload

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rvq_core.autoencoder import RVQVAEConfig
from rvq_core.counted import counted
from rvq_core.errors import CheckpointError
from rvq_core.quantizer import ResidualVQ

CONSTANT_FEATURE = 1e-4
"""A feature whose standard deviation is below this is constant: it is centred but not scaled."""


@dataclass(frozen=True, slots=True, eq=False)
class Normalizer:
    """Mean and standard deviation of each feature, tensors [D]: (x - mean) / std, constant features divided by 1."""

    mean: Tensor
    std: Tensor

    @property
    def scale(self) -> Tensor:
        """What features are divided by [D]: std, and 1 where std < 1e-4."""
        return torch.where(self.std < CONSTANT_FEATURE, torch.ones_like(self.std), self.std)

    @property
    def sha256(self) -> str:
        """Of mean and scale: equal where features are normalised alike."""
        digest = hashlib.sha256()
        for tensor in (self.mean, self.scale):
            digest.update(tensor.detach().cpu().float().numpy().tobytes())
        return digest.hexdigest()

    @overload
    def apply(self, features: Tensor) -> Tensor: ...
    @overload
    def apply(self, features: NDArray[Any]) -> NDArray[np.float32]: ...
    def apply(self, features: Tensor | NDArray[Any]) -> Tensor | NDArray[np.float32]:
        """Raw features [..., D] -> normalised ones, in the kind (tensor or array) that was given."""
        if isinstance(features, Tensor):
            return (features - self.mean.to(features.device)) / self.scale.to(features.device)
        return self.apply(torch.as_tensor(features, dtype=torch.float32)).numpy()

    @overload
    def invert(self, features: Tensor) -> Tensor: ...
    @overload
    def invert(self, features: NDArray[Any]) -> NDArray[np.float32]: ...
    def invert(self, features: Tensor | NDArray[Any]) -> Tensor | NDArray[np.float32]:
        """Normalised features [..., D] -> raw ones, in the kind that was given."""
        if isinstance(features, Tensor):
            return features * self.scale.to(features.device) + self.mean.to(features.device)
        return self.invert(torch.as_tensor(features, dtype=torch.float32)).numpy()


def refuse_negative(where: str, std: Tensor) -> None:
    """Raise CheckpointError where a standard deviation is below 0."""
    if bool((std < 0).any()):
        raise CheckpointError(
            where,
            expected="standard deviations >= 0",
            found=f"{int((std < 0).sum())} of {std.numel()} values below 0",
            do="give the file of this model",
        )


class MotionModel(Protocol):
    """What a checkpoint's model can do, whatever its architecture; it is an ``nn.Module``."""

    config: RVQVAEConfig
    quantizer: ResidualVQ

    def encode(self, x: Tensor) -> Tensor:
        """Motion [B, T, D] normalised -> latents [B, C, T']."""
        ...

    def decode(self, quantized: Tensor) -> Tensor:
        """Latents [B, C, T'] -> motion [B, T, D] normalised."""
        ...

    def to(self, device: torch.device) -> Self:
        """The model on a device."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Checkpoint:
    """An opened checkpoint, in eval mode on the CPU.

    ``model`` and ``config`` are None where the file holds codebooks only. ``codebooks`` are [K_q, C] each, as they
    act. ``representation`` and ``fps`` of the motion are None where nothing tells them. ``training`` is the summary
    that the native format stores (clips, history, code counts of the corpus), empty elsewhere.
    """

    path: Path
    name: str
    format: str
    sha256: str
    quantizer: ResidualVQ
    config: RVQVAEConfig | None = None
    model: MotionModel | None = None
    normalizer: Normalizer | None = None
    representation: str | None = None
    fps: float | None = None
    codebook_names: tuple[str, ...] = ()
    training: dict[str, Any] = field(default_factory=lambda: dict[str, Any]())
    notes: list[str] = field(default_factory=lambda: list[str]())

    @property
    def codebooks(self) -> list[Tensor]:
        """Each layer's codebook [K_q, C], as it acts."""
        return list(self.quantizer.codebooks)

    @property
    def ema_counts(self) -> list[Tensor] | None:
        """Each layer's EMA count per code [K], or None where the file does not hold them."""
        layers = self.quantizer.ema_layers()
        return [layer.code_count for layer in layers] if all(layer.ema_known for layer in layers) else None

    @property
    def corpora(self) -> dict[str, str]:
        """What the stored code counts are over, by corpus ('train', 'held_out'); empty where none are stored."""
        headings = int(self.training.get("headings_counted", 1))
        views = f", each in {headings} headings" if headings > 1 else ""
        described: dict[str, str] = {}
        for corpus, clips in (("train", "train_clips"), ("held_out", "held_out_clips")):
            if corpus in self.training.get("code_counts", {}):
                mirrored = corpus == "train" and self.training.get("mirrored")
                count = counted(len(self.training.get(clips, ())), "clip")
                described[corpus] = f"{count}{' and their mirror images' if mirrored else ''}{views}"
        return described

    @property
    def trained_on(self) -> tuple[frozenset[str], frozenset[str]]:
        """Names of the clips it was trained on, and of those held out; both empty where the file does not tell."""
        return frozenset(self.training.get("train_clips", ())), frozenset(self.training.get("held_out_clips", ()))

    def held_out(self, clip: str) -> bool | None:
        """Whether a clip of that name was held out of training; None where the file does not tell.

        Clips are known by their take: folder, file ending, and the number of a part do not matter.
        """
        return was_held_out(self.trained_on, clip)


def was_held_out(trained_on: tuple[frozenset[str], frozenset[str]], clip: str) -> bool | None:
    """Whether a clip is of those held out, of those trained on (False), or of neither (None): by its take."""
    train, held_out = map(_takes, trained_on)
    take = _take(clip)
    return True if take in held_out else False if take in train else None


@lru_cache(maxsize=256)
def _takes(names: frozenset[str]) -> frozenset[str]:
    return frozenset(map(_take, names))


def _take(clip: str) -> str:
    """The take that a clip is of: 'cmu/01_03_part2', '01_03.bvh' and '01_03#2' are all of '01_03'."""
    name = clip.split("/")[-1]
    for addition in (r"#\d+", r"\.(amc|bvh|npy|npz|pt|txt)", r"_part\d+"):
        name = re.sub(f"{addition}$", "", name, flags=re.IGNORECASE)
    return name
