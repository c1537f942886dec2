"""What one pass over the clips adds up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rvq_core.measure import ClipErrors, ErrorRow
from rvq_core.report import Tokens
from rvq_core.stats.gaussian import Moments, gaussian_energy
from rvq_core.stats.reconstruction import JointErrors
from rvq_core.stats.sample import LatentSample
from rvq_core.stats.token_counts import TokenCounts
from rvq_core.stats.usage import count_codes
from rvq_core.stats.windows import ClosestWindows
from rvq_core.tokens import Encoded

USUAL_SIZE = (0.2, 3.0)
"""Root mean square of normalised features between which nothing is said."""


@dataclass(slots=True)
class Sums:
    """What one pass over the clips adds up."""

    codes: Sequence[int]
    seed: int = 0
    of_tokens: TokenCounts = field(init=False)
    kept: LatentSample = field(init=False)
    windows: ClosestWindows = field(init=False)
    counts: list[list[NDArray[np.int64]]] = field(default_factory=lambda: list[list[NDArray[np.int64]]]())
    tokens: list[Tokens] = field(default_factory=lambda: list[Tokens]())
    rows: list[ErrorRow] = field(default_factory=lambda: list[ErrorRow]())
    joints: list[JointErrors] = field(default_factory=lambda: list[JointErrors]())
    residuals: NDArray[np.float64] | None = None
    latents: Moments = field(default_factory=Moments)
    of_residuals: list[Moments] = field(init=False)
    feature_energy: float = 0.0
    feature_count: int = 0

    def __post_init__(self) -> None:
        self.of_tokens = TokenCounts(self.codes)
        self.kept = LatentSample(seed=self.seed)
        self.windows = ClosestWindows(self.codes)
        # What reaches each layer: the latents themselves reach the first.
        self.of_residuals = [self.latents, *(Moments() for _ in self.codes[1:])]

    def add(self, encoded: Encoded, errors: ClipErrors, seconds_per_token: float | None) -> None:
        """Add one clip."""
        self.counts.append([count_codes(encoded.indices[:, q], codes) for q, codes in enumerate(self.codes)])
        self.tokens.append(encoded.indices.astype(np.uint16))
        self.of_tokens.add(self.tokens[-1], seconds_per_token)
        self.rows.extend(errors.rows)
        self.joints.extend(errors.joints)
        if encoded.latents.shape[1]:
            self._add_latents(encoded, seconds_per_token)
        if encoded.features is not None:
            self.feature_energy += float(encoded.features.double().square().sum())
            self.feature_count += encoded.features.numel()

    def _add_latents(self, encoded: Encoded, seconds_per_token: float | None) -> None:
        """Of clips that hold indices there are none."""
        self.kept.add(encoded.clip.name, encoded.latents.t().cpu().numpy(), self.tokens[-1])
        latents = encoded.latents.double()
        residuals = (latents - encoded.partial.double()).cpu().numpy()  # [Q + 1, C, T']
        squares = np.square(residuals[1:]).sum(axis=1)  # [Q, T']
        self.windows.add(encoded.clip.name, self.tokens[-1], np.sqrt(squares).T, seconds_per_token)
        left = squares.sum(axis=1)
        self.residuals = left if self.residuals is None else self.residuals + left
        for moments, residual in zip(self.of_residuals, residuals[:-1], strict=True):
            moments.add(residual)

    def warnings(self) -> list[str]:
        """A warning where normalised features are far from the unit size that the model was trained on."""
        size = (self.feature_energy / self.feature_count) ** 0.5 if self.feature_count else 1.0
        if USUAL_SIZE[0] <= size <= USUAL_SIZE[1]:
            return []
        return [
            f"Normalised features have a root mean square of {size:.2g}, not about 1: mean and std are missing or of "
            "other motion, so the figures say little about this checkpoint. Give its own: --mean and "
            "--std, or 'How the file is read' in the dashboard."
        ]

    def residual_covariances(self) -> list[NDArray[np.floating[Any]] | None]:
        """Of what reaches each layer [C, C]; None where it does not vary."""
        return [None if moments.spread is None else moments.covariance() for moments in self.of_residuals]

    def residual_energy(self) -> list[float | None]:
        """Per layer: sum |r_q|^2 / sum |z - mean z|^2; None where the latents do not vary."""
        spread = self.latents.spread
        if self.residuals is None or spread is None:
            return [None] * len(self.codes)
        return [float(left / spread) for left in self.residuals]

    def gaussian_energy(self) -> list[float | None]:
        """Per layer: what an ideal code of the same nominal bits would leave of Gaussian latents, as a share."""
        return gaussian_energy(self.latents, np.cumsum(np.log2(self.codes)).tolist())
