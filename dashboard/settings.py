"""What a user sets of how a checkpoint is read and of how a map is laid out: plain values.

Nothing else is imported: who speaks to the worker does not wait for torch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


class Reading(NamedTuple):
    """What the user says of a checkpoint where its file does not tell, or tells wrong; None leaves it to the file."""

    activation: str | None = None
    norm: str | None = None
    dilation_growth_rate: int | None = None
    mean: str | None = None
    std: str | None = None


@dataclass(frozen=True, slots=True)
class UmapSettings:
    """What coordinates by UMAP depend on beside the codebooks; ``layers`` are 1-based."""

    layers: tuple[int, ...]
    n_neighbors: int = 15
    min_dist: float = 0.1
    metric: str = "euclidean"
    seed: int = 0
    scale: str = "raw"
