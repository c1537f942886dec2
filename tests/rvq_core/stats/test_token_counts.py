import numpy as np
import pytest

from rvq_core.errors import ClipError
from rvq_core.stats import token_counts
from rvq_core.stats.token_counts import GROUPS, TokenCounts

CODES = (30, 20, 5)


def make_clips(number: int, seed: int) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    lengths = rng.integers(0, 40, size=number)
    return [np.stack([rng.integers(0, size, size=n) for size in CODES], axis=1).astype(np.uint16) for n in lengths]


def counted(clips: list[np.ndarray], seconds: list[float | None] | None = None) -> TokenCounts:
    counts = TokenCounts(CODES)
    for place, clip in enumerate(clips):
        counts.add(clip, None if seconds is None else seconds[place])
    return counts


def assert_same(one: TokenCounts, other: TokenCounts) -> None:
    """Every count is the same, not just about."""
    assert (one.clips, one.seconds()) == (other.clips, other.seconds())
    for mine, theirs in zip(one.groups()[0], other.groups()[0], strict=True):
        np.testing.assert_array_equal(mine.tokens, theirs.tokens)
        np.testing.assert_array_equal(mine.clips, theirs.clips)
    np.testing.assert_array_equal(one.groups()[1], other.groups()[1])
    mine, theirs = one.joints(), other.joints()
    assert list(mine) == list(theirs)
    pairs = [(mine[pair], theirs[pair]) for pair in mine]
    pairs += list(zip(one.steps(), other.steps(), strict=True))
    pairs += list(zip(one.runs(), other.runs(), strict=True))
    pairs.append((one.tuples(), other.tuples()))
    for left, right in pairs:
        for a, b in zip(left, right, strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("cut", [0, 1, 30, 63, 119, 120])
def test_two_halves_merged_are_the_whole(cut):
    clips = make_clips(120, seed=0)
    seconds: list[float | None] = [0.1 if place % 3 else 0.25 for place in range(120)]
    first, second = counted(clips[:cut], seconds[:cut]), counted(clips[cut:], seconds[cut:])
    first.merge(second)
    assert_same(first, counted(clips, seconds))


def test_many_parts_merge_in_any_grouping():
    clips = make_clips(90, seed=1)
    parts = [counted(clips[start : start + 30]) for start in (0, 30, 60)]
    parts[1].merge(parts[2])
    parts[0].merge(parts[1])
    assert_same(parts[0], counted(clips))


def test_the_other_half_stays_as_it_is():
    clips = make_clips(20, seed=2)
    first, second = counted(clips[:8]), counted(clips[8:])
    first.merge(second)
    first.merge(second)
    assert_same(second, counted(clips[8:]))


@pytest.mark.parametrize("fold_at", [1, 100])
def test_how_many_tokens_wait_changes_nothing(fold_at, monkeypatch):
    clips = make_clips(70, seed=3)
    whole = counted(clips)
    whole.margins()
    monkeypatch.setattr(token_counts, "_FOLD_AT", fold_at)
    assert_same(counted(clips), whole)


def test_reading_between_two_clips_changes_nothing():
    clips = make_clips(9, seed=4)
    counts = TokenCounts(CODES)
    for clip in clips:
        counts.add(clip)
        counts.margins()
    assert_same(counts, counted(clips))


def test_margins_and_groups_are_the_tokens_counted():
    clips = [clip for clip in make_clips(GROUPS + 20, seed=5) if len(clip)]
    counts = counted(clips)
    tokens = np.concatenate(clips)
    layers, in_group = counts.groups()
    assert in_group.sum() == len(clips)
    for q, size in enumerate(CODES):
        np.testing.assert_array_equal(counts.margins()[q], np.bincount(tokens[:, q], minlength=size))
        showing = [sum(code in clip[:, q] for clip in clips) for code in range(size)]
        assert layers[q].clips.sum(axis=0).tolist() == showing
        first = np.concatenate([clips[0], clips[GROUPS]])[:, q]
        np.testing.assert_array_equal(layers[q].tokens[0], np.bincount(first, minlength=size))
    assert in_group[0] == 2


def test_clips_without_tokens_count_nowhere():
    clips = [clip for clip in make_clips(12, seed=6) if len(clip)]
    empty = np.empty((0, 3), dtype=np.uint16)
    assert_same(counted([empty, *clips[:4], empty, *clips[4:]]), counted(clips))


@pytest.mark.parametrize("codes", [(1024,) * 6, (1024,) * 7, (4096,) * 11, (1, 2, 1), (3,)])
def test_tuples_of_any_depth_come_back_in_order(codes):
    rng = np.random.default_rng(7)
    few = np.stack([rng.integers(0, size, size=40) for size in codes], axis=1)
    few[:, :-1] = few[rng.integers(0, 3, size=40), :-1]
    tokens = few[rng.integers(0, 40, size=300)]
    counts = TokenCounts(codes)
    counts.add(tokens)
    wanted, times = np.unique(tokens, axis=0, return_counts=True)
    rows, found = counts.tuples()
    np.testing.assert_array_equal(rows, wanted)
    np.testing.assert_array_equal(found, times)


def test_seconds_are_known_where_every_clip_tells_its_own():
    clip = np.zeros((10, 3), dtype=np.uint16)
    assert counted([clip, clip[:4]], [0.5, 0.25]).seconds() == 6.0
    assert counted([clip, clip], [0.5, None]).seconds() is None
    assert counted([]).seconds() is None


def test_tokens_that_do_not_fit_are_refused():
    counts = TokenCounts((4, 4))
    with pytest.raises(ClipError, match=r"tokens: expected an array \[T', 2\].*shape \(3, 1\)"):
        counts.add(np.zeros((3, 1), dtype=np.uint16))
    with pytest.raises(ClipError, match="layer 2: expected indices 0 to 3, found 0 to 4"):
        counts.add(np.array([[0, 0], [3, 4]]))
    with pytest.raises(ClipError, match="layer 1: expected indices 0 to 3, found -1 to 2"):
        counts.add(np.array([[-1, 0], [2, 0]]))
    assert counts.clips == 0


def test_counts_of_other_codebooks_do_not_merge():
    with pytest.raises(ValueError, match=r"\(4, 4\)"):
        TokenCounts((4, 4)).merge(TokenCounts((4, 5)))
