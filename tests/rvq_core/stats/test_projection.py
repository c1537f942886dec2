import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.decomposition import PCA
from sklearn.manifold import trustworthiness
from sklearn.neighbors import NearestNeighbors

from rvq_core.errors import SettingsError
from rvq_core.stats.projection import nearest_neighbours, pca, place_on_plane, taken_apart, umap_projection

pytestmark = pytest.mark.xdist_group("umap")  # compiled once, for all tests of it


@pytest.fixture(scope="module")
def codebooks() -> list[np.ndarray]:
    rng = np.random.default_rng(3)
    centres = rng.normal(scale=4.0, size=(4, 16))
    return [
        (centres[rng.integers(4, size=60)] + rng.normal(size=(60, 16))).astype(np.float32) / 2**layer
        for layer in range(3)
    ]


def test_pca_agrees_with_scikit_learn_up_to_sign(codebooks):
    reference = PCA(n_components=2, svd_solver="full")
    expected = reference.fit_transform(np.concatenate(codebooks).astype(np.float64))
    table, made_by = pca(codebooks)
    for name, column in zip("xy", expected.T, strict=True):
        sign = np.sign((table[name] * column).sum())
        assert_allclose(table[name], sign * column, atol=1e-6)
    assert_allclose(made_by["explained"], reference.explained_variance_ratio_, rtol=1e-6)


def test_pca_rows_name_layers_and_codes(codebooks):
    table = pca([codebooks[0], codebooks[1][:10]]).table
    assert list(table.columns) == ["layer", "code", "x", "y"]
    assert table.groupby("layer")["code"].agg(["min", "max", "size"]).to_numpy().tolist() == [[0, 59, 60], [0, 9, 10]]


def test_pca_does_not_depend_on_the_order_of_codes(codebooks):
    turned = pca([codes[::-1] for codes in codebooks]).table
    again = turned.sort_values(["layer", "code"], ascending=[True, False])
    assert_allclose(again[["x", "y"]], pca(codebooks).table[["x", "y"]], atol=1e-6)


def test_per_layer_scale_gives_every_layer_the_same_spread(codebooks):
    def spread(scale: str) -> np.ndarray:
        table = pca(codebooks, scale=scale).table
        return np.sqrt((table[["x", "y"]] ** 2).sum(axis=1).groupby(table["layer"]).mean().to_numpy())

    raw, equal = spread("raw"), spread("per_layer")
    assert raw[0] > 3 * raw[2]
    assert equal.max() / equal.min() < 1.3


@pytest.mark.parametrize("project", [pca, umap_projection])
@pytest.mark.parametrize(
    "codebooks",
    [
        [np.zeros((8, 4), np.float32)] * 2,
        [np.full((5, 4), 0.1, np.float32)],
        [np.ones((1, 4), np.float32)],
        [np.ones((1, 4), np.float32), np.zeros((1, 4), np.float32)],
    ],
    ids=["never trained", "all equal", "one code", "two layers of one code"],
)
def test_degenerate_codebooks_stay_finite(project, codebooks):
    table = project(codebooks).table
    assert len(table) == sum(map(len, codebooks))
    assert np.isfinite(table[["x", "y"]].to_numpy()).all()


def test_a_joint_fit_of_two_models_is_taken_apart(codebooks):
    other = [codes[:40] + 1 for codes in codebooks[:2]]
    first, second = taken_apart(pca([*codebooks, *other]).table, [3, 2])
    assert first.groupby("layer").size().to_dict() == {1: 60, 2: 60, 3: 60}
    assert second.groupby("layer").size().to_dict() == {1: 40, 2: 40}
    # One plane for both: what is the same shift in the space is the same shift in the picture.
    both = first.merge(second, on=["layer", "code"], suffixes=("", "_moved"))
    shift = both[["x_moved", "y_moved"]].to_numpy() - both[["x", "y"]].to_numpy()
    assert_allclose(shift, np.broadcast_to(shift[0], shift.shape), atol=1e-5)
    expected = PCA(n_components=2, svd_solver="full").fit(np.concatenate([*codebooks, *other]).astype(np.float64))
    assert_allclose(np.abs(shift[0]), np.abs(expected.components_.sum(axis=1)), rtol=1e-5)


def test_layers_left_out_of_a_joint_fit_keep_their_numbers(codebooks):
    table = pca(codebooks).table.replace({"layer": {1: 2, 2: 4, 3: 5}})  # layer 2 of 3, and layers 1 and 2 of 2
    first, second = taken_apart(table, [3, 2])
    assert first["layer"].unique().tolist() == [2]
    assert second["layer"].unique().tolist() == [1, 2]
    assert second.index.tolist() == list(range(120))


