"""The distortion that an ideal code would leave on Gaussian latents: a yardstick for residual energy.

Covariances are streamed: sums that grow clip by clip and can be merged. Definitions: docs/metrics.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.floating[Any]]

_ROUNDING = 1e-12
"""Of the mean square of the latents: less variance than this is the rounding of a difference of two sums."""


class Moments:
    """First and second moments of vectors of C channels. Merging those of two halves gives those of the whole."""

    def __init__(self) -> None:
        self.count = 0
        """Vectors added."""
        self._sum: Values = np.zeros(0)
        self._products: Values = np.zeros((0, 0))

    def add(self, vectors: Values) -> None:
        """Add vectors [C, N]."""
        exact = vectors.astype(np.float64)
        self._put(exact.shape[1], exact.sum(axis=1), exact @ exact.T)

    def merge(self, other: Moments) -> None:
        """Add what ``other`` holds; it stays as it is."""
        if other.count:
            self._put(other.count, other._sum, other._products)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """All that it holds, for a file."""
        return {"count": np.array(self.count), "sum": self._sum, "products": self._products}

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Self:
        """What ``arrays`` gave."""
        found = cls()
        found.count, found._sum, found._products = int(arrays["count"]), arrays["sum"], arrays["products"]
        return found

    @property
    def spread(self) -> float | None:
        """Sum of |z - mean z|^2 over all vectors; None where they do not vary."""
        if not self.count:
            return None
        energy = float(np.trace(self._products))
        spread = energy - float(np.square(self._sum).sum()) / self.count
        return None if spread <= _ROUNDING * energy else spread

    def covariance(self) -> Values:
        """Of the vectors, [C, C]: divided by their number. Raises ValueError where there is none."""
        if not self.count:
            raise ValueError("there is no covariance without vectors")
        mean = self._sum / self.count
        return self._products / self.count - np.outer(mean, mean)

    def _put(self, count: int, total: Values, products: Values) -> None:
        if not self.count:
            self._sum, self._products = np.zeros_like(total), np.zeros_like(products)
        self.count += count
        self._sum = self._sum + total
        self._products = self._products + products


def gaussian_energy(moments: Moments, bits: Sequence[float]) -> list[float | None]:
    """Share of the variance that an ideal code of so many ``bits`` a vector leaves; None where nothing varies.

    The vectors are taken for independent draws of a Gaussian with their covariance.
    """
    if moments.spread is None:
        return [None] * len(bits)
    variances = np.linalg.eigvalsh(moments.covariance())
    total = float(variances.clip(min=0).sum())
    return [water_filling(variances, rate) / total for rate in bits]


def water_filling(variances: Values, bits: float) -> float:
    """Least mean squared error of a code of ``bits`` a vector for independent Gaussian channels of ``variances`` [C].

    Reverse water-filling (Cover and Thomas 2006, theorem 10.3.3): each channel errs by min(level, variance), and
    the level is where sum of max(0, log2(variance / level) / 2) is the rate. Variances of 0 or less cost nothing.
    """
    positive = np.sort(variances[variances > 0])[::-1].astype(np.float64)
    if not len(positive):
        return 0.0
    # With the m largest channels coded the level is their geometric mean, lowered by the bits that they share.
    coded = np.arange(1, len(positive) + 1)
    level = np.exp2((np.cumsum(np.log2(positive)) - 2 * bits) / coded)
    # A coded channel stands above the level: true of the m largest and no other. Of the first, rounding apart, always.
    m = max(1, int((level <= positive).sum()))
    return float(level[m - 1] * m + positive[m:].sum())
