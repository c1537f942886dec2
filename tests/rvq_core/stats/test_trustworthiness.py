import numpy as np
import pandas as pd
import pytest
from sklearn.manifold import trustworthiness as of_sklearn

from rvq_core.stats.projection import Projection, pca
from rvq_core.stats.trustworthiness import points_judged, trustworthiness, trustworthiness_table, with_trustworthiness


@pytest.mark.parametrize(("count", "neighbours"), [(12, 5), (300, 15), (300, 1), (31, 15)])
def test_it_is_that_of_scikit_learn(count, neighbours):
    rng = np.random.default_rng(count)
    points = rng.normal(size=(count, 8))
    picture = points[:, :2] + rng.normal(size=(count, 2)) * 0.5
    expected = of_sklearn(points, picture, n_neighbors=neighbours)
    assert trustworthiness(points, picture, neighbours) == pytest.approx(expected)


def test_blocks_do_not_show(monkeypatch):
    points = np.random.default_rng(0).normal(size=(90, 5))
    whole = trustworthiness(points, points[:, :2])
    monkeypatch.setattr("rvq_core.stats.trustworthiness._ROWS_AT_ONCE", 7)
    assert trustworthiness(points, points[:, :2]) == whole


def test_a_picture_that_keeps_all_neighbours_is_trusted_wholly():
    points = np.random.default_rng(0).normal(size=(60, 2))
    assert trustworthiness(points, 3 * points) == 1.0


def test_a_sample_is_near_the_whole_and_the_seed_decides_it():
    rng = np.random.default_rng(0)
    points = rng.normal(size=(800, 6))
    whole = trustworthiness(points, points[:, :2])
    some = [trustworthiness(points, points[:, :2], judged=400, seed=seed) for seed in (0, 0, 1)]
    assert some[0] == some[1] != some[2]
    assert some == pytest.approx([whole] * 3, abs=0.02)


def test_of_very_many_points_fewer_are_judged():
    assert [points_judged(count) for count in (10, 2048, 6144, 65_536, 10**7)] == [10, 2048, 2048, 512, 256]


@pytest.mark.parametrize("count", [1, 2, 30])
def test_too_few_points_have_none(count):
    assert trustworthiness(np.eye(count), np.eye(count, 2)) is None


def test_a_row_for_all_and_one_a_layer():
    rng = np.random.default_rng(0)
    books = [rng.normal(size=(size, 6)) / 2**q for q, size in enumerate((40, 50, 5))]
    table = pca(books).table
    found = trustworthiness_table("pca", table, books)
    assert found["layer"].isna().tolist() == [True, False, False, False]
    assert found["codes"].tolist() == [95, 40, 50, 5]
    assert found["trustworthiness"].isna().tolist() == [False, False, False, True]
    for layer in (1, 2):
        picture = table.loc[table["layer"] == layer, ["x", "y"]].to_numpy()
        expected = of_sklearn(books[layer - 1], picture, n_neighbors=15)
        assert found["trustworthiness"][layer] == pytest.approx(expected)
    whole = of_sklearn(np.concatenate(books), table[["x", "y"]].to_numpy(), n_neighbors=15)
    assert found["trustworthiness"][0] == pytest.approx(whole)
    assert isinstance(found, pd.DataFrame) and found["neighbours"].dropna().eq(15).all()


@pytest.mark.parametrize("metric", [None, "euclidean", "cosine"])
@pytest.mark.parametrize("scale", ["raw", "per_layer"])
def test_a_projection_is_judged_in_the_space_that_it_saw(metric, scale):
    rng = np.random.default_rng(0)
    books = [rng.normal(size=(40, 6)) * 4 + 3, rng.normal(size=(35, 6))]
    table = pca(books, scale=scale).table
    made_by = {"method": "any", "scale": scale} | ({} if metric is None else {"metric": metric})
    found = with_trustworthiness(Projection(table, made_by), books).made_by
    spreads = [np.sqrt(book.var(axis=0).sum()) for book in books]
    scaled = [(book - book.mean(axis=0)) / by for book, by in zip(books, spreads, strict=True)]
    points = np.concatenate(scaled if scale == "per_layer" else books)
    expected = of_sklearn(points, table[["x", "y"]], n_neighbors=15, metric=metric or "euclidean")
    assert found == made_by | {"trustworthiness": pytest.approx(expected)}
