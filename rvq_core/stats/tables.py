"""The tables of a report that come from codebooks and counts: one row a layer, one row a code."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rvq_core.stats import geometry, usage

Counts = NDArray[np.int64]


@dataclass(frozen=True, eq=False)  # no slots: what both tables need is computed once and kept
class LayerFacts:
    """What is known of one layer before any statistic.

    ``codebook`` [K, C]; ``by_clip`` [M, K] tokens of each clip on each code; ``residual_energy`` after this layer;
    ``ema_count`` [K] or None where the checkpoint does not hold it, and the threshold below which a code is reset;
    ``corpora``: counts [K] that the checkpoint stores of its own corpora, by name ('train', 'held_out');
    ``logged_perplexity`` as a training log would show it.
    """

    codebook: NDArray[np.floating[Any]]
    by_clip: Counts
    residual_energy: float | None
    logged_perplexity: float
    ema_count: NDArray[np.floating[Any]] | None
    reset_threshold: float
    corpora: dict[str, Counts]

    @cached_property
    def counts(self) -> Counts:
        """Tokens on each code [K], all clips together."""
        return self.by_clip.sum(axis=0)

    @cached_property
    def neighbours(self) -> geometry.Neighbours:
        """The nearest other code of each code [K]."""
        return geometry.nearest_neighbours(self.codebook)


CORPORA = ("train", "held_out")


def layers_table(layers: Sequence[LayerFacts]) -> pd.DataFrame:
    """One row a layer. Columns and definitions: docs/report.md, docs/metrics.md."""
    table = pd.DataFrame([_layer_row(number, facts) for number, facts in enumerate(layers, start=1)])
    whole = ["rare", *(f"{corpus}_{column}" for corpus in CORPORA for column in ("tokens", "unseen"))]
    return table.astype(dict.fromkeys(whole, "Int64"))


def codes_table(layers: Sequence[LayerFacts]) -> pd.DataFrame:
    """One row a code of each layer."""
    table = pd.concat([_code_rows(number, facts) for number, facts in enumerate(layers, start=1)], ignore_index=True)
    return table.astype(dict.fromkeys(["nearest_code", *(f"{corpus}_count" for corpus in CORPORA)], "Int64"))


def _layer_row(number: int, facts: LayerFacts) -> dict[str, Any]:
    counts = facts.counts
    tokens, codes = int(counts.sum()), len(counts)
    interval = usage.perplexity_interval(facts.by_clip)
    perplexity = usage.perplexity(counts)
    decidable = usage.rare_is_decidable(counts)
    row = {
        "layer": number,
        "codes": codes,
        "tokens": tokens,
        "used": int((counts > 0).sum()),
        "unseen": int((counts == 0).sum()),
        "rare": int(usage.is_rare(counts).sum()) if decidable else None,
        "perplexity": perplexity,
        "perplexity_low": interval[0] if interval else np.nan,
        "perplexity_high": interval[1] if interval else np.nan,
        "perplexity_corrected": _number(usage.chao_shen_perplexity(counts)),
        "perplexity_logged": facts.logged_perplexity,
        "perplexity_ratio": perplexity / codes,
        "ceiling": min(codes, tokens),
        "entropy_bits": float(np.log2(perplexity)),
        "top1_share": float(counts.max() / tokens) if tokens else np.nan,
        "unseen_mass": _number(usage.unseen_mass(counts)),
        "duplicates": int(geometry.is_duplicate(facts.neighbours).sum()),
        "residual_energy": _number(facts.residual_energy),
    }
    for corpus in CORPORA:
        row |= _corpus_columns(corpus, facts.corpora.get(corpus))
    return row


def _corpus_columns(corpus: str, counts: Counts | None) -> dict[str, Any]:
    if counts is None or counts.sum() == 0:
        return {f"{corpus}_tokens": None, f"{corpus}_unseen": None, f"{corpus}_perplexity": np.nan}
    return {
        f"{corpus}_tokens": int(counts.sum()),
        f"{corpus}_unseen": int((counts == 0).sum()),
        f"{corpus}_perplexity": usage.perplexity(counts),
    }


def _code_rows(number: int, facts: LayerFacts) -> pd.DataFrame:
    counts, neighbours = facts.counts, facts.neighbours
    status = _status(counts, geometry.is_duplicate(neighbours))
    table = pd.DataFrame(
        {
            "layer": number,
            "code": np.arange(len(counts)),
            "count": counts,
            "share": counts / max(1, counts.sum()),
            "norm": geometry.norms(facts.codebook),
            "nearest_code": pd.array(np.where(neighbours.code < 0, 0, neighbours.code), dtype="Int64"),
            "nearest_distance": neighbours.distance,
            "ema_count": np.nan if facts.ema_count is None else facts.ema_count.astype(np.float64),
            "status": status,
            "cause": _causes(status, neighbours.code, facts),
        }
    )
    table.loc[neighbours.code < 0, "nearest_code"] = pd.NA
    for corpus in CORPORA:
        stored = facts.corpora.get(corpus)
        table[f"{corpus}_count"] = pd.array([None] * len(counts) if stored is None else stored, dtype="Int64")
    return table


def _status(counts: Counts, duplicate: NDArray[np.bool_]) -> NDArray[np.object_]:
    """The first that fits of unseen, duplicate, rare, used."""
    status = np.full(len(counts), "used", dtype=object)
    status[usage.is_rare(counts)] = "rare"
    status[duplicate] = "duplicate"
    status[counts == 0] = "unseen"
    return status


def _causes(status: NDArray[np.object_], nearest: NDArray[np.int64], facts: LayerFacts) -> list[str | None]:
    """A plain reason for each code [K] that is not simply used, where one can be told."""
    return [_cause(str(status[code]), code, int(nearest[code]), facts) for code in range(len(status))]


def _cause(status: str, code: int, nearest: int, facts: LayerFacts) -> str | None:
    if status == "duplicate":
        return f"lies on code {nearest}"
    if status != "unseen":
        return None
    trained = facts.corpora.get("train")
    if trained is not None and trained[code] > 0:
        return f"not exercised by these clips: {int(trained[code])} tokens of the training corpus are on it"
    if facts.ema_count is not None and facts.ema_count[code] < facts.reset_threshold:
        return f"dead: EMA count {facts.ema_count[code]:.2f} is below the reset threshold {facts.reset_threshold:g}"
    if facts.ema_count is not None:
        return f"not exercised by these clips: EMA count {facts.ema_count[code]:.2f}"
    return None


def _number(value: float | None) -> float:
    return np.nan if value is None else value
