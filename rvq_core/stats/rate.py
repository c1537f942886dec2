"""Bits that the tokens cost: nominal, as used, and given the layer above; by latent and by second.

Counts are [K_q] of each layer, joints the pairs of codes of adjacent layers. Definitions: docs/metrics.md.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from rvq_core.stats.keyed import Joint
from rvq_core.stats.redundancy import enough_tokens, entropy_bits, joint_is_reliable
from rvq_core.stats.usage import Counts, chao_shen_entropy

KINDS = ("nominal", "effective", "conditional")
"""What a code is taken to cost: log2 K; the entropy of its layer; that entropy given the layer above."""

_COLUMNS = {
    "layer": "int64", "nominal_bits": "float64", "effective_bits": "float64", "effective_bits_corrected": "float64",
    "conditional_bits": "float64", "conditional_bits_corrected": "float64", "conditional_reliable": "bool",
}  # fmt: skip


def rate_table(margins: Sequence[Counts], adjacent: Sequence[Joint], seconds: float | None) -> pd.DataFrame:
    """One row a layer: its own bits, and those of layers 1 to it, by latent (``_total``) and second (``_bps``).

    ``margins`` counts [K_q] of each layer; ``adjacent`` the joint counts of layers q, q+1 (rows: q), Q - 1 of them;
    ``seconds`` that all tokens last together, None where unknown (``_bps`` is then NaN). The corrected columns are
    Chao and Shen's (2003), within 0 and log2 K. The first layer has none above: its conditional bits are its entropy.
    """
    rows = [_own_bits(layer, margins, adjacent) for layer in range(len(margins))]
    table = pd.DataFrame(rows, columns=list(_COLUMNS)).astype(_COLUMNS)
    tokens = int(margins[0].sum()) if margins else 0
    a_second = tokens / seconds if seconds and tokens else np.nan
    for kind in KINDS:
        table[f"{kind}_total"] = table[f"{kind}_bits"].cumsum(skipna=False)
    for kind in KINDS:
        table[f"{kind}_bps"] = table[f"{kind}_total"] * a_second
    return table


def rate_distortion(rate: pd.DataFrame, reconstruction: pd.DataFrame) -> pd.DataFrame:
    """Bits against error: the overall rows of a reconstruction table, beside what their active quantizers cost.

    ``rate`` as of rate_table, ``reconstruction`` with ``n_active``, ``metric``, ``value``, ``low``, ``high``,
    ``unit``. Adds ``nominal_bits``, ``effective_bits``, ``conditional_bits`` by latent and ``nominal_bps``, ... by
    second; no quantizer costs 0.
    """
    cost = rate[[f"{kind}_total" for kind in KINDS] + [f"{kind}_bps" for kind in KINDS]]
    cost = cost.rename(columns={f"{kind}_total": f"{kind}_bits" for kind in KINDS})
    # Without quantizers nothing is sent, unless nothing is known of the time either.
    nothing = pd.DataFrame({name: [0.0 if cost[name].notna().any() else np.nan] for name in cost.columns})
    cost = pd.concat([nothing, cost], ignore_index=True).assign(n_active=np.arange(len(rate) + 1))
    errors = reconstruction[["n_active", "metric", "value", "low", "high", "unit"]]
    return errors.merge(cost, on="n_active", how="left", validate="many_to_one")


def _own_bits(layer: int, margins: Sequence[Counts], adjacent: Sequence[Joint]) -> tuple[object, ...]:
    counts = margins[layer]
    nominal, entropy = float(np.log2(len(counts))), entropy_bits(counts)
    corrected = np.clip(_corrected_bits(counts), 0, nominal)
    if layer == 0:
        reliable = enough_tokens(int(counts.sum()), int((counts > 0).sum()))
        return 1, nominal, entropy, corrected, entropy, corrected, reliable
    joint, above = adjacent[layer - 1], margins[layer - 1]
    conditional = np.clip(entropy_bits(joint.times) - entropy_bits(above), 0, entropy)
    conditional_corrected = np.clip(_corrected_bits(joint.times) - _corrected_bits(above), 0, nominal)
    return (
        layer + 1,
        nominal,
        entropy,
        corrected,
        conditional,
        conditional_corrected,
        joint_is_reliable(joint),
    )


def _corrected_bits(counts: Counts) -> float:
    corrected = chao_shen_entropy(counts)
    return float("nan") if corrected is None else corrected / float(np.log(2))
