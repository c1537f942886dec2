"""Codes of two codebooks that stand for the same moments: contingency, best matching, mutual information.

Tokens are [N] or [N, Q], of the same moments in the same order.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import min_weight_full_bipartite_matching

from rvq_core.stats.keyed import Joint, joint_of
from rvq_core.stats.redundancy import layer_pairs_table
from rvq_core.stats.usage import count_codes

Tokens = NDArray[np.integer[Any]]
Ints = NDArray[np.int64]


class Matches(NamedTuple):
    """Pairs of codes, each in one pair at most, and the tokens that they share (> 0); each [pairs]."""

    code: Ints
    other: Ints
    times: Ints


def match_codes(joint: Joint) -> Matches:
    """The one-to-one matching of codes that share the most tokens in all.

    The assignment problem (Hungarian) on a sparse table: every row has a column of its own besides, for "no partner",
    and each cell counts one more than it does, so that a partner is only taken where it brings something.
    """
    if len(joint.times) == 0:
        return Matches(*(np.empty(0, dtype=np.int64) for _ in Matches._fields))
    rows, row = np.unique(joint.row, return_inverse=True)
    columns, column = np.unique(joint.column, return_inverse=True)
    alone = np.arange(len(rows))
    # float64 holds counts exactly up to 2^53
    weights = np.concatenate([joint.times + 1.0, np.ones(len(rows))])
    cells = np.concatenate([row, alone]), np.concatenate([column, len(columns) + alone])
    table = coo_array((weights, cells), shape=(len(rows), len(columns) + len(rows))).tocsr()
    chosen, partner = min_weight_full_bipartite_matching(table, maximize=True)
    kept = partner < len(columns)
    times = table[chosen[kept], partner[kept]] - 1
    return Matches(rows[chosen[kept]], columns[partner[kept]], np.asarray(times).ravel().astype(np.int64))


def same_numbers(joint: Joint) -> Matches:
    """Codes of equal numbers, and the tokens that they share: for two steps of one run."""
    equal = joint.row == joint.column
    return Matches(joint.row[equal], joint.column[equal], joint.times[equal])


def across_table(
    tokens: Tokens, other: Tokens, codes: Sequence[int], other_codes: Sequence[int], seed: int
) -> pd.DataFrame:
    """Agreement of every layer of ``tokens`` [N, Q] with every one of ``other`` [N, Q'].

    Columns of ``layer_pairs_table``; ``layer`` counts those of ``tokens``, ``other_layer`` those of ``other``.
    """
    depth = len(codes)
    together = np.concatenate([tokens, other], axis=1)
    sizes = [*codes, *other_codes]
    margins = [count_codes(together[:, layer], size) for layer, size in enumerate(sizes)]
    pairs = [(layer, depth + its) for layer in range(depth) for its in range(len(other_codes))]
    joints = {(a, b): joint_of(together[:, a], together[:, b], sizes[b]) for a, b in pairs}
    table = layer_pairs_table(margins, joints, seed)
    return table.assign(other_layer=table["other_layer"] - depth)


def shared_tokens(matches: Matches, joint: Joint) -> float:
    """Share of the tokens on matched codes; NaN without tokens."""
    total = int(joint.times.sum())
    return int(matches.times.sum()) / total if total else float("nan")


def nearest_in_time(count: int, seconds: float, other_count: int, other_seconds: float) -> tuple[Ints, Ints]:
    """Positions of tokens of two clips that are nearest in time, by the coarser one: two arrays of equal length.

    Token i of a clip stands for the time (i + 1/2) ``seconds``. Equal grids are aligned one to one.
    """
    if seconds < other_seconds:
        other, own = nearest_in_time(other_count, other_seconds, count, seconds)
        return own, other
    middle = (np.arange(count) + 0.5) * seconds
    # A middle on the border of two tokens must not fall to either side by rounding.
    nearest = np.floor(middle / other_seconds * (1 + 1e-12)).astype(np.int64)
    inside = nearest < other_count
    return np.flatnonzero(inside), nearest[inside]
