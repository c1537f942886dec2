from collections import Counter

import numpy as np
import pytest

from rvq_core.stats import keyed
from rvq_core.stats.keyed import KeyCounts, tally


def as_dict(counts: KeyCounts) -> dict[tuple[int, ...], int]:
    keys, times = counts.totals()
    return dict(zip(map(tuple, keys.T.tolist()), times.tolist(), strict=True))


@pytest.mark.parametrize("span", [None, 30, 10**12])
@pytest.mark.parametrize("fold_at", [1, 100, 10**9])
def test_keys_are_counted_as_a_counter_would(span, fold_at, monkeypatch):
    monkeypatch.setattr(keyed, "_FOLD_AT", fold_at)
    rng = np.random.default_rng(0)
    counts, wanted = KeyCounts(span=span), Counter()
    for size in (0, 1, 40, 7):
        keys = rng.integers(0, 30, size=size)
        counts.add(keys)
        wanted.update((key,) for key in keys.tolist())
    assert as_dict(counts) == dict(wanted)
    keys, _ = counts.totals()
    assert (np.diff(keys[0]) > 0).all()


def test_keys_of_several_words_are_ordered_from_the_first_word_on():
    rng = np.random.default_rng(1)
    keys = rng.integers(0, 4, size=(3, 200))
    counts = KeyCounts(words=3)
    counts.add(keys)
    assert as_dict(counts) == dict(Counter(map(tuple, keys.T.tolist())))
    rows = counts.totals()[0].T.tolist()
    assert rows == sorted(rows)


def test_merging_is_counting_both_and_leaves_the_other_as_it_is():
    rng = np.random.default_rng(2)
    one, two, both = KeyCounts(span=50), KeyCounts(span=50), KeyCounts(span=50)
    for counts, size in ((one, 30), (two, 300)):
        keys = rng.integers(0, 50, size=size)
        counts.add(keys)
        both.add(keys)
    before = as_dict(two)
    one.merge(two)
    assert as_dict(one) == as_dict(both)
    assert as_dict(two) == before


def test_what_was_read_out_does_not_change_when_more_is_counted():
    counts = KeyCounts()
    counts.add(np.array([3, 3, 5]))
    keys, times = counts.totals()
    counts.add(np.array([1, 3]))
    assert (keys.tolist(), times.tolist()) == ([[3, 5]], [2, 1])
    assert as_dict(counts) == {(1,): 1, (3,): 3, (5,): 1}


def test_counting_in_an_array_and_by_sorting_are_the_same():
    rng = np.random.default_rng(3)
    keys, times = rng.integers(0, 20, size=(1, 500)), rng.integers(1, 10**9, size=500)
    for dense, sparse in zip(tally(keys, times, span=20), tally(keys, times), strict=True):
        np.testing.assert_array_equal(dense, sparse)


def test_keys_without_counts_count_once_each():
    keys = np.random.default_rng(4).integers(0, 6, size=(2, 90))
    for some in (keys, keys[:1]):
        for found, wanted in zip(tally(some), tally(some, np.ones(90, dtype=np.int64)), strict=True):
            np.testing.assert_array_equal(found, wanted)


def test_nothing_counted_is_empty():
    keys, times = KeyCounts(words=2).totals()
    assert keys.shape == (2, 0)
    assert times.shape == (0,)
