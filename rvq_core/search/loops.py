"""Loops over tokens and codes that no library has in one piece, compiled for this processor by numba.

Each takes what lies in a processor's cache once, where a library's calls would go through it five or ten times. All
arrays are C-contiguous float32, indices int64; shapes: tokens [n, C], codebook [K, C]. What may use them asks
``compiled.compiled_loops``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Indices = NDArray[np.int64]

_BLOCK = 64
"""Scores of which the least is kept: where it is too large, none of them is looked at again."""

# Sums may be taken in any order, and a product be added before it is rounded; all else is as it is written.
_OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy", "fastmath": {"reassoc", "nsz", "contract"}}

_inlined = numba.njit(inline="always", **_OPTIONS)


def _compiled(signature: str) -> Callable[[Callable[..., Any]], Any]:
    """Compiled when this module is imported, and kept on disk where there is a place for it.

    That is beside this file, or in the user's cache, or in NUMBA_CACHE_DIR.
    """

    def compiled(function: Callable[..., Any]) -> Any:
        try:
            return numba.njit(signature, cache=True, **_OPTIONS)(function)
        except Exception:  # no folder to write to, a full disk, a damaged file; what else is wrong fails again
            return numba.njit(signature, **_OPTIONS)(function)

    return compiled


@_inlined
def _ordered(value: Any) -> Any:
    """The bits of a float as an integer that is ordered as floats are: of integers a processor finds the least at once.

    NaN is above or below all others, by its sign.
    """
    bits = np.float32(value).view(np.int32)
    return np.int32(bits ^ ((bits >> np.int32(31)) & np.int32(0x7FFFFFFF)))


@_inlined
def _unordered(ordered: Any) -> Any:
    """The way back."""
    return np.int32(ordered ^ ((ordered >> np.int32(31)) & np.int32(0x7FFFFFFF))).view(np.float32)


@_inlined
def _least(products: Any, half_norms: Any, begin: Any, end: Any) -> Any:
    """The least score of some codes, ordered as an integer."""
    least = np.int32(0x7FFFFFFF)
    for k in range(begin, end):
        least = min(least, _ordered(half_norms[k] - products[k]))
    return least


@_inlined
def _within(products: Any, half_norms: Any, begin: Any, end: Any, limit: Any) -> Any:
    """How many of some codes have a score up to ``limit``, and the sum of their numbers."""
    many = np.int32(0)
    numbers = np.int32(0)
    for k in range(begin, end):
        near = np.int32(half_norms[k] - products[k] <= limit)
        many += near
        numbers += np.int32(k) & -near
    return many, numbers


@_inlined
def _near(products: Floats, half_norms: Floats, of_block: Any, limit: Any) -> Any:
    """The same of all codes, whose blocks' least scores are ``of_block``."""
    whole = len(products) // _BLOCK
    ordered = _ordered(limit)
    many = np.int32(0)
    numbers = np.int32(0)
    for b in range(whole + 1):
        if of_block[b] <= ordered:
            # The end of a whole block is told in these words, from which a compiler knows how long it is.
            end = b * _BLOCK + _BLOCK if b < whole else len(products)
            found = _within(products, half_norms, b * _BLOCK, end, limit)
            many += found[0]
            numbers += found[1]
    return many, numbers


@_compiled("int64(float32[::1], float32[::1], int32[::1], float32[::1], float32[:, ::1], float32)")
def _decide(
    products: Floats, half_norms: Floats, of_block: Any, token: Floats, codebook: Floats, limit: Any
) -> int:  # fmt: skip
    """Of the codes whose score is up to ``limit`` the nearest in float64, the first among equals; 0 where none is.

    ``of_block``: the least score of each block.
    """
    ordered = _ordered(limit)
    chosen = 0
    least = np.inf
    for b in range(len(of_block)):
        if of_block[b] > ordered:
            continue
        for k in range(b * _BLOCK, min(b * _BLOCK + _BLOCK, len(codebook))):
            if half_norms[k] - products[k] <= limit:
                squared = 0.0
                for c in range(len(token)):
                    difference = np.float64(token[c]) - np.float64(codebook[k, c])
                    squared += difference * difference
                if squared < least:
                    chosen, least = k, squared
    return chosen


@_inlined
def _margin(length: Any, best: Any, longest: Any, relative: Any, underflow: Any) -> Any:
    """By how much a code may seem farther than the ``best`` score of a token of some length, and yet be the nearest.

    ``longest``: the length of the longest code. A code within the widest margin is no longer than the token and its
    distance from the code together, which narrows the margin. See ``scores.ScoreError.margins``, which goes on so:
    from here on, that costs more than it saves.
    """
    one, two, four = np.float32(1), np.float32(2), np.float32(4)
    widest = two * (relative * (length + longest / two) * longest + underflow)
    squared_distance = (one + relative) * length * length + two * best + four * widest
    reach = min(length + math.sqrt(max(squared_distance, np.float32(0))), longest)
    return two * (relative * (length + reach / two) * reach + underflow)


