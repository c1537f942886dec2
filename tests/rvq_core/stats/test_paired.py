import numpy as np
import pytest
from scipy.stats import bootstrap

from rvq_core.stats.layer_use import FIGURES, layer_use
from rvq_core.stats.paired import Delta, interpolate, last_at_each, paired_jackknife, paired_means
from rvq_core.stats.usage import entropy, entropy_without_each, perplexity


@pytest.fixture
def errors() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Errors of 40 clips that differ much, of two checkpoints that hardly do; and weights."""
    rng = np.random.default_rng(1)
    clip = rng.gamma(2, 20, size=(40, 1))
    return clip + rng.normal(2, 3, (40, 1)), clip + rng.normal(0, 3, (40, 1)), rng.integers(20, 400, 40).astype(float)


def test_the_difference_is_that_of_the_weighted_means(errors):
    own, other, weights = errors
    (pair,) = paired_means(own, other, weights, seed=0)
    assert pair.value == pytest.approx(np.average(own[:, 0], weights=weights))
    assert pair.baseline == pytest.approx(np.average(other[:, 0], weights=weights))
    assert pair.delta.delta == pytest.approx(pair.value - pair.baseline)
    assert pair.clips == 40


def test_the_interval_is_the_paired_bootstrap_of_scipy(errors):
    own, other, weights = errors

    def difference(a, b, w, axis):
        return ((a - b) * w).sum(axis=axis) / w.sum(axis=axis)

    wanted = bootstrap(
        (own[:, 0], other[:, 0], weights), difference, paired=True, vectorized=True, method="percentile",
        n_resamples=20_000, confidence_level=0.9585, rng=np.random.default_rng(0),
    ).confidence_interval  # fmt: skip
    # Expanded for 40 clips: the tail of a normal at sqrt(40 / 39) x 2.0227 is 2.07 %.
    (pair,) = paired_means(own, other, weights, seed=0)
    width = wanted.high - wanted.low
    assert pair.delta.low == pytest.approx(wanted.low, abs=0.06 * width)
    assert pair.delta.high == pytest.approx(wanted.high, abs=0.06 * width)


def test_pairing_sees_what_two_intervals_would_not(errors):
    own, other, weights = errors
    (pair,) = paired_means(own, other, weights, seed=0)
    apart = np.std(own) / np.sqrt(40)
    assert pair.delta.significant
    assert pair.delta.high - pair.delta.low < apart


def test_equal_errors_differ_by_exactly_0(errors):
    own, _, weights = errors
    (pair,) = paired_means(own, own.copy(), weights, seed=3)
    assert pair.delta == Delta(0.0, 0.0, 0.0)
    assert pair.delta.words("better", "worse") == "no difference"
    assert pair.delta.significant is False


def test_a_clip_without_the_metric_counts_in_neither(errors):
    own, other, weights = errors
    own = own.copy()
    own[3] = np.nan
    (pair,) = paired_means(own, other, weights, seed=0)
    kept = np.arange(40) != 3
    assert pair.baseline == pytest.approx(np.average(other[kept, 0], weights=weights[kept]))
    assert pair.clips == 39
    (none,) = paired_means(np.full((40, 1), np.nan), other, weights, seed=0)
    assert none.clips == 0
    assert none.delta.words("better", "worse") == "not measured"


@pytest.mark.parametrize("clips", [1, 4])
def test_few_clips_have_no_interval(errors, clips):
    own, other, weights = (part[:clips] for part in errors)
    (pair,) = paired_means(own, other, weights, seed=0)
    assert pair.delta.significant is None
    assert np.isnan([pair.delta.low, pair.delta.high]).all()
    assert pair.delta.words("better", "worse") == "no interval"


def test_words():
    words = [Delta(*figures).words("better", "worse") for figures in ((-2, -3, -1), (2, 1, 3), (1, -1, 3), (0, -1, 1))]
    assert words == ["better", "worse", "no clear difference", "no clear difference"]
    assert Delta(0.0).words("better", "worse") == "no difference"


@pytest.mark.parametrize("kind", ["normal", "skewed"])
def test_paired_intervals_of_errors_cover(kind):
    """95 % intervals cover 92 to 98 % of 4,000 draws, at 30 clips with four sets of unequal weights."""
    rng = np.random.default_rng(7)
    shape, covered = (30, 1000), []
    for _ in range(4):
        weights = rng.integers(50, 300, 30).astype(float)
        clip = rng.gamma(2, 20, shape)
        difference = 2 + (rng.normal(0, 3, shape) if kind == "normal" else rng.gamma(3, 2, shape) - 6)
        pairs = paired_means(clip + difference, clip, weights, seed=0)
        covered += [pair.delta.low <= 2 <= pair.delta.high for pair in pairs]
    assert 0.92 <= np.mean(covered) <= 0.98


def test_figures_that_other_clips_have_stand_apart(errors):
    own, other, weights = errors
    holes = own.copy()
    holes[:3] = np.nan
    both = paired_means(np.hstack([own, holes, own]), np.hstack([other] * 3), weights, seed=0)
    alone = [paired_means(column, other, weights, seed=0)[0] for column in (own, holes, own)]
    assert [pair.clips for pair in both] == [40, 37, 40]
    np.testing.assert_allclose([pair.delta for pair in both], [pair.delta for pair in alone])


def _clips(rng: np.random.Generator, shares: np.ndarray, clips: int) -> np.ndarray:
    """Counts [M, K] of clips with tastes of their own."""
    tastes = rng.dirichlet(50 * shares, clips)
    return np.stack([rng.multinomial(60, taste) for taste in tastes])


def test_paired_intervals_of_perplexity_cover():
    """Against the expectation at the same number of tokens, of two layers on the same clips: 92 to 98 %."""
    rng = np.random.default_rng(11)
    shares = [np.sort(rng.dirichlet(np.full(32, 0.5))), np.sort(rng.dirichlet(np.full(32, 1.0)))]

    def draw():
        return [layer_use(_clips(rng, share, 40)) for share in shares]

    def difference(uses):
        return uses[0].figures["perplexity"] - uses[1].figures["perplexity"]

    drawn = [draw() for _ in range(1000)]
    expected = np.mean([difference(uses) for uses in drawn])
    deltas = [
        paired_jackknife(
            *(use.figures["perplexity"] for use in uses), *(use.without["perplexity"] for use in uses)
        )
        for uses in drawn
    ]  # fmt: skip
    assert 0.92 <= np.mean([delta.low <= expected <= delta.high for delta in deltas]) <= 0.98


def test_the_jackknife_of_equal_layers_is_exactly_0():
    use = layer_use(_clips(np.random.default_rng(0), np.full(8, 1 / 8), 6))
    for name, without in use.without.items():
        assert paired_jackknife(use.figures[name], use.figures[name], without, without) == Delta(0.0, 0.0, 0.0)


def test_entropy_without_each_clip_is_that_of_the_others():
    by_clip = _clips(np.random.default_rng(0), np.full(40, 1 / 40), 9)
    by_clip[4] = 0
    wanted = [entropy(np.delete(by_clip, i, axis=0).sum(axis=0)) for i in range(9)]
    np.testing.assert_allclose(entropy_without_each(by_clip), wanted, atol=1e-12)
    assert entropy_without_each(by_clip[:1]).tolist() == [0.0]
    assert entropy_without_each(np.array([[3, 0], [5, 0]])).tolist() == [0.0, 0.0]


def test_figures_of_a_layer():
    use = layer_use(np.array([[4, 0, 0, 0], [0, 2, 2, 0]]))
    assert (use.codes, use.tokens, use.interval) == (4, 8, None)
    assert tuple(use.figures) == FIGURES
    assert use.figures["perplexity"] == pytest.approx(perplexity(np.array([4, 2, 2, 0])))
    assert use.figures["entropy_bits"] == pytest.approx(1.5)
    assert use.figures["top1_share"] == 0.5
    assert use.figures["unseen_share"] == 0.25
    assert use.without["top1_share"].tolist() == [0.5, 1.0]
    np.testing.assert_allclose(use.without["entropy_bits"], [1.0, 0.0], atol=1e-12)


class TestInterpolate:
    values = np.array([[10.0, 6.0, 4.0], [20.0, 10.0, 8.0]])
    at = np.array([0.0, 8.0, 16.0])

    def test_between_points(self):
        np.testing.assert_allclose(interpolate(self.values, self.at, 12.0), [5.0, 9.0])

    @pytest.mark.parametrize("n", [0, 1, 2])
    def test_at_a_point_it_is_the_point(self, n):
        np.testing.assert_array_equal(interpolate(self.values, self.at, self.at[n]), self.values[:, n])
        np.testing.assert_array_equal(interpolate(self.values, self.at, self.at[n] * (1 + 1e-12)), self.values[:, n])

    @pytest.mark.parametrize("wanted", [-1.0, 17.0])
    def test_outside_there_is_nothing(self, wanted):
        assert interpolate(self.values, self.at, wanted) is None

    def test_of_equal_points_the_last_counts(self):
        at = np.array([0.0, 8.0, 8.0])
        assert last_at_each(at).tolist() == [0, 2]
        np.testing.assert_array_equal(interpolate(self.values, at, 8.0), self.values[:, 2])
        np.testing.assert_allclose(interpolate(self.values, at, 4.0), [7.0, 14.0])
