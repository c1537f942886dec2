"""Sparse counts: how often each key, or each pair of codes, occurred. They grow, and can be merged."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]

_FOLD_AT = 1 << 20
"""Keys that may wait before they are counted: bounds the memory of a long pass."""

_DENSE_CELLS_A_KEY = 4
"""Up to so many possible keys for each one met, counting in an array beats sorting."""

_SPARSE_NUMBERS = 2
"""A key that is kept with its count takes two numbers, one that is counted in an array takes one."""


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
        self._of_all: Ints | None = None
        """Counts of all keys below ``span``, once so many were met that this is the smaller way to keep them."""
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
        self._put(keys, counts)

    def totals(self) -> tuple[Ints, Ints]:
        """The keys met [words, n] in ascending order and their counts [n]."""
        self._fold()
        if self._of_all is None:
            return self._keys, self._counts
        met = np.flatnonzero(self._of_all)
        return met[None], self._of_all[met]

    def _fold(self) -> None:
        if self._waiting:
            waiting = np.concatenate(self._waiting, axis=1)
            self._waiting, self._waiting_keys = [], 0
            if self._of_all is None:
                self._put(*tally(waiting, span=self._span))
            else:
                self._of_all += np.bincount(waiting[0], minlength=len(self._of_all))

    def _put(self, keys: Ints, counts: Ints) -> None:
        """Add keys that are told apart and in order already."""
        if self._of_all is not None:
            self._of_all[keys[0]] += counts
            return
        if len(self._counts):
            keys, counts = np.concatenate([self._keys, keys], axis=1), np.concatenate([self._counts, counts])
            keys, counts = tally(keys, counts, self._span)
        self._keys, self._counts = keys, counts
        if self._span is not None and self._span <= _SPARSE_NUMBERS * len(counts):
            self._of_all = np.zeros(self._span, dtype=np.int64)
            self._of_all[keys[0]] = counts
            self._keys, self._counts = np.empty((1, 0), dtype=np.int64), np.empty(0, dtype=np.int64)


def tally(keys: Ints, counts: Ints | None = None, span: int | None = None) -> tuple[Ints, Ints]:
    """Keys [words, n] that may repeat, with counts [n] (None: 1 each) -> each key once, ascending, and its sum.

    ``span`` as of KeyCounts.
    """
    size = keys.shape[1]
    if size == 0:
        return keys, np.empty(0, dtype=np.int64)
    if len(keys) == 1 and span is not None and span <= _DENSE_CELLS_A_KEY * size:
        # Weights are summed as float64: exact below 2^53.
        sums = np.bincount(keys[0], weights=counts).astype(np.int64)
        found = np.flatnonzero(sums)
        return found[None], sums[found]
    if len(keys) == 1 and counts is None:
        ordered = np.sort(keys)  # much faster than finding the order
    else:
        order = np.lexsort(keys[::-1]) if len(keys) > 1 else keys[0].argsort()
        ordered, counts = keys[:, order], None if counts is None else counts[order]
    starts = np.flatnonzero(np.concatenate([[True], (ordered[:, 1:] != ordered[:, :-1]).any(axis=0)]))
    sums = np.diff(starts, append=size) if counts is None else np.add.reduceat(counts, starts)
    return ordered[:, starts], sums


def joint_of(first: NDArray[np.integer[Any]], second: NDArray[np.integer[Any]], columns: int) -> Joint:
    """Contingency of two layers' codes [N] each; those of the second one lie below ``columns``."""
    return of_pairs(*tally((first.astype(np.int64) * columns + second)[None]), columns)


def of_pairs(keys: Ints, times: Ints, columns: int) -> Joint:
    """Contingency from keys row * columns + column [1, cells], ascending, and their counts [cells]."""
    row = keys[0] // columns
    return Joint(row, keys[0] - row * columns, times)  # a remainder would take several times as long
