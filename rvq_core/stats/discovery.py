"""How many codes are met in how many tokens: rarefied within the data, extrapolated to twice as much.

Counts are [K] (one layer) or [G, K] (by group of clips) non-negative integers. Definitions: docs/metrics.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import gammaln

from rvq_core.stats.usage import FEWEST_CLIPS_FOR_INTERVAL, NORMAL_95, Counts

Floats = NDArray[np.float64]

CURVE_POINTS = 40
"""Points of a curve within the data, evenly spaced in the logarithm of the number of tokens."""

EXTRAPOLATED_POINTS = 10
"""Points beyond it, up to twice the data."""

RULE_OF_THREE = 3.0

_COLUMNS = {
    "layer": "int64", "tokens": "int64", "codes_expected": "float64", "low": "float64", "high": "float64",
    "extrapolated": "bool",
}  # fmt: skip


def unseen_share_bound(tokens: int, *, exact: bool = False) -> float | None:
    """Upper 95 % bound of the true share of a code that ``tokens`` independent tokens did not show; None for none.

    3 / N, at most 1 (rule of three: Hanley and Lippman-Hand 1983), or where ``exact`` 1 - 0.05^(1/N), of which it is
    the limit for many tokens and never below.
    """
    if tokens <= 0:
        return None
    return float(-np.expm1(np.log(0.05) / tokens)) if exact else min(1.0, RULE_OF_THREE / tokens)


class Layer(NamedTuple):
    """What is known of one layer by group of clips: tokens on each code, and clips that show it; both [G, K]."""

    tokens: Counts
    clips: Counts


def expected_codes(counts: Counts, tokens: NDArray[np.integer]) -> Floats:
    """Expected number of distinct codes in m tokens, for each m of ``tokens`` [P], from the counts [K] of N.

    m <= N: the mean over all subsets of m tokens (hypergeometric rarefaction, Hurlbert 1971), exact. m > N: more
    independent tokens, see codes_foreseen. NaN without tokens.
    """
    total = int(counts.sum())
    if total == 0:
        return np.full(len(tokens), np.nan)
    within = np.minimum(tokens, total)
    return _rarefied(counts, within) + codes_foreseen(counts, total, tokens - within)


def codes_foreseen(shown: Counts, units: int, more: NDArray[Any]) -> Floats:
    """Codes that ``more`` [P] units are expected to show for the first time, after ``units`` (tokens, or clips).

    ``shown`` [K]: in how many units each code occurred. The estimator of Chao et al. (2014), as in iNEXT:
    f0 (1 - (1 - f1 / (n f0 + f1))^more), f0 as codes_to_come has it.
    """
    to_come = codes_to_come(shown, units)
    if to_come == 0:
        return np.zeros(len(more))
    missed_by_one = -np.log1p(int((shown == 1).sum()) / (units * to_come))
    return to_come * -np.expm1(more * missed_by_one)


def codes_to_come(shown: Counts, units: int) -> float:
    """Number f0 of codes that ever more units would show: Chao1 or Chao2, at most the unseen codes of the codebook.

    Chao (1984, 1987): (n - 1) / n * f1^2 / (2 f2), or f1 (f1 - 1) / 2 in place of the fraction where no code was
    seen in two units.
    """
    if units == 0:
        return 0.0
    once, twice = int((shown == 1).sum()), int((shown == 2).sum())
    chao = (units - 1) / units * (once**2 / (2 * twice) if twice else once * (once - 1) / 2)
    return float(min(chao, int((shown == 0).sum())))


def discovery_table(layers: Sequence[Layer], clips_in_group: Counts) -> pd.DataFrame:
    """The discovery curve of each layer, from counts by group of clips and the clips [G] in each group.

    Within the data by expected_codes; beyond by codes_foreseen in clips, since tokens of one clip are alike (in
    tokens under 5 clips). Columns ``layer``, ``tokens``, ``codes_expected``, ``low``, ``high``, ``extrapolated``. The
    interval is +- 1.96 SE, SE by delete-a-group jackknife (weighted by clips: Busing, Meijer and Van der Leeden
    1999), within 0 and min(K, tokens); NaN under 5 groups with tokens. A layer without tokens has no rows.
    """
    parts = [_one_layer(number, layer, clips_in_group) for number, layer in enumerate(layers, start=1)]
    return pd.concat([_empty(), *parts], ignore_index=True).astype(_COLUMNS)


def _one_layer(number: int, layer: Layer, clips_in_group: Counts) -> pd.DataFrame:
    codes = layer.tokens.shape[1]
    total = int(layer.tokens.sum())
    if total == 0:
        return _empty()
    tokens = _curve_points(total)
    curve, error = _curve_and_error(layer, clips_in_group, tokens)
    return pd.DataFrame(
        {
            "layer": number,
            "tokens": tokens,
            "codes_expected": curve,
            "low": np.maximum(0.0, curve - NORMAL_95 * error),
            "high": np.minimum(np.minimum(codes, tokens), curve + NORMAL_95 * error),
            "extrapolated": tokens > total,
        }
    )


def _empty() -> pd.DataFrame:
    return pd.DataFrame({name: pd.Series(dtype=kind) for name, kind in _COLUMNS.items()})


def _curve_points(total: int) -> NDArray[np.int64]:
    within = np.unique(np.geomspace(1, total, CURVE_POINTS).round().astype(np.int64))
    beyond = np.unique(np.linspace(total, 2 * total, EXTRAPOLATED_POINTS + 1).round().astype(np.int64))[1:]
    return np.concatenate([within, beyond])


def _rarefied(counts: Counts, tokens: NDArray[np.integer]) -> Floats:
    """S minus the sum over codes of C(N - n, m) / C(N, m), the chance that a subset of m misses the code."""
    total = int(counts.sum())
    size, codes = np.unique(counts[counts > 0], return_counts=True)
    left = total - size[:, None].astype(np.float64)
    m = tokens.astype(np.float64)
    room = left - m
    log_missed = gammaln(left + 1) - gammaln(np.maximum(room, 0) + 1) - (gammaln(total + 1) - gammaln(total - m + 1))
    missed = np.where(room >= 0, np.exp(log_missed), 0.0)
    # Within rounding: one token shows one code, all of them show the codes there are.
    return np.minimum(codes.sum() - codes @ missed, m)


def _curve_and_error(layer: Layer, clips_in_group: Counts, tokens: NDArray[np.int64]) -> tuple[Floats, Floats]:
    """The curve at each point [P] and its SE, NaN under five groups with tokens."""
    total, clips = int(layer.tokens.sum()), int(clips_in_group.sum())

    def curve(counts: Counts, showing: Counts, of_clips: int) -> Floats:
        values = expected_codes(counts, tokens)
        if clips >= FEWEST_CLIPS_FOR_INTERVAL:
            late = tokens >= total
            more = tokens[late] / total * clips - of_clips
            values[late] = (counts > 0).sum() + codes_foreseen(showing, of_clips, more)
        return values

    counts, showing = layer.tokens.sum(axis=0), layer.clips.sum(axis=0)
    whole = curve(counts, showing, clips)
    filled = np.flatnonzero(layer.tokens.sum(axis=1))
    if len(filled) < FEWEST_CLIPS_FOR_INTERVAL:
        return whole, np.full(len(tokens), np.nan)
    without = [
        curve(counts - layer.tokens[g], showing - layer.clips[g], clips - int(clips_in_group[g])) for g in filled
    ]
    return whole, _jackknife_error(whole, np.stack(without), clips_in_group[filled] / clips)


def _jackknife_error(whole: Floats, without: Floats, share: Floats) -> Floats:
    """SE [P] from the figure [P], that without each group [G, P], and the share [G] of the clips in each group."""
    times = 1 / share[:, None]
    pseudo = times * whole - (times - 1) * without
    centre = len(without) * whole - ((1 - share[:, None]) * without).sum(axis=0)
    return np.sqrt((np.square(pseudo - centre) / (times - 1)).mean(axis=0))
