"""What one pass over the clips adds up: block by block, and all blocks in their order.

A block is a few clips; its sums are small, go into a file, and do not depend on what was added before. So the totals
are the same, to the last bit, whoever computed which block.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rvq_core.layer_value import ClipDetails
from rvq_core.measure import ClipErrors, ErrorRow
from rvq_core.report import Tokens
from rvq_core.stats.gaussian import Moments, gaussian_energy
from rvq_core.stats.reconstruction import JointErrors
from rvq_core.stats.sample import LatentSample
from rvq_core.stats.token_counts import TokenCounts
from rvq_core.stats.windows import ClosestWindows
from rvq_core.tokens import Encoded

USUAL_SIZE = (0.2, 3.0)
"""Root mean square of normalised features between which nothing is said."""


@dataclass(slots=True)
class LatentSums:
    """Sums over latents and features, of a block or of all clips: ``codes`` of each layer."""

    codes: Sequence[int]
    seed: int = 0
    below: float = 1.0
    kept: LatentSample = field(init=False)
    windows: ClosestWindows = field(init=False)
    residuals: NDArray[np.float64] | None = None
    of_residuals: list[Moments] = field(init=False)
    feature_energy: float = 0.0
    feature_count: int = 0

    def __post_init__(self) -> None:
        self.kept = LatentSample(seed=self.seed, below=self.below)
        self.windows = ClosestWindows(self.codes)
        # What reaches each layer: the latents themselves reach the first.
        self.of_residuals = [Moments() for _ in self.codes]

    def add(self, encoded: Encoded, seconds_per_token: float | None) -> None:
        """Add one clip; of clips that hold indices there are no latents."""
        if encoded.features is not None:
            self.feature_energy += float(encoded.features.double().square().sum())
            self.feature_count += encoded.features.numel()
        if not encoded.latents.shape[1]:
            return
        tokens = encoded.indices.astype(np.uint16)
        self.kept.add(encoded.clip.name, encoded.latents.t().cpu().numpy(), tokens)
        latents = encoded.latents.double()
        residuals = (latents - encoded.partial.double()).cpu().numpy()  # [Q + 1, C, T']
        squares = np.square(residuals[1:]).sum(axis=1)  # [Q, T']
        self.windows.add(encoded.clip.name, tokens, np.sqrt(squares).T, seconds_per_token)
        self._add_residuals(squares.sum(axis=1))
        for moments, residual in zip(self.of_residuals, residuals[:-1], strict=True):
            moments.add(residual)

    def merge(self, other: LatentSums) -> None:
        """Add those of later clips; they stay as they are."""
        self.feature_energy += other.feature_energy
        self.feature_count += other.feature_count
        self.kept.merge(other.kept)
        self.windows.merge(other.windows)
        if other.residuals is not None:
            self._add_residuals(other.residuals)
        for mine, theirs in zip(self.of_residuals, other.of_residuals, strict=True):
            mine.merge(theirs)

    def _add_residuals(self, left: NDArray[np.float64]) -> None:
        self.residuals = left if self.residuals is None else self.residuals + left


@dataclass(slots=True)
class BlockSums:
    """What the clips of one block add up to; lists have an entry a clip, but for ``rows`` and ``joints``.

    ``details`` are of the clips alone that were encoded in other ways as well.
    """

    of_latents: LatentSums
    tokens: list[Tokens] = field(default_factory=lambda: list[Tokens]())
    seconds_per_token: list[float | None] = field(default_factory=lambda: list[float | None]())
    fingerprints: list[str] = field(default_factory=lambda: list[str]())
    rows: list[ErrorRow] = field(default_factory=lambda: list[ErrorRow]())
    joints: list[JointErrors] = field(default_factory=lambda: list[JointErrors]())
    details: list[ClipDetails] = field(default_factory=lambda: list[ClipDetails]())

    def add(
        self, encoded: Encoded, errors: ClipErrors, details: ClipDetails | None, seconds: float | None, identity: str
    ) -> None:
        """Add one clip; ``seconds`` that a token lasts, and the clip's fingerprint."""
        self.tokens.append(encoded.indices.astype(np.uint16))
        self.seconds_per_token.append(seconds)
        self.fingerprints.append(identity)
        self.rows.extend(errors.rows)
        self.joints.extend(errors.joints)
        if details is not None:
            self.details.append(details)
        self.of_latents.add(encoded, seconds)


class Sums:
    """What all blocks add up to. ``below``: see ``LatentSample``."""

    def __init__(self, codes: Sequence[int], seed: int = 0, below: float = 1.0) -> None:
        self.codes = codes
        self.of_tokens = TokenCounts(codes)
        self.of_latents = LatentSums(codes, seed, below)
        self.tokens: list[Tokens] = []
        self.fingerprints: list[str] = []
        self.rows: list[ErrorRow] = []
        self.joints: list[JointErrors] = []
        self.details: list[ClipDetails] = []

    def add(self, block: BlockSums) -> None:
        """Add a block; blocks come in their order."""
        self.of_latents.merge(block.of_latents)
        for tokens, seconds in zip(block.tokens, block.seconds_per_token, strict=True):
            self.of_tokens.add(tokens, seconds)
        self.tokens += block.tokens
        self.fingerprints += block.fingerprints
        self.rows += block.rows
        self.joints += block.joints
        self.details += block.details

    @property
    def kept(self) -> LatentSample:
        """A sample of all latents."""
        return self.of_latents.kept

    def warnings(self) -> list[str]:
        """A warning where normalised features are far from the unit size that the model was trained on."""
        energy, count = self.of_latents.feature_energy, self.of_latents.feature_count
        size = (energy / count) ** 0.5 if count else 1.0
        if USUAL_SIZE[0] <= size <= USUAL_SIZE[1]:
            return []
        return [
            f"Normalised features have a root mean square of {size:.2g}, not about 1: mean and std are missing or of "
            "other motion, so the figures say little about this checkpoint. Give its own: --mean and "
            "--std, or 'How the file is read' in the dashboard."
        ]

    def residual_covariances(self) -> list[NDArray[np.floating[Any]] | None]:
        """Of what reaches each layer [C, C]; None where it does not vary."""
        of_residuals = self.of_latents.of_residuals
        return [None if moments.spread is None else moments.covariance() for moments in of_residuals]

    def residual_energy(self) -> list[float | None]:
        """Per layer: sum |r_q|^2 / sum |z - mean z|^2; None where the latents do not vary."""
        spread, residuals = self.of_latents.of_residuals[0].spread, self.of_latents.residuals
        if residuals is None or spread is None:
            return [None] * len(self.codes)
        return [float(left / spread) for left in residuals]

    def gaussian_energy(self) -> list[float | None]:
        """Per layer: what an ideal code of the same nominal bits would leave of Gaussian latents, as a share."""
        return gaussian_energy(self.of_latents.of_residuals[0], np.cumsum(np.log2(self.codes)).tolist())
