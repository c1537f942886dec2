import numpy as np
import pandas as pd
import pytest
import scipy.stats
import torch

from rvq_core.ema_layer import batch_perplexity
from rvq_core.stats import usage

COUNTS = [
    np.array([5, 0, 3, 1, 1, 0, 40]),
    np.array([7]),
    np.array([0, 0, 9]),
    np.full(64, 3),
    np.random.default_rng(1).poisson(2.0, 300),
    np.array([10**12, 1, 0]),
]


@pytest.mark.parametrize("counts", COUNTS, ids=range(len(COUNTS)))
def test_entropy_and_perplexity_are_scipys(counts):
    assert usage.entropy(counts) == pytest.approx(scipy.stats.entropy(counts), rel=1e-9, abs=1e-9)
    assert usage.perplexity(counts) == pytest.approx(np.exp(scipy.stats.entropy(counts)), rel=1e-9)


@pytest.mark.parametrize("by_clip", [[[3, 1], [0, 0]], [[3, 1], [1, 0]], [[2, 0, 1], [0, 4, 1], [1, 1, 0]], [[5, 0]]])
def test_entropy_without_a_clip_is_that_of_the_others(by_clip):
    """A clip that holds every token leaves none, one that holds all but one leaves one: no entropy either way."""
    counts = np.array(by_clip)
    left = [np.delete(counts, clip, axis=0).sum(axis=0) for clip in range(len(counts))]
    expected = [scipy.stats.entropy(rest) if rest.sum() else 0.0 for rest in left]
    np.testing.assert_allclose(usage.entropy_without_each(counts), expected, atol=1e-12)


def test_perplexity_lies_between_one_and_the_number_of_codes():
    assert usage.perplexity(np.full(1024, 17)) == pytest.approx(1024)
    assert usage.perplexity(np.array([0, 12, 0])) == 1.0
    assert usage.perplexity(np.zeros(8, dtype=int)) == 1.0


def test_codes_are_counted():
    indices = np.array([3, 0, 3, 3], dtype=np.uint16)
    np.testing.assert_array_equal(usage.count_codes(indices, 6), [1, 0, 0, 3, 0, 0])
    assert usage.count_codes(np.array([], dtype=np.int64), 4).tolist() == [0, 0, 0, 0]


def chao_shen(counts) -> float:
    """Chao and Shen (2003), equation by equation."""
    n = sum(counts)
    coverage = 1 - sum(1 for c in counts if c == 1) / n
    total = 0.0
    for c in counts:
        if c > 0:
            p = coverage * c / n
            total -= p * np.log(p) / (1 - (1 - p) ** n)
    return np.exp(total)


@pytest.mark.parametrize("counts", [c for c in COUNTS if c.sum() < 10**6])
def test_the_corrected_perplexity_is_chao_and_shens(counts):
    assert usage.chao_shen_perplexity(counts) == pytest.approx(chao_shen(counts.tolist()), rel=1e-9)


def test_the_corrected_perplexity_is_nearer_to_the_truth_on_few_tokens():
    rng = np.random.default_rng(0)
    share = 1 / np.arange(1, 401)
    share /= share.sum()
    truth = np.exp(scipy.stats.entropy(share))
    draws = [rng.multinomial(300, share) for _ in range(50)]
    plug_in = np.mean([usage.perplexity(d) for d in draws])
    corrected = np.mean([usage.chao_shen_perplexity(d) for d in draws])
    assert plug_in < 0.8 * truth
    assert abs(corrected - truth) < 0.5 * abs(plug_in - truth)


@pytest.mark.parametrize("counts", [np.zeros(4, dtype=int), np.array([1, 1, 0, 1]), np.array([1])])
def test_nothing_is_corrected_where_every_token_is_alone(counts):
    assert usage.chao_shen_perplexity(counts) is None


def brute_force_jackknife(clips: list[np.ndarray], codes: int) -> tuple[float, float]:
    """The interval from the tokens themselves, each clip left out in turn."""

    def log_perplexity(tokens):
        return scipy.stats.entropy([np.count_nonzero(tokens == k) for k in range(codes)])

    m = len(clips)
    left_out = [log_perplexity(np.concatenate(clips[:i] + clips[i + 1 :])) for i in range(m)]
    se = np.sqrt((m - 1) / m * sum((x - np.mean(left_out)) ** 2 for x in left_out))
    centre = log_perplexity(np.concatenate(clips))
    return np.exp(centre - 1.959964 * se), np.exp(centre + 1.959964 * se)


