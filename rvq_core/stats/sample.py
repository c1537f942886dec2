"""A uniform sample of latents of bounded size, the same whatever the order in which clips come."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Latents = NDArray[np.floating[Any]]
Tokens = NDArray[np.integer[Any]]

LATENTS_KEPT = 1 << 15
"""Latents kept of a corpus: 16 MB at 128 channels."""

_KEPT = ("keys", "latents", "tokens")

_DEVIATIONS = 10
"""Standard deviations by which more keys than needed lie below the bound: fewer come once in 1e23 corpora."""


def key_bound(total: int, size: int = LATENTS_KEPT) -> float:
    """Keys of ``total`` latents below which the ``size`` smallest lie; 1 where all may be needed."""
    return 1.0 if total <= 2 * size else min(1.0, (size + _DEVIATIONS * size**0.5) / total)


class LatentSample:
    """The latents [n, C] with the smallest random keys, and their tokens [n, Q], of all that were added.

    Keys are drawn by ``seed`` and the clip's name, so merging the samples of two halves gives that of the whole,
    exactly. Up to ``size`` latents it is all of them. Keys lie in [0, 1); those of ``below`` and more are not kept,
    which bounds the sample of a part where ``key_bound`` says that the whole will not need them.
    """

    def __init__(self, size: int = LATENTS_KEPT, seed: int = 0, below: float = 1.0) -> None:
        self.size = size
        self.seed = seed
        self.below = below
        self.seen = 0
        """Latents that were added, kept or not."""
        self._parts: list[tuple[NDArray[np.float64], Latents, Tokens]] = []

    def add(self, clip: str, latents: Latents, tokens: Tokens) -> None:
        """Add the latents [T', C] and tokens [T', Q] of a clip; clips have different names."""
        self.seen += len(latents)
        digest = hashlib.sha256(clip.encode()).digest()
        keys = np.random.default_rng([self.seed, *np.frombuffer(digest, np.uint32).tolist()]).random(len(latents))
        if self.below >= 1:
            self._put(keys, latents, tokens)
        elif (near := keys < self.below).any():
            self._put(keys[near], latents[near], tokens[near])

    def merge(self, other: LatentSample) -> None:
        """Add what ``other`` was given; it stays as it is."""
        if (self.size, self.seed, self.below) != (other.size, other.seed, other.below):
            raise ValueError("samples of different size, seed or bound cannot be merged")
        self.seen += other.seen
        for part in other._parts:
            self._put(*part)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """What it holds, for a file."""
        if self._parts:
            self._fold()
        kept = dict(zip(_KEPT, self._parts[0], strict=True)) if self._parts else {}
        return {"seen": np.array(self.seen), **kept}

    def take_arrays(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Add what ``arrays`` gave of a sample of this size, seed and bound."""
        self.seen += int(arrays["seen"])
        if "keys" in arrays:
            self._put(arrays["keys"], arrays["latents"], arrays["tokens"])

    def latents(self) -> tuple[Latents, Tokens]:
        """The latents kept [n, C] and their tokens [n, Q], in the order of their keys."""
        if not self._parts:
            return np.zeros((0, 0), dtype=np.float32), np.zeros((0, 0), dtype=np.int64)
        self._fold()
        return self._parts[0][1], self._parts[0][2]

    def _put(self, keys: NDArray[np.float64], latents: Latents, tokens: Tokens) -> None:
        self._parts.append((keys, latents, tokens))
        if 4 * sum(len(part[0]) for part in self._parts) > 5 * self.size:
            self._fold()

    def _fold(self) -> None:
        keys, latents, tokens = (np.concatenate(arrays) for arrays in zip(*self._parts, strict=True))
        kept = np.argsort(keys, kind="stable")[: self.size]
        self._parts = [(keys[kept], latents[kept], tokens[kept])]
