import numpy as np
import pytest
from scipy.spatial.distance import cdist

from rvq_core.stats import geometry


@pytest.fixture
def codebook() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(50, 6)).astype(np.float32)


def test_norms_are_l2(codebook):
    np.testing.assert_allclose(geometry.norms(codebook), [np.sqrt(np.sum(c.astype(float) ** 2)) for c in codebook])


@pytest.mark.parametrize("block", [1, 7, 50, 1000])
def test_nearest_neighbours_are_scipys(codebook, block, monkeypatch):
    monkeypatch.setattr(geometry, "_ROWS_AT_ONCE", block)
    distances = cdist(codebook, codebook)
    np.fill_diagonal(distances, np.inf)
    found = geometry.nearest_neighbours(codebook)
    np.testing.assert_array_equal(found.code, distances.argmin(axis=1))
    np.testing.assert_allclose(found.distance, distances.min(axis=1), rtol=1e-12)


def test_far_from_the_origin_nothing_is_lost(codebook):
    moved = codebook.astype(np.float64) + 1e4
    distances = cdist(moved, moved)
    np.fill_diagonal(distances, np.inf)
    found = geometry.nearest_neighbours(moved)
    np.testing.assert_array_equal(found.code, distances.argmin(axis=1))
    np.testing.assert_allclose(found.distance, distances.min(axis=1), rtol=1e-9)


def test_equal_codes_lie_at_distance_zero(codebook):
    codebook[[4, 9, 30]] = codebook[2]
    found = geometry.nearest_neighbours(codebook)
    assert found.distance[[2, 4, 9, 30]].tolist() == [0, 0, 0, 0]
    assert set(found.code[[2, 4, 9, 30]]) <= {2, 4, 9, 30}
    assert all(code != own for own, code in enumerate(found.code))
    assert np.flatnonzero(geometry.is_duplicate(found)).tolist() == [2, 4, 9, 30]


def test_the_lowest_number_wins_among_equals():
    corners = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], dtype=np.float32)
    assert geometry.nearest_neighbours(corners).code.tolist() == [1, 0, 0, 1]


def test_a_duplicate_is_nearer_than_a_thousandth_of_the_median():
    # Codes on a line, 1 apart, and one more beside the first: the median nearest distance is 1.
    line = np.arange(9.0)[:, None]

    def duplicates(gap):
        return geometry.is_duplicate(geometry.nearest_neighbours(np.concatenate([line, [[-gap]]]))).sum()

    assert duplicates(0.9e-3) == 2
    assert duplicates(1.1e-3) == 0


def test_codes_that_are_mostly_equal_are_duplicates_though_the_median_is_zero():
    codebook = np.zeros((6, 3))
    codebook[5] = 1
    assert geometry.is_duplicate(geometry.nearest_neighbours(codebook)).tolist() == [True] * 5 + [False]


def test_a_single_code_has_no_neighbour():
    alone = geometry.nearest_neighbours(np.ones((1, 4)))
    assert alone.code.tolist() == [-1]
    assert np.isnan(alone.distance).all()
    assert geometry.is_duplicate(alone).tolist() == [False]


def test_the_codes_nearest_to_one():
    codebook = np.random.default_rng(3).normal(size=(30, 4))
    near = geometry.nearest_to(codebook, 7, 5)
    distances = cdist(codebook[7:8], codebook)[0]
    assert near.code.tolist() == [k for k in np.argsort(distances) if k != 7][:5]
    np.testing.assert_allclose(near.distance, distances[near.code])
    assert len(geometry.nearest_to(codebook, 7, 99).code) == 29
    assert len(geometry.nearest_to(codebook[:1], 0, 5).code) == 0
    assert geometry.nearest_to(np.ones((3, 2)), 1, 2).code.tolist() == [0, 2]


class TestParticipationRatio:
    def test_it_is_that_of_the_eigenvalues(self):
        vectors = np.random.default_rng(0).normal(size=(6, 400)) * np.array([5, 3, 1, 1, 0.1, 0])[:, None]
        covariance = np.cov(vectors)
        values = np.linalg.eigvalsh(covariance)
        assert geometry.participation_ratio(covariance) == pytest.approx(values.sum() ** 2 / np.square(values).sum())

    @pytest.mark.parametrize(("variances", "expected"), [([1, 1, 1, 1], 4), ([7, 0, 0], 1), ([2], 1), ([0, 0], None)])
    def test_known_cases(self, variances, expected):
        assert geometry.participation_ratio(np.diag(np.array(variances, dtype=float))) == expected


def test_a_row_a_layer_of_spreads_and_dimensions(codebook):
    residual = np.diag([4.0, 4.0, 0, 0, 0, 0])
    near = geometry.nearest_neighbours(codebook)
    row = geometry.geometry_table([codebook], [near], [residual]).iloc[0]
    norms = np.linalg.norm(codebook.astype(float), axis=1)
    assert (row["layer"], row["codes"], row["channels"]) == (1, 50, 6)
    assert row["norm_median"] == pytest.approx(np.median(norms))
    assert row["nearest_p05"] == pytest.approx(np.percentile(near.distance, 5))
    values = np.linalg.eigvalsh(np.cov(codebook.T.astype(float)))
    assert row["code_dimension"] == pytest.approx(values.sum() ** 2 / np.square(values).sum())
    assert (row["residual_dimension"], row["residual_spread"]) == (2, pytest.approx(8**0.5))


def test_one_code_of_one_channel_without_residuals():
    one = np.ones((1, 1))
    row = geometry.geometry_table([one], [geometry.nearest_neighbours(one)], [None]).iloc[0]
    assert row["norm_p95"] == 1
    assert row[["nearest_median", "code_dimension", "residual_dimension", "residual_spread"]].isna().all()