def test_codes_of_one_dimension_lie_on_a_line():
    table = pca([np.array([[1.0], [3.0], [2.0]])]).table
    assert_allclose(table["x"], [-1, 1, 0])
    assert_allclose(table["y"], 0)


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_neighbours_are_exact(codebooks, metric, monkeypatch):
    monkeypatch.setattr("rvq_core.stats.projection._BLOCK", 50)
    points = np.concatenate(codebooks).astype(np.float64)
    expected = NearestNeighbors(n_neighbors=9, metric=metric, algorithm="brute").fit(points).kneighbors(points)[0]
    indices, distances = nearest_neighbours(points, 9, metric)
    assert (indices[:, 0] == np.arange(len(points))).all()
    assert_allclose(distances, expected, atol=1e-6)


def test_a_point_comes_before_its_duplicates():
    indices, distances = nearest_neighbours(np.zeros((6, 3)), 3)
    assert (indices[:, 0] == np.arange(6)).all()
    assert not distances.any()


@pytest.mark.slow
def test_umap_tells_its_passes_without_another_picture_and_ends_when_told_to(codebooks, capfd):
    told = []
    listened = umap_projection(codebooks, seed=5, progress=lambda done, total: told.append((done, total)))
    assert_array_equal(listened.table, umap_projection(codebooks, seed=5).table)
    assert told == sorted(told) and told[0][0] == 0 and len({total for _, total in told}) == 1
    assert capfd.readouterr() == ("", "")  # nothing of the bar itself

    class StopError(Exception):
        pass

    def stop(done: int, total: int) -> None:
        raise StopError

    with pytest.raises(StopError):
        umap_projection(codebooks, progress=stop)


def test_umap_keeps_neighbours_and_obeys_the_seed(codebooks):
    first, again, other = (umap_projection(codebooks, seed=seed).table for seed in (5, 5, 6))
    points = np.concatenate(codebooks)
    assert (first == again).all(axis=None)
    assert not np.allclose(first["x"], other["x"])
    assert trustworthiness(points, first[["x", "y"]].to_numpy(), n_neighbors=10) > 0.85
    assert trustworthiness(points, first[["x", "y"]].to_numpy(), n_neighbors=10) > trustworthiness(
        points, pca(codebooks).table[["x", "y"]].to_numpy(), n_neighbors=10
    )


def test_more_neighbours_than_codes_are_as_many_as_there_are(codebooks):
    table, made_by = umap_projection([codebooks[0][:9]], n_neighbors=50, metric="cosine")
    assert made_by["n_neighbors"] == 8
    assert np.isfinite(table[["x", "y"]].to_numpy()).all()


@pytest.mark.parametrize(
    ("setting", "value"), [("n_neighbors", 1), ("min_dist", -0.1), ("min_dist", 2.0), ("metric", "chebyshev"),
                           ("seed", -1), ("scale", "log")],
)  # fmt: skip
def test_bad_settings_are_named(codebooks, setting, value):
    with pytest.raises(SettingsError, match=setting):
        umap_projection(codebooks, **{setting: value})


def test_codebooks_of_different_spaces_are_refused():
    with pytest.raises(SettingsError, match="one dimension"):
        pca([np.zeros((3, 2)), np.zeros((3, 4))])


@pytest.mark.parametrize("scale", ["raw", "per_layer"])
@pytest.mark.parametrize("size", [1, 3, 6])
def test_codes_placed_on_their_own_plane_land_where_pca_puts_them(scale, size):
    rng = np.random.default_rng(size)
    codebooks = [rng.normal(size=(20, size)) + 3, rng.normal(size=(30, size)) * 0.2]
    table = pca(codebooks, scale=scale).table
    for layer, placed in enumerate(place_on_plane(codebooks, codebooks, scale=scale), start=1):
        assert np.allclose(placed, table.loc[table["layer"] == layer, ["x", "y"]])


def test_vectors_placed_on_the_plane_keep_its_linear_map():
    rng = np.random.default_rng(0)
    codes, vectors = rng.normal(size=(40, 5)), rng.normal(size=(7, 5))
    (placed,) = place_on_plane([codes], [vectors])
    reference = PCA(2).fit(codes)
    assert np.allclose(np.abs(placed), np.abs(reference.transform(vectors)))


def test_equal_codes_put_everything_on_the_origin():
    assert not np.any(place_on_plane([np.full((4, 3), 1e6)], [np.eye(3)])[0])
