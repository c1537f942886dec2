"""What is the matter with a code: its status, and the cause where one can be told. Definitions: docs/metrics.md."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rvq_core.stats import geometry, usage
from rvq_core.stats.layer_facts import LayerFacts

TILED_DISTANCE = 0.03
"""Resets tile a batch smaller than the codebook with noise of standard deviation 0.01 / sqrt(C): two copies of one
token lie 0.014 apart, hardly ever twice that."""

TILED_SHARE = 0.1
"""... and far nearer than codes in use do: below this share of their median nearest-neighbour distance."""

OFF_MEAN = 1e-3
"""A row further from its EMA's mean than this share of its length was put there by a reset."""

SMALLEST_COUNT = 1e-30
"""Below this EMA count the quotient of sum and count is rounding."""


def statuses(facts: LayerFacts) -> NDArray[np.object_]:
    """Of each code [K] the first that fits of unseen, duplicate, rare, used."""
    status = np.full(len(facts.counts), "used", dtype=object)
    status[usage.is_rare(facts.counts)] = "rare"
    status[geometry.is_duplicate(facts.neighbours)] = "duplicate"
    status[facts.counts == 0] = "unseen"
    return status


def causes(status: NDArray[np.object_], facts: LayerFacts) -> list[str | None]:
    """Why each code [K] is not simply used: 'kind: the evidence'; None for those that are.

    Kinds: 'duplicate', 'rare', and of unseen codes 'not exercised by these clips', 'used by other layers',
    'duplicate', 'frozen at reset noise', 'dead', 'unknown'.
    """
    marks = _Marks(geometry.is_duplicate(facts.neighbours), _reset_rows(facts), _tiled_rows(facts))
    return [_cause(str(status[code]), code, facts, marks) for code in range(len(status))]


class _Marks(NamedTuple):
    """What is to be seen of rows [K]: on another one; put there by a reset; a noisy copy of another one."""

    duplicate: NDArray[np.bool_]
    reset: NDArray[np.bool_]
    tiled: NDArray[np.bool_]


def _cause(status: str, code: int, facts: LayerFacts, marks: _Marks) -> str | None:
    if status == "duplicate":
        return f"duplicate: lies on code {facts.neighbours.code[code]}"
    if status == "rare":
        tokens = int(facts.counts.sum())
        return f"rare: {facts.counts[code]} of {tokens:,} tokens, an even share is {tokens / len(facts.counts):.0f}"
    if status != "unseen":
        return None
    return _in_use_elsewhere(code, facts) or _never_chosen(code, facts, marks)


def _in_use_elsewhere(code: int, facts: LayerFacts) -> str | None:
    trained = facts.corpora.get("train")
    if trained is not None and trained[code] > 0:
        return f"not exercised by these clips: {trained[code]} tokens of the training corpus are on it"
    others = {layer: int(counts[code]) for layer, counts in facts.other_layers.items() if counts[code]}
    if others:
        told = ", ".join(f"layer {layer} ({tokens} tokens)" for layer, tokens in others.items())
        return f"used by other layers: the codebook is shared, and here it is on {told}"
    # Over a whole corpus a code without tokens is dead, whatever its EMA count remembers of earlier steps.
    if facts.ema_count is not None and trained is None and facts.ema_count[code] >= facts.reset_threshold:
        return f"not exercised by these clips: EMA count {facts.ema_count[code]:.2f}"
    return None


def _never_chosen(code: int, facts: LayerFacts, marks: _Marks) -> str:
    if marks.duplicate[code]:
        return f"duplicate: lies on code {facts.neighbours.code[code]}, which takes its latents"
    if marks.reset[code] and facts.ema_count is not None:
        return (
            f"frozen at reset noise: EMA count {facts.ema_count[code]:.2g}, and the row is not its EMA's mean but a "
            "latent that the last reset put there"
        )
    if marks.tiled[code]:
        return (
            f"frozen at reset noise: lies {facts.neighbours.distance[code]:.2g} from code "
            f"{facts.neighbours.code[code]}, as copies of one latent do"
        )
    if facts.ema_count is not None and facts.ema_count[code] < facts.reset_threshold:
        return f"dead: EMA count {facts.ema_count[code]:.2g} is below the reset threshold {facts.reset_threshold:g}"
    trained = facts.corpora.get("train")
    if trained is not None:
        return f"dead: none of {trained.sum():,} tokens of the training corpus is on it"
    return "unknown: this checkpoint holds neither EMA counts nor counts of its training corpus"


def _reset_rows(facts: LayerFacts) -> NDArray[np.bool_]:
    """Rows [K] below the reset threshold that do not lie where their EMA has them."""
    if facts.ema_mean is None or facts.ema_count is None:
        return np.zeros(len(facts.counts), dtype=bool)
    told = (facts.ema_count < facts.reset_threshold) & (facts.ema_count > SMALLEST_COUNT)
    rows = facts.codebook.astype(np.float64)
    off = np.linalg.norm(rows - facts.ema_mean.astype(np.float64), axis=1) > OFF_MEAN * np.linalg.norm(rows, axis=1)
    return told & off


def _tiled_rows(facts: LayerFacts) -> NDArray[np.bool_]:
    """Rows [K] as near to another one as copies of one token are, and far nearer than codes in use."""
    distance = facts.neighbours.distance
    in_use = distance[facts.counts > 0]
    if not len(in_use) or np.isnan(in_use).any():
        return np.zeros(len(distance), dtype=bool)
    return (distance < TILED_DISTANCE) & (distance < TILED_SHARE * np.median(in_use))
