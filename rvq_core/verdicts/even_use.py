"""What N tokens would show of K codes if all were used evenly: against that, few tokens excuse nothing and no more."""

from __future__ import annotations

import numpy as np
from scipy.stats import binom


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
    share = 1 / codes
    low, high = binom.ppf([1e-12, 1 - 1e-12], tokens, share).astype(np.int64)
    n = np.arange(max(1, low), high + 1)
    expected = float((binom.pmf(n, tokens, share) * n * np.log(n)).sum())
    return float(np.exp(np.log(tokens) - codes / tokens * expected))
