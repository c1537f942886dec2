import numpy as np
import pytest
from scipy.optimize import brentq

from rvq_core.stats.gaussian import Moments, gaussian_energy, water_filling


def by_bisection(variances: np.ndarray, bits: float) -> float:
    """Reverse water-filling the other way round: search the level whose rate is ``bits``."""
    variances = variances[variances > 0]

    def excess(log_level: float) -> float:
        return np.maximum(0, 0.5 * (np.log2(variances) - log_level)).sum() - bits

    level = 2 ** brentq(excess, np.log2(variances.min()) - 2 * bits - 1, np.log2(variances.max()) + 1, xtol=1e-13)
    return float(np.minimum(level, variances).sum())


@pytest.mark.parametrize("bits", [0, 0.5, 3, 40])
def test_channels_that_are_alike_share_the_bits(bits):
    """The closed form of Shannon: D = C v 2^(-2 R / C)."""
    assert water_filling(np.full(8, 3.0), bits) == pytest.approx(8 * 3.0 * 2 ** (-2 * bits / 8))


def test_one_channel_is_shannons_curve():
    assert water_filling(np.array([5.0]), 2.0) == pytest.approx(5 / 16)


def test_small_channels_get_no_bits():
    # 2 bits on the channel of 16 bring it to 1, as low as the other: from there on both share.
    assert water_filling(np.array([16.0, 1.0]), 2.0) == pytest.approx(2.0)
    assert water_filling(np.array([16.0, 1.0]), 1.0) == pytest.approx(4 + 1)
    assert water_filling(np.array([16.0, 1.0]), 4.0) == pytest.approx(2 * 2.0**-2)


@pytest.mark.parametrize("bits", [0.01, 1, 10, 48, 300])
def test_the_level_is_the_one_that_a_search_finds(bits):
    variances = np.random.default_rng(0).gamma(0.3, size=64)
    assert water_filling(variances, bits) == pytest.approx(by_bisection(variances, bits), rel=1e-8)


def test_no_bits_leave_everything_and_more_bits_leave_less():
    variances = np.random.default_rng(1).gamma(0.5, size=20)
    left = [water_filling(variances, bits) for bits in range(30)]
    assert left[0] == pytest.approx(variances.sum())
    assert (np.diff(left) < 0).all()


def test_channels_without_variance_cost_nothing():
    assert water_filling(np.array([0.0, 4.0, -1e-18]), 1.0) == pytest.approx(1.0)
    assert water_filling(np.zeros(3), 5.0) == 0


@pytest.fixture
def vectors() -> np.ndarray:
    rng = np.random.default_rng(2)
    return rng.normal(size=(6, 6)) @ rng.normal(size=(6, 500)) + rng.normal(size=(6, 1)) * 5


def moments_of(*parts: np.ndarray) -> Moments:
    found = Moments()
    for part in parts:
        found.add(part)
    return found


def test_the_covariance_is_numpys(vectors):
    found = moments_of(vectors[:, :123], vectors[:, 123:])
    np.testing.assert_allclose(found.covariance(), np.cov(vectors, bias=True))
    centred = vectors - vectors.mean(axis=1, keepdims=True)
    assert found.spread == pytest.approx(np.square(centred).sum())
    assert found.count == 500


def test_merging_two_halves_gives_the_whole(vectors):
    whole, half, empty = moments_of(vectors), moments_of(vectors[:, :200]), Moments()
    half.merge(moments_of(vectors[:, 200:]))
    half.merge(empty)
    empty.merge(half)
    for found in (half, empty):
        assert found.count == whole.count
        np.testing.assert_allclose(found.covariance(), whole.covariance(), rtol=1e-10, atol=1e-12)
        assert found.spread == pytest.approx(whole.spread, rel=1e-12)


def test_the_share_left_is_that_of_the_principal_variances(vectors):
    variances = np.linalg.svd(vectors - vectors.mean(axis=1, keepdims=True), compute_uv=False) ** 2 / 500
    found = gaussian_energy(moments_of(vectors), [0, 4, 20])
    wanted = [by_bisection(variances, bits) / variances.sum() if bits else 1.0 for bits in (0, 4, 20)]
    np.testing.assert_allclose(found, wanted)


def test_a_scalar_gaussian_is_quantized_no_better_than_ideally():
    """The best quantizer of two levels leaves 1 - 2 / pi = 36 % of a Gaussian's variance; ideal coding 25 %."""
    draws = np.random.default_rng(3).normal(size=(1, 200_000))
    (ideal,) = gaussian_energy(moments_of(draws), [1.0])
    two_levels = np.square(draws - np.sign(draws) * np.sqrt(2 / np.pi)).mean() / draws.var()
    assert ideal == pytest.approx(0.25)
    assert two_levels == pytest.approx(1 - 2 / np.pi, abs=0.01)


def test_nothing_varies_or_nothing_was_added():
    assert gaussian_energy(moments_of(np.full((3, 9), 2.5)), [1.0, 2.0]) == [None, None]
    assert gaussian_energy(moments_of(np.ones((3, 1))), [1.0]) == [None]
    assert gaussian_energy(Moments(), [1.0]) == [None]
    assert Moments().spread is None
    with pytest.raises(ValueError, match="without vectors"):
        Moments().covariance()