@pytest.mark.parametrize("m", [5, 12])
def test_the_interval_is_the_jackknife_over_clips(m):
    rng = np.random.default_rng(m)
    clips = [rng.integers(0, rng.integers(2, 20), size=rng.integers(1, 60)) for _ in range(m)]
    by_clip = np.stack([usage.count_codes(clip, 20) for clip in clips])
    low, high = usage.perplexity_interval(by_clip)
    assert (low, high) == pytest.approx(brute_force_jackknife(clips, 20), rel=1e-6)
    assert low <= usage.perplexity(by_clip.sum(axis=0)) <= high


def test_no_interval_under_five_clips_with_tokens():
    by_clip = np.random.default_rng(0).integers(1, 9, size=(4, 6))
    assert usage.perplexity_interval(by_clip) is None
    assert usage.perplexity_interval(np.concatenate([by_clip, np.zeros((3, 6), dtype=int)])) is None
    assert usage.perplexity_interval(np.concatenate([by_clip, by_clip[:1]])) is not None


def test_clips_without_tokens_change_no_interval():
    by_clip = np.random.default_rng(0).integers(0, 9, size=(7, 6))
    padded = np.insert(by_clip, 3, 0, axis=0)
    assert usage.perplexity_interval(padded) == usage.perplexity_interval(by_clip)


def test_clips_that_are_alike_leave_no_doubt():
    low, high = usage.perplexity_interval(np.tile([4, 3, 0, 1], (6, 1)))
    assert low == pytest.approx(high)


def covered(by_clip_of, draws: int = 1000) -> float:
    """Share of corpora whose interval holds the mean plug-in perplexity of such corpora (the same N)."""
    rng = np.random.default_rng(3)
    corpora = [by_clip_of(rng) for _ in range(draws)]
    truth = np.mean([usage.perplexity(corpus.sum(axis=0)) for corpus in corpora])
    return float(np.mean([low <= truth <= high for low, high in map(usage.perplexity_interval, corpora)]))


def clips_of(rng: np.random.Generator, clips: int, tokens: int, taste: np.ndarray) -> np.ndarray:
    return np.stack([rng.multinomial(tokens, p) for p in rng.dirichlet(taste, size=clips)])


@pytest.mark.parametrize(("clips", "tokens", "codes"), [(30, 60, 64), (40, 100, 256), (60, 40, 20)])
def test_the_interval_covers_the_expected_perplexity_of_that_many_clips(clips, tokens, codes):
    """Clips with tastes of their own around shares that fall off as 1 / rank."""
    share = 1 / np.arange(1, codes + 1)
    assert 0.92 <= covered(lambda rng: clips_of(rng, clips, tokens, 5 * share / share.sum())) <= 0.98


def test_the_interval_is_wide_where_all_codes_are_used_alike():
    """Near its maximum the entropy does not change to first order, and the jackknife is on the safe side."""
    assert covered(lambda rng: clips_of(rng, 30, 40, np.full(12, 0.7))) >= 0.95


def test_unseen_mass_is_good_turings():
    assert usage.unseen_mass(np.array([1, 4, 1, 0, 2])) == 2 / 8
    assert usage.unseen_mass(np.array([2, 2])) == 0
    assert usage.unseen_mass(np.zeros(3, dtype=int)) is None


def test_unseen_mass_estimates_what_is_missing():
    rng = np.random.default_rng(5)
    share = rng.dirichlet(np.full(200, 0.5))
    draws = [rng.multinomial(250, share) for _ in range(200)]
    missing = np.mean([share[d == 0].sum() for d in draws])
    assert np.mean([usage.unseen_mass(d) for d in draws]) == pytest.approx(missing, rel=0.05)


def test_rare_is_below_a_tenth_of_the_uniform_share():
    # K = 4, N = 400: the uniform share is 100 tokens, a tenth of it 10.
    counts = np.array([0, 9, 10, 381])
    assert usage.is_rare(counts).tolist() == [False, True, False, False]


