"""The tables of a report that come from codebooks and counts: one row a layer, one row a code."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from rvq_core.stats import diagnosis, geometry, usage
from rvq_core.stats.layer_facts import CORPORA, Counts, LayerFacts

__all__ = ["CORPORA", "LayerFacts", "codes_table", "layers_table"]


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
        "gaussian_energy": _number(facts.gaussian_energy),
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
    status = diagnosis.statuses(facts)
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
            "cause": diagnosis.causes(status, facts),
            **_margin_columns(facts),
        }
    )
    table.loc[neighbours.code < 0, "nearest_code"] = pd.NA
    for corpus in CORPORA:
        stored = facts.corpora.get(corpus)
        table[f"{corpus}_count"] = pd.array([None] * len(counts) if stored is None else stored, dtype="Int64")
    return table


def _margin_columns(facts: LayerFacts) -> dict[str, Any]:
    """How far unseen codes are from winning a latent; NaN for the others, and where it was not measured."""
    if facts.margins is None:
        return dict.fromkeys(("margin", "margin_l2", "margin_relative"), np.nan)
    usual = np.median(facts.neighbours.distance)
    relative = facts.margins.l2 / usual if usual > 0 else np.full(len(facts.counts), np.nan)
    return {"margin": facts.margins.squared, "margin_l2": facts.margins.l2, "margin_relative": relative}


def _number(value: float | None) -> float:
    return np.nan if value is None else value
