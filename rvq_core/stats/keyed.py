"""Sparse counts: how often each key, or each pair of codes, occurred. They grow, and can be merged."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]

_FOLD_AT = 1 << 20
"""Keys that may wait before they are counted: bounds the memory of a long pass."""

_DENSE_CELLS_A_KEY = 4
"""Up to so many possible keys for each one met, counting in an array beats sorting."""


class Joint(NamedTuple):
    """The cells of a contingency table that are not 0, by row, then column: codes and how often; each [cells]."""

    row: Ints
    column: Ints
    times: Ints


class KeyCounts:
    """How often each key occurred. A key is ``words`` non-negative integers, compared from the first to the last.

    ``span``: keys of one word lie below it, where that is known; it only makes counting faster.
    """

    def __init__(self, words: int = 1, span: int | None = None) -> None:
        self._span = span
        self._keys = np.empty((words, 0), dtype=np.int64)
        self._counts = np.empty(0, dtype=np.int64)
        self._waiting: list[Ints] = []
        self._waiting_keys = 0

    def add(self, keys: Ints) -> None:
        """Count keys [words, n], or [n] where a key is one word."""
        self._waiting.append(np.atleast_2d(keys))
        self._waiting_keys += self._waiting[-1].shape[1]
        if self._waiting_keys >= max(_FOLD_AT, len(self._counts)):
            self._fold()

    def merge(self, other: KeyCounts) -> None:
        """Add the counts of ``other``, which stays as it is."""
        keys, counts = other.totals()
        self._fold()
        self._put(np.concatenate([self._keys, keys], axis=1), np.concatenate([self._counts, counts]))

    def totals(self) -> tuple[Ints, Ints]:
        """The keys met [words, n] in ascending order and their counts [n]."""
        self._fold()
        return self._keys, self._counts

    def _fold(self) -> None:
        if self._waiting:
            keys = np.concatenate([self._keys, *self._waiting], axis=1)
            self._put(keys, np.concatenate([self._counts, np.ones(self._waiting_keys, dtype=np.int64)]))
            self._waiting, self._waiting_keys = [], 0

    def _put(self, keys: Ints, counts: Ints) -> None:
        self._keys, self._counts = tally(keys, counts, self._span)


def tally(keys: Ints, counts: Ints, span: int | None = None) -> tuple[Ints, Ints]:
    """Keys [words, n] that may repeat, with counts [n] -> each key once, in ascending order, and its sum."""
    if not len(counts):
        return keys, counts
    if len(keys) == 1 and span is not None and span <= _DENSE_CELLS_A_KEY * len(counts):
        # Weights are summed as float64: exact below 2^53.
        sums = np.bincount(keys[0], weights=counts).astype(np.int64)
        found = np.flatnonzero(sums)
        return found[None], sums[found]
    order = np.lexsort(keys[::-1]) if len(keys) > 1 else keys[0].argsort()
    ordered = keys[:, order]
    starts = np.flatnonzero(np.concatenate([[True], (ordered[:, 1:] != ordered[:, :-1]).any(axis=0)]))
    return ordered[:, starts], np.add.reduceat(counts[order], starts)
