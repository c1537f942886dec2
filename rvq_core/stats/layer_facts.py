"""What is known of one layer before any statistic: its codebook, its counts, and what the checkpoint stores."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rvq_core.stats import geometry

Counts = NDArray[np.int64]

CORPORA = ("train", "held_out")


@dataclass(frozen=True, eq=False)  # no slots: what several tables need is computed once and kept
class LayerFacts:
    """What is known of one layer before any statistic.

    ``codebook`` [K, C]; ``by_clip`` [M, K] tokens of each clip on each code; ``residual_energy`` after this layer;
    ``ema_count`` [K] or None where the checkpoint does not hold it, and the threshold below which a code is reset;
    ``corpora``: counts [K] that the checkpoint stores of its own corpora, by name ('train', 'held_out');
    ``logged_perplexity`` as a training log would show it; ``ema_mean`` [K, C]: the EMA's sum over its count, None
    where it is not known or no row need lie on it; ``other_layers``: of a shared codebook, tokens of each other layer
    (1-based) on the same codes [K]; ``margins`` of the codes, None where they were not measured;
    ``gaussian_energy``: what an ideal code would leave in place of ``residual_energy``.
    """

    codebook: NDArray[np.floating[Any]]
    by_clip: Counts
    residual_energy: float | None
    logged_perplexity: float
    ema_count: NDArray[np.floating[Any]] | None
    reset_threshold: float
    corpora: dict[str, Counts]
    ema_mean: NDArray[np.floating[Any]] | None = None
    other_layers: Mapping[int, Counts] = field(default_factory=lambda: dict[int, Counts]())
    margins: geometry.Margins | None = None
    gaussian_energy: float | None = None

    @cached_property
    def counts(self) -> Counts:
        """Tokens on each code [K], all clips together."""
        return self.by_clip.sum(axis=0)

    @cached_property
    def neighbours(self) -> geometry.Neighbours:
        """The nearest other code of each code [K]."""
        return geometry.nearest_neighbours(self.codebook)
