from math import comb

import numpy as np
import pytest

from rvq_core.stats import discovery
from rvq_core.stats.discovery import (
    Layer,
    codes_foreseen,
    codes_to_come,
    discovery_table,
    expected_codes,
    unseen_share_bound,
)

COUNTS = [np.array([5, 0, 3, 1, 1]), np.array([1]), np.array([0, 7, 0]), np.full(6, 2), np.arange(12)]


def layer(by_clip: np.ndarray) -> Layer:
    """What is known of a layer where each clip is a group of its own."""
    return Layer(by_clip, (by_clip > 0).astype(int))


def tastes(rng: np.random.Generator, clips: int, codes: int = 300) -> np.ndarray:
    """Counts [clips, codes] of clips of 30 tokens, each with a few codes that it prefers."""
    return np.stack([rng.multinomial(30, p) for p in rng.dirichlet(np.full(codes, 0.03), size=clips)])


@pytest.mark.parametrize("counts", COUNTS, ids=range(len(COUNTS)))
def test_rarefaction_is_the_closed_form(counts):
    total = int(counts.sum())
    tokens = np.arange(total + 1)
    wanted = [sum(1 - comb(total - n, m) / comb(total, m) for n in counts.tolist()) for m in tokens.tolist()]
    np.testing.assert_allclose(expected_codes(counts, tokens), wanted, atol=1e-9)


def test_rarefaction_is_the_mean_over_random_subsets():
    rng = np.random.default_rng(0)
    counts = rng.poisson(rng.gamma(0.4, 10, size=80))
    tokens = np.repeat(np.arange(80), counts)
    for m in (5, 40, 200):
        drawn = [len(np.unique(rng.choice(tokens, size=m, replace=False))) for _ in range(2000)]
        error = np.std(drawn) / np.sqrt(len(drawn))
        assert abs(expected_codes(counts, np.array([m]))[0] - np.mean(drawn)) < 4 * error


