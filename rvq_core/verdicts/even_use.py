"""What N tokens would show of K codes if all were used evenly: against that, few tokens excuse nothing and no more."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_LEFT_OUT = 1e-12
"""Probability of the counts that are not summed over: they are too far from the mean."""


def even_codes(codes: int, tokens: int) -> float:
    """Expected number of distinct codes in ``tokens`` independent tokens: K (1 - (1 - 1/K)^N); 0 for no tokens."""
    if codes == 1:
        return float(tokens > 0)
    return float(codes * -np.expm1(tokens * np.log1p(-1 / codes)))


def even_perplexity(codes: int, tokens: int) -> float:
    """Perplexity exp(E[H]) of ``tokens`` independent tokens: at most min(K, N); 1 for no tokens.

    H is the plug-in entropy: E[H] = ln N - K / N E[n ln n] with n binomial(N, 1/K), summed over the n that occur.
    """
    if tokens == 0 or codes == 1:
        return 1.0
    n, probabilities = _binomial(tokens, 1 / codes)
    expected = float((probabilities * n * np.log(np.maximum(n, 1))).sum())
    return float(np.exp(np.log(tokens) - codes / tokens * expected))


def _binomial(tokens: int, share: float) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Counts that occur in ``tokens`` trials, as far from the mean as Bernstein's inequality asks, and how probable.

    From the ratio of each to the one before, which is exact where factorials of many tokens are not; without
    scipy.stats, which takes a third of a second to import.
    """
    mean, far = tokens * share, np.log(2 / _LEFT_OUT)
    reach = far / 3 + np.sqrt((far / 3) ** 2 + 2 * far * mean * (1 - share))
    n = np.arange(max(0, int(mean - reach)), min(tokens, int(mean + reach) + 1) + 1)
    logs = np.append(0.0, np.cumsum(np.log((tokens - n[:-1]) / n[1:] * (share / (1 - share)))))
    probabilities = np.exp(logs - logs.max())
    return n, probabilities / probabilities.sum()