@_compiled(
    "void(float32[:, ::1], float32[:, ::1], float32[::1], float32, float32[:, ::1], float32[::1],"
    " float32, float32, int64[:, ::1], int64)"
)
def choose(
    products: Floats, codebook: Floats, half_norms: Floats, longest: float, tokens: Floats, lengths: Floats,
    relative: float, underflow: float, chosen: Indices, q: int,
) -> None:  # fmt: skip
    """The nearest code of each token, to ``chosen[:, q]``, from its products with all codes [n, K].

    ``half_norms`` [K]: half the squared lengths of the codes, infinite for those never to be chosen; ``longest``: the
    length of the longest. ``lengths`` [n]: those of the tokens. ``relative`` and ``underflow``: how far a score may be
    from the true one (``scores.ScoreError``). Codes closer than that are told apart in float64.
    """
    codes = products.shape[1]
    blocks = codes // _BLOCK
    of_block = np.empty(blocks + 1, np.int32)
    for i in range(len(tokens)):
        least = np.int32(0x7FFFFFFF)
        for b in range(blocks):
            of_block[b] = _least(products[i], half_norms, b * _BLOCK, b * _BLOCK + _BLOCK)
            least = min(least, of_block[b])
        of_block[blocks] = _least(products[i], half_norms, blocks * _BLOCK, codes)
        least = min(least, of_block[blocks])
        best = _unordered(least)
        limit = best + _margin(lengths[i], best, longest, relative, underflow)
        many, numbers = _near(products[i], half_norms, of_block, limit)
        if many == 1:
            chosen[i, q] = numbers
        else:
            chosen[i, q] = _decide(products[i], half_norms, of_block, tokens[i], codebook, limit)


@_compiled(
    "float64(float32[:, ::1], int64[:, ::1], int64, float32[:, ::1], float32[::1], float32[:, ::1], float32[:, ::1],"
    " float32[:, ::1])"
)
def move_on(
    codebook: Floats,
    chosen: Indices,
    q: int,
    tokens: Floats,
    lengths: Floats,
    total: Floats,
    kept: Floats,
    pull: Floats,
) -> float:
    """Take from each token the code that it chose in layer ``q``, ``chosen[:, q]``: the sum of squares of what is left.

    The code is added to ``total`` [n, C], the token as it was is written to ``kept``, its new length to ``lengths``
    [n], and what is left added to ``pull``; ``kept`` and ``pull`` are [n, C], or have no rows where nobody asks.
    """
    squares = 0.0
    for i in range(len(tokens)):
        if len(kept):  # a loop: compiling `kept[i] = tokens[i]` takes a second
            for c in range(tokens.shape[1]):
                kept[i, c] = tokens[i, c]
        k = chosen[i, q]
        squared = np.float32(0)
        for c in range(tokens.shape[1]):
            code = codebook[k, c]
            left = tokens[i, c] - code
            total[i, c] += code
            tokens[i, c] = left
            squared += left * left
        lengths[i] = math.sqrt(squared)
        squares += float(squared)
        if len(pull):
            for c in range(tokens.shape[1]):
                pull[i, c] += tokens[i, c]
    return squares


@_compiled("void(float32[:, ::1], float32[::1])")
def half_squares(codebook: Floats, half_norms: Floats) -> None:
    """Half the squared length of each code, to ``half_norms`` [K]."""
    for k in range(len(codebook)):
        squared = np.float32(0)
        for c in range(codebook.shape[1]):
            squared += codebook[k, c] * codebook[k, c]
        half_norms[k] = squared / np.float32(2)


@_compiled("void(float32[:, ::1], int64[::1], float32[::1])")
def put_repeats_out_of_reach(codebook: Floats, order: Indices, half_norms: Floats) -> None:
    """Make the half squared length infinite of each code that equals the first of its length; see ``scores.repeats``.

    ``order`` [K]: the codes by half squared length, equal ones as they stand in the codebook.
    """
    first = order[0]
    for i in range(1, len(order)):
        k = order[i]
        if half_norms[k] != half_norms[first]:
            first = k
            continue
        differ = 0
        for c in range(codebook.shape[1]):
            differ += np.int32(codebook[k, c] != codebook[first, c])
        if differ == 0:
            half_norms[k] = np.inf