@pytest.mark.parametrize("codes", [3, 7, 10, 1024])
@pytest.mark.parametrize("over", [1, 3, 7, 77])
def test_the_limit_of_rare_is_exact(codes, over):
    counts = np.zeros(codes, dtype=int)
    counts[0] = over
    counts[1] = 10 * codes * over - over  # so that p_0 = 1 / (10 K) to the last bit
    assert not usage.is_rare(counts)[0]
    counts[1] += 1
    assert usage.is_rare(counts)[0]


@pytest.mark.parametrize("codes", [1, 3, 10, 1024])
def test_rare_is_decidable_from_ten_tokens_a_code_on(codes):
    counts = np.zeros(codes, dtype=int)
    counts[0] = 10 * codes
    assert usage.rare_is_decidable(counts)
    counts[0] -= 1
    assert not usage.rare_is_decidable(counts)
    assert not usage.is_rare(np.array([1, 28, 0])).any()


def test_the_logged_perplexity_is_the_mean_over_batches():
    indices = np.random.default_rng(0).integers(0, 32, size=130)
    expected = []
    for start in (0, 50, 100):
        batch = indices[start : start + 50]
        p = np.array([np.mean(batch == k) for k in range(32)])
        expected.append(np.exp(-np.sum(p * np.log(p + 1e-7))))
    assert usage.perplexity_as_logged(indices, 32, 50) == pytest.approx(np.mean(expected), rel=1e-12)


def test_the_logged_perplexity_of_one_batch_is_what_the_quantizer_logs():
    indices = np.random.default_rng(0).integers(0, 8, size=40)
    logged = float(batch_perplexity(torch.bincount(torch.from_numpy(indices), minlength=8).float()))
    assert usage.perplexity_as_logged(indices, 8, 40) == pytest.approx(logged, rel=1e-5)


def test_the_logged_perplexity_of_small_batches_cannot_pass_their_size():
    indices = np.random.default_rng(0).integers(0, 64, size=6400)
    assert usage.perplexity(usage.count_codes(indices, 64)) > 60
    assert usage.perplexity_as_logged(indices, 64, 16) < 16
    assert usage.perplexity_as_logged(indices[:0], 64, 16) == 1.0


def test_the_ways_of_counting_stand_side_by_side():
    layers = pd.DataFrame(
        {
            "layer": [1, 2, 3],
            "codes": 512,
            "tokens": 300,
            "perplexity": [200.0, 3.0, 100.0],
            "perplexity_logged": [90.0, 2.0, 70.0],
            "perplexity_corrected": [400.0, np.nan, 350.0],
        }
    )
    table = usage.ways_of_counting(layers, 128).set_index("counting")
    assert table["mean"].to_dict() == {"as logged": 54.0, "exact": 101.0, "corrected": 375.0}
    assert table["lowest"].tolist() == [2, 3, 350]
    assert table["lowest_layer"].tolist() == [2, 2, 3]
    assert table["ceiling"].tolist() == [128, 300, 512]
    unknown = usage.ways_of_counting(layers.assign(perplexity_corrected=np.nan), 128).set_index("counting")
    assert unknown.loc["corrected", ["mean", "lowest", "lowest_layer"]].isna().all()


@pytest.mark.parametrize("counts", [c for c in COUNTS if c.sum() < 10**6])
def test_corrected_entropy_and_perplexity_are_one_figure(counts):
    assert np.exp(usage.chao_shen_entropy(counts)) == pytest.approx(usage.chao_shen_perplexity(counts))


def test_a_clip_that_holds_every_token_leaves_exactly_nothing():
    """Sums of 300 codes are off by roundings, which must not look like entropy."""
    for seed in range(20):
        everything = np.random.default_rng(seed).integers(1, 10**6, 300)
        assert usage.entropy_without_each(np.stack([everything, 0 * everything]))[0] == 0.0


def test_clips_of_one_token_count():
    by_clip = np.eye(6, dtype=int)[[0, 1, 2, 0, 4]]
    assert usage.perplexity_interval(by_clip) == pytest.approx(
        brute_force_jackknife([np.array([k]) for k in (0, 1, 2, 0, 4)], 6), rel=1e-6
    )
