"""The figures of a layer's use by which checkpoints are compared, and the same without one clip at a time."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rvq_core.stats.usage import Counts, entropy, entropy_without_each, perplexity_interval

Floats = NDArray[np.float64]

FIGURES = ("perplexity", "perplexity_ratio", "entropy_bits", "top1_share", "unseen_share")
"""Neither more nor less of them is better in itself."""


class LayerUse(NamedTuple):
    """Figures of the pooled counts of ``codes`` codes, by name.

    ``without`` holds each without one clip at a time [M]; ``unseen_share`` is not in it: a jackknife of the number of
    codes never seen is not to be trusted. ``interval`` is that of the perplexity, None under 5 clips.
    """

    codes: int
    tokens: int
    figures: dict[str, float]
    without: dict[str, Floats]
    interval: tuple[float, float] | None


def layer_use(by_clip: Counts) -> LayerUse:
    """Use of one layer, from its counts clip by clip [M, K]."""
    total = by_clip.sum(axis=0)
    tokens, codes = int(total.sum()), len(total)
    top1 = float(total.max() / max(1, tokens))
    figures = _of_entropy(np.array([entropy(total)]), codes)
    return LayerUse(
        codes,
        tokens,
        {name: float(value[0]) for name, value in figures.items()}
        | {"top1_share": top1, "unseen_share": float((total == 0).mean())},
        _of_entropy(entropy_without_each(by_clip), codes) | {"top1_share": _top1_without_each(by_clip, total)},
        perplexity_interval(by_clip),
    )


def _of_entropy(nats: Floats, codes: int) -> dict[str, Floats]:
    perplexity = np.exp(nats)
    return {"perplexity": perplexity, "perplexity_ratio": perplexity / codes, "entropy_bits": nats / np.log(2)}


def _top1_without_each(by_clip: Counts, total: Counts) -> Floats:
    left = [total - one for one in by_clip]
    return np.array([counts.max() / max(1, counts.sum()) for counts in left], dtype=np.float64)
