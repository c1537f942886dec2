"""Usage by group of clips: how each group's tokens spread over the codes of each layer.

Counts are [M, K] (clip by clip). Definitions: docs/metrics.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rvq_core.stats import usage

COLUMNS = {
    "group": "str", "layer": "int64", "clips": "int64", "tokens": "int64", "codes": "int64", "used": "int64",
    "only_here": "int64", "perplexity": "float64", "perplexity_low": "float64", "perplexity_high": "float64",
    "perplexity_corrected": "float64", "perplexity_ratio": "float64", "ceiling": "int64", "entropy_bits": "float64",
    "top1_code": "int64", "top1_share": "float64", "distance": "float64", "distance_chance": "float64",
}  # fmt: skip

SHUFFLES = 20
"""Times that clips are dealt to the groups anew, for the distance that chance alone gives."""


def group_usage_table(
    by_clip: Sequence[NDArray[np.integer[Any]]], groups: Sequence[str | None], seed: int = 0
) -> pd.DataFrame:
    """One row a group and layer, from counts [M, K] of each layer and the group of each of the M clips (or None).

    ``only_here`` counts the codes that no clip outside the group uses; ``distance`` is the total variation distance
    between the group's shares and those of all other clips, in 0..1 (NaN where there are no others), and
    ``distance_chance`` its mean where clips are dealt to groups of the same sizes at random: few tokens are far apart
    by chance alone.
    """
    labels = np.array(["" if group is None else group for group in groups], dtype=object)
    names = sorted({group for group in groups if group is not None})
    rng = np.random.default_rng(seed)
    dealt = [rng.permutation(len(labels)) for _ in range(SHUFFLES)]
    rows = [
        _row(name, layer, counts, labels == name, dealt)
        for name in names
        for layer, counts in enumerate(by_clip, start=1)
        if counts[labels == name].sum()
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype(COLUMNS)


def _row(
    name: str, layer: int, by_clip: NDArray[np.integer[Any]], inside: NDArray[np.bool_], dealt: list[NDArray[np.intp]]
) -> tuple[object, ...]:
    mine, others = by_clip[inside].sum(axis=0), by_clip[~inside].sum(axis=0)
    tokens, codes = int(mine.sum()), len(mine)
    perplexity = usage.perplexity(mine)
    low, high = usage.perplexity_interval(by_clip[inside]) or (np.nan, np.nan)
    corrected = usage.chao_shen_perplexity(mine) or np.nan
    chance = [_distance(by_clip, inside[order]) for order in dealt]
    return (
        name, layer, int(inside.sum()), tokens, codes, int((mine > 0).sum()), int(((mine > 0) & (others == 0)).sum()),
        perplexity, low, high, np.minimum(corrected, codes), perplexity / codes, min(codes, tokens),
        float(np.log2(perplexity)), int(mine.argmax()), float(mine.max() / tokens), _distance(by_clip, inside),
        float(np.mean(chance)),
    )  # fmt: skip


def _distance(by_clip: NDArray[np.integer[Any]], inside: NDArray[np.bool_]) -> float:
    """Half the summed difference of two groups' shares; NaN where one has no tokens."""
    mine, others = by_clip[inside].sum(axis=0), by_clip[~inside].sum(axis=0)
    if not mine.sum() or not others.sum():
        return float("nan")
    return float(np.abs(mine / mine.sum() - others / others.sum()).sum() / 2)