def test_many_tokens_do_not_break_rarefaction():
    counts = np.array([10**9, 10**9, 1, 0])
    whole = int(counts.sum())
    curve = expected_codes(counts, np.array([1, 2, whole // 2, whole]))
    assert curve == pytest.approx([1, 1.5, 2.5, 3], abs=1e-4)


def test_extrapolation_is_that_of_chao_and_others():
    counts = np.array([9, 4, 2, 2, 1, 1, 1, *[0] * 100])
    n, once, twice, seen = 20, 3, 2, 7
    to_come = (n - 1) / n * once**2 / (2 * twice)
    assert codes_to_come(counts, n) == pytest.approx(to_come)
    more = np.array([1, 7, 20])
    wanted = seen + to_come * (1 - (1 - once / (n * to_come + once)) ** more)
    np.testing.assert_allclose(expected_codes(counts, n + more), wanted)


def test_without_codes_seen_twice_the_bias_corrected_chao1_is_taken():
    assert codes_to_come(np.array([5, 1, 1, 1, *[0] * 9]), 8) == pytest.approx(7 / 8 * 3 * 2 / 2)
    assert codes_to_come(np.array([5, 1, 0]), 6) == 0
    assert codes_to_come(np.zeros(3, dtype=int), 0) == 0


def test_no_more_codes_are_foreseen_than_the_codebook_has():
    counts = np.array([3, *[1] * 20, 0, 0])
    assert codes_to_come(counts, 23) == 2
    curve = expected_codes(counts, np.array([23, 46, 10**6]))
    assert (np.diff(curve) > 0).all()
    assert curve[-1] == pytest.approx(23)


def test_twice_the_data_shows_about_as_many_codes_as_foreseen():
    rng = np.random.default_rng(4)
    share = rng.dirichlet(np.full(300, 0.6))
    draws = [rng.multinomial(400, share) for _ in range(200)]
    foreseen = np.mean([expected_codes(d, np.array([800]))[0] for d in draws])
    found = np.mean([np.count_nonzero(d + rng.multinomial(400, share)) for d in draws])
    now = np.mean([np.count_nonzero(d) for d in draws])
    assert found - now > 30
    assert foreseen == pytest.approx(found, abs=0.2 * (found - now))


def test_no_tokens_no_curve():
    assert np.isnan(expected_codes(np.zeros(4, dtype=int), np.array([1, 5]))).all()
    table = discovery_table([layer(np.zeros((0, 4), dtype=int))], np.zeros(0, dtype=int))
    assert list(table.columns) == ["layer", "tokens", "codes_expected", "low", "high", "extrapolated"]
    assert len(table) == 0


def test_the_curve_goes_from_one_token_to_twice_the_data():
    rng = np.random.default_rng(0)
    by_clip = rng.poisson(0.3, size=(12, 500))
    table = discovery_table([layer(by_clip), layer(by_clip[:, :7])], np.ones(12, dtype=int))
    first = table[table["layer"] == 1]
    total = by_clip.sum()
    within, beyond = first[~first["extrapolated"]], first[first["extrapolated"]]
    assert (within["tokens"].iloc[0], within["codes_expected"].iloc[0]) == (1, pytest.approx(1))
    assert within["tokens"].iloc[-1] == total
    assert within["codes_expected"].iloc[-1] == pytest.approx(np.count_nonzero(by_clip.sum(axis=0)))
    assert beyond["tokens"].iloc[-1] == 2 * total
    assert 30 <= len(within) <= discovery.CURVE_POINTS
    assert len(beyond) == discovery.EXTRAPOLATED_POINTS
    assert first["tokens"].is_monotonic_increasing
    assert first["codes_expected"].is_monotonic_increasing
    assert (first["low"] <= first["codes_expected"]).all()
    assert (first["codes_expected"] <= first["high"]).all()
    assert (first["high"] <= np.minimum(first["tokens"], 500)).all()
    assert table[table["layer"] == 2]["codes_expected"].iloc[-1] <= 7


def test_the_interval_is_the_jackknife_over_clips():
    rng = np.random.default_rng(1)
    by_clip = rng.poisson(0.2, size=(9, 60))
    table = discovery_table([layer(by_clip)], np.ones(9, dtype=int))
    row = table[table["tokens"] > 30].iloc[0]
    left_out = [
        expected_codes(np.delete(by_clip, clip, axis=0).sum(axis=0), np.array([row["tokens"]]))[0] for clip in range(9)
    ]
    se = np.sqrt(8 / 9 * np.square(left_out - np.mean(left_out)).sum())
    assert row["high"] - row["codes_expected"] == pytest.approx(1.959964 * se, rel=1e-6)
    assert row["codes_expected"] - row["low"] == pytest.approx(1.959964 * se, rel=1e-6)


def test_the_interval_covers_the_expected_codes_of_other_clips():
    """30 clips a corpus; the truth at m tokens is the mean curve of such corpora. The jackknife is on the safe side."""
    rng = np.random.default_rng(2)
    tables = [discovery_table([layer(tastes(rng, 30))], np.ones(30, dtype=int)) for _ in range(120)]
    for place in (15, 25, -11, -1):
        rows = [table.iloc[place] for table in tables]
        truth = np.mean([row["codes_expected"] for row in rows])
        covered = np.mean([row["low"] <= truth <= row["high"] for row in rows])
        assert covered >= 0.92
        assert np.mean([row["high"] - row["low"] for row in rows]) < 3 * 3.92 * np.std(
            [row["codes_expected"] for row in rows]
        )


def test_twice_the_clips_show_about_as_many_codes_as_foreseen():
    rng = np.random.default_rng(5)
    by_clip = [tastes(rng, 30) for _ in range(60)]
    tables = [discovery_table([layer(one)], np.ones(30, dtype=int)) for one in by_clip]
    foreseen = np.mean([table["codes_expected"].iloc[-1] for table in tables])
    in_tokens = np.mean([expected_codes(one.sum(axis=0), np.array([1800]))[0] for one in by_clip])
    found = np.mean([np.count_nonzero(tastes(rng, 60).sum(axis=0)) for _ in range(60)])
    assert foreseen == pytest.approx(found, rel=0.03)
    # Tokens of a clip are alike: to take them for independent foresees too few.
    assert in_tokens < 0.95 * found


def test_under_five_clips_tokens_are_extrapolated():
    counts = np.array([[9, 4, 2, 2, 1, 1, 1, *[0] * 100]])
    table = discovery_table([layer(counts)], np.array([1]))
    assert table["codes_expected"].iloc[-1] == pytest.approx(7 + codes_foreseen(counts[0], 20, np.array([20]))[0])


def test_groups_of_several_clips_give_an_interval_of_much_the_same_width():
    by_clip = tastes(np.random.default_rng(3), 120)
    alone = discovery_table([layer(by_clip)], np.ones(120, dtype=int))
    group = np.arange(120) % 50
    grouped = Layer(*(np.stack([counts[group == g].sum(axis=0) for g in range(50)]) for counts in layer(by_clip)))
    together = discovery_table([grouped], np.bincount(group))
    np.testing.assert_allclose(alone["codes_expected"], together["codes_expected"])
    for place in (20, -11):
        width, wide = ((table["high"] - table["low"]).iloc[place] for table in (alone, together))
        assert wide == pytest.approx(width, rel=0.4)


def test_no_interval_under_five_clips_with_tokens():
    by_clip = np.array([[3, 1, 0]] * 4 + [[0, 0, 0]] * 3)
    assert discovery_table([layer(by_clip)], np.ones(7, dtype=int))[["low", "high"]].isna().all(axis=None)


def test_one_token_and_one_code():
    table = discovery_table([layer(np.array([[1]]))], np.array([1]))
    assert table["tokens"].tolist() == [1, 2]
    assert table["codes_expected"].tolist() == [1, 1]
    assert table["extrapolated"].tolist() == [False, True]


@pytest.mark.parametrize("tokens", [1, 2, 10, 1000, 10**7])
def test_a_code_at_the_bound_would_be_missed_one_time_in_twenty(tokens):
    exact = unseen_share_bound(tokens, exact=True)
    assert (1 - exact) ** tokens == pytest.approx(0.05, rel=1e-6)
    assert exact <= unseen_share_bound(tokens) == min(1, 3 / tokens)


def test_nothing_bounds_the_share_without_tokens():
    assert unseen_share_bound(0) is None
    assert unseen_share_bound(0, exact=True) is None
