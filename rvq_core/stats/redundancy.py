"""What layers tell about each other: mutual information, and how many index tuples there are.

Figures are in bits. Definitions: docs/metrics.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rvq_core.stats.keyed import Ints, Joint, tally
from rvq_core.stats.usage import Counts, entropy

Pair = tuple[int, int]
"""Two layers, 0-based, the lower one first."""

SHUFFLED_TOKENS = 1 << 22
"""About as many tokens are shuffled for the mutual information by chance, in all its draws together."""

MOST_DRAWS, FEWEST_DRAWS = 20, 2

TOKENS_A_CELL = 10

_LN_2 = float(np.log(2))

_PAIR_COLUMNS = {
    "layer": "int64", "other_layer": "int64", "tokens": "int64", "joint_bits": "float64", "mi_bits": "float64",
    "mi_chance_bits": "float64", "mi_corrected_bits": "float64", "nmi": "float64", "ami": "float64",
    "reliable": "bool",
}  # fmt: skip

_TUPLE_COLUMNS = {
    "layers": "int64", "tokens": "int64", "distinct": "int64", "unique_share": "float64", "ceiling": "float64",
}  # fmt: skip


def entropy_bits(counts: Counts) -> float:
    """-sum p log2 p, exact over these counts; NaN without tokens."""
    return entropy(counts) / _LN_2 if counts.sum() else float("nan")


def enough_tokens(tokens: int, cells: int) -> bool:
    """Whether there are ten tokens for each cell: with fewer, plug-in entropies are visibly too low.

    Their bias is about (cells - 1) / (2 N ln 2) bits (Miller 1955): at ten tokens a cell 0.07 bits.
    """
    return tokens >= TOKENS_A_CELL * cells > 0


def joint_is_reliable(joint: Joint) -> bool:
    """Whether there are enough tokens for all pairs of the codes in use, seen together or not."""
    return enough_tokens(int(joint.times.sum()), _different(joint.row) * _different(joint.column))


def _different(codes: Ints) -> int:
    return int(np.count_nonzero(np.bincount(codes)))


def chance_information(margins: Sequence[Counts], pairs: Sequence[Pair], seed: int) -> dict[Pair, float]:
    """Mutual information in bits that independent layers with these counts [K_q] would show: the plug-in's bias.

    Mean over draws in which the tokens of each layer are permuted (``seed``): 2 at 2 million tokens or more, where
    draws hardly differ, up to 20. NaN without tokens.
    """
    total = int(margins[0].sum()) if margins else 0
    if total == 0:
        return dict.fromkeys(pairs, float("nan"))
    rng = np.random.default_rng(seed)
    alone = [entropy_bits(counts) for counts in margins]
    ordered = [np.repeat(np.arange(len(counts), dtype=np.int64), counts) for counts in margins]
    draws = int(np.clip(SHUFFLED_TOKENS // total, FEWEST_DRAWS, MOST_DRAWS))
    sums = dict.fromkeys(pairs, 0.0)
    for _ in range(draws):
        # The first layer may stay in its order: only the others against it, and each other, matter.
        shuffled = [ordered[0], *(rng.permutation(tokens) for tokens in ordered[1:])]
        for first, second in pairs:
            together = _pair_counts(shuffled[first], shuffled[second], len(margins[first]), len(margins[second]))
            sums[first, second] += alone[first] + alone[second] - entropy_bits(together)
    return {pair: value / draws for pair, value in sums.items()}


def layer_pairs_table(margins: Sequence[Counts], joints: Mapping[Pair, Joint], seed: int) -> pd.DataFrame:
    """One row for each pair of layers of ``joints``, from it and the counts [K_q] of each layer.

    ``nmi`` is 2 I / (H + H'), ``ami`` (I - I by chance) / ((H + H') / 2 - I by chance): scikit-learn's arithmetic
    normalisation. NaN where neither layer varies, or without tokens.
    """
    chance = chance_information(margins, list(joints), seed)
    rows = [_pair_row(pair, joint, margins, chance[pair]) for pair, joint in sorted(joints.items())]
    return pd.DataFrame(rows, columns=list(_PAIR_COLUMNS)).astype(_PAIR_COLUMNS)


def tuples_table(tuples: NDArray[np.integer], counts: Counts, codes: Sequence[int]) -> pd.DataFrame:
    """Distinct index tuples of the first m layers, m = 1..Q, from those of all layers.

    ``tuples`` [U, Q] each once and in lexicographic order, ``counts`` [U], ``codes`` the K of each layer.
    ``unique_share`` is the share of tokens whose tuple occurs once; ``ceiling`` is min(N, product of K).
    """
    total = int(counts.sum())
    begins = np.zeros(len(counts), dtype=bool)
    begins[:1] = True
    rows: list[tuple[int, int, int, float, float]] = []
    possible = 1.0
    for layer, size in enumerate(codes):
        begins[1:] |= tuples[1:, layer] != tuples[:-1, layer]
        starts = np.flatnonzero(begins)
        once = int((np.add.reduceat(counts, starts) == 1).sum()) if total else 0
        possible *= size
        rows.append((layer + 1, total, len(starts), once / total if total else np.nan, min(float(total), possible)))
    return pd.DataFrame(rows, columns=list(_TUPLE_COLUMNS)).astype(_TUPLE_COLUMNS)


def _pair_counts(first: Ints, second: Ints, rows: int, columns: int) -> Ints:
    """Counts of the pairs of codes that occur, from two layers' tokens [N] each."""
    return tally((first * columns + second)[None], span=rows * columns)[1]


def _pair_row(pair: Pair, joint: Joint, margins: Sequence[Counts], chance: float) -> tuple[object, ...]:
    first, second = (entropy_bits(margins[layer]) for layer in pair)
    together = entropy_bits(joint.times)
    mutual = max(0.0, first + second - together) if joint.times.sum() else float("nan")
    mean = (first + second) / 2
    return (
        pair[0] + 1,
        pair[1] + 1,
        int(joint.times.sum()),
        together,
        mutual,
        chance,
        mutual - chance,
        mutual / mean if mean > 0 else np.nan,
        # Where chance explains all there is (each token of a code of its own), nothing is left to be a share of.
        (mutual - chance) / (mean - chance) if mean - chance > 1e-9 else np.nan,
        joint_is_reliable(joint),
    )
