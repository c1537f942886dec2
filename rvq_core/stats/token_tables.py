"""The tables of a report that need tokens alone: one entry, from tokens or from what was counted of them."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from rvq_core.stats.discovery import discovery_table
from rvq_core.stats.rate import rate_table
from rvq_core.stats.redundancy import layer_pairs_table, tuples_table
from rvq_core.stats.sequences import dwell_table, partners_table, transitions_table
from rvq_core.stats.token_counts import TokenCounts, Tokens


def token_tables(
    tokens: Sequence[Tokens],
    codes: Sequence[int],
    seconds_per_token: float | Sequence[float | None] | None,
    *,
    seed: int = 0,
) -> dict[str, pd.DataFrame]:
    """All statistics of clips' tokens: ``discovery``, ``rate``, ``layer_pairs``, ``tuples``, ``dwell``, and so on.

    ``tokens`` [T', Q] a clip, ``codes`` the K of each layer, ``seconds_per_token`` (stride / fps) of all clips or of
    each, None where unknown. ``seed`` decides the permutations behind ``layer_pairs``. Columns: docs/report.md.
    Raises ClipError where indices do not fit ``codes``.
    """
    lasting = seconds_per_token if isinstance(seconds_per_token, Sequence) else [seconds_per_token] * len(tokens)
    counts = TokenCounts(codes)
    for clip, seconds in zip(tokens, lasting, strict=True):
        counts.add(clip, seconds)
    return tables_of_counts(counts, seed=seed)


def tables_of_counts(counts: TokenCounts, *, seed: int = 0) -> dict[str, pd.DataFrame]:
    """The same tables from counts, as they come out of a pass over a corpus or of merging several."""
    margins, joints, steps = counts.margins(), counts.joints(), counts.steps()
    adjacent = [joints[layer, layer + 1] for layer in range(len(counts.codes) - 1)]
    tuples, times = counts.tuples()
    return {
        "discovery": discovery_table(*counts.groups()),
        "rate": rate_table(margins, adjacent, counts.seconds()),
        "layer_pairs": layer_pairs_table(margins, joints, seed),
        "tuples": tuples_table(tuples, times, counts.codes),
        "dwell": dwell_table(counts.runs(), steps),
        "transitions": transitions_table(steps),
        "partners": partners_table(adjacent),
    }
