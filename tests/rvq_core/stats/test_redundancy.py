import itertools
from collections import Counter

import numpy as np
import pytest
import scipy.stats
from sklearn.metrics import adjusted_mutual_info_score, mutual_info_score, normalized_mutual_info_score
from sklearn.metrics.cluster import contingency_matrix, expected_mutual_information

from rvq_core.stats.keyed import Joint
from rvq_core.stats.redundancy import (
    chance_information,
    entropy_bits,
    joint_is_reliable,
    layer_pairs_table,
    tuples_table,
)

LN_2 = np.log(2)


def joint_of(first: np.ndarray, second: np.ndarray) -> Joint:
    pairs = sorted(Counter(zip(first.tolist(), second.tolist(), strict=True)).items())
    row, column, times = (np.array(values, dtype=np.int64) for values in zip(*[(*p, n) for p, n in pairs], strict=True))
    return Joint(row, column, times)


def pairs_of(tokens: np.ndarray, codes: list[int], seed: int = 0):
    joints = {
        (a, b): joint_of(tokens[:, a], tokens[:, b]) for a, b in itertools.combinations(range(tokens.shape[1]), 2)
    }
    margins = [np.bincount(tokens[:, q], minlength=size) for q, size in enumerate(codes)]
    return layer_pairs_table(margins, joints, seed)


@pytest.fixture(scope="module")
def tokens() -> np.ndarray:
    rng = np.random.default_rng(0)
    first = rng.integers(0, 12, size=900)
    second = np.where(rng.random(900) < 0.5, first // 2, rng.integers(0, 8, size=900))
    return np.stack([first, second, rng.zipf(1.5, size=900) % 20], axis=1)


def test_entropy_is_scipys():
    counts = np.array([5, 0, 3, 1, 40])
    assert entropy_bits(counts) == pytest.approx(scipy.stats.entropy(counts, base=2))
    assert np.isnan(entropy_bits(np.zeros(3, dtype=int)))


def test_information_of_two_layers_is_scikit_learns(tokens):
    table = pairs_of(tokens, [12, 8, 20]).set_index(["layer", "other_layer"])
    for a, b in ((0, 1), (0, 2), (1, 2)):
        row = table.loc[a + 1, b + 1]
        first, second = tokens[:, a], tokens[:, b]
        assert row["mi_bits"] == pytest.approx(mutual_info_score(first, second) / LN_2)
        assert row["nmi"] == pytest.approx(normalized_mutual_info_score(first, second))
        expected = expected_mutual_information(contingency_matrix(first, second, sparse=True), 900) / LN_2
        assert row["mi_chance_bits"] == pytest.approx(expected, rel=0.1)
        assert row["mi_corrected_bits"] == pytest.approx(row["mi_bits"] - expected, abs=0.1 * expected)
        assert row["ami"] == pytest.approx(adjusted_mutual_info_score(first, second), abs=0.005)
        assert row["joint_bits"] == pytest.approx(
            scipy.stats.entropy(list(Counter(zip(first, second, strict=True)).values()), base=2)
        )
        assert row["tokens"] == 900


def test_what_chance_shows_is_found_at_large_codebooks_and_few_tokens():
    rng = np.random.default_rng(1)
    tokens = rng.integers(0, 300, size=(2000, 2))
    row = pairs_of(tokens, [300, 300]).iloc[0]
    expected = expected_mutual_information(contingency_matrix(*tokens.T, sparse=True), 2000) / LN_2
    assert row["mi_bits"] > 2
    assert row["mi_chance_bits"] == pytest.approx(expected, rel=0.005)
    assert abs(row["mi_corrected_bits"]) < 0.03
    assert not row["reliable"]


def test_the_seed_decides_and_the_same_seed_gives_the_same(tokens):
    margins = [np.bincount(tokens[:, q]) for q in range(3)]
    one, same, other = (chance_information(margins, [(0, 1), (1, 2)], seed) for seed in (3, 3, 4))
    assert one == same
    assert one != other


def test_a_copied_layer_tells_all_and_a_constant_one_nothing():
    layer = np.random.default_rng(0).integers(0, 4, size=400)
    table = pairs_of(np.stack([layer, layer, np.zeros_like(layer)], axis=1), [4, 4, 4])
    copied, constant = table.iloc[0], table.iloc[1]
    assert (copied["nmi"], copied["ami"]) == (pytest.approx(1), pytest.approx(1))
    assert copied["mi_bits"] == pytest.approx(scipy.stats.entropy(np.bincount(layer), base=2))
    assert (constant["mi_bits"], constant["nmi"]) == (pytest.approx(0, abs=1e-12), pytest.approx(0, abs=1e-12))


def test_where_nothing_varies_there_is_nothing_to_normalise():
    row = pairs_of(np.zeros((9, 2), dtype=int), [5, 1]).iloc[0]
    assert row["mi_bits"] == 0
    assert np.isnan(row["nmi"])
    assert np.isnan(row["ami"])


def test_where_every_token_has_a_code_of_its_own_chance_explains_all():
    row = pairs_of(np.stack([np.arange(20), np.arange(20)], axis=1), [20, 20]).iloc[0]
    assert row["mi_corrected_bits"] == pytest.approx(0, abs=1e-9)
    assert np.isnan(row["ami"])


def test_no_tokens_no_information():
    nothing = np.empty(0, dtype=np.int64)
    table = layer_pairs_table([np.zeros(4, dtype=int)] * 2, {(0, 1): Joint(nothing, nothing, nothing)}, 0)
    assert table["tokens"].tolist() == [0]
    assert table.drop(columns=["layer", "other_layer", "tokens", "reliable"]).isna().all(axis=None)
    assert not table["reliable"].any()
    assert len(layer_pairs_table([np.array([3])], {}, 0)) == 0


def test_ten_tokens_for_each_pair_of_codes_in_use_are_enough():
    rows, columns = np.divmod(np.arange(6), 3)
    assert joint_is_reliable(Joint(rows, columns, np.full(6, 10)))
    assert not joint_is_reliable(Joint(rows, columns, np.array([9, 10, 10, 10, 10, 10])))
    # Pairs that never met count as cells too.
    assert not joint_is_reliable(Joint(np.array([0, 1]), np.array([0, 1]), np.array([19, 20])))


def test_tuples_are_counted_as_sets_would(tokens):
    short = tokens[:300]
    rows, counts = np.unique(short, axis=0, return_counts=True)
    table = tuples_table(rows, counts, [12, 8, 20])
    for depth in (1, 2, 3):
        row = table.iloc[depth - 1]
        met = Counter(map(tuple, short[:, :depth].tolist()))
        assert (row["layers"], row["tokens"], row["distinct"]) == (depth, 300, len(met))
        assert row["unique_share"] == pytest.approx(sum(n == 1 for n in met.values()) / 300)
    assert table["ceiling"].tolist() == [12, 96, 300]


def test_tuples_of_no_tokens_and_of_one():
    empty = tuples_table(np.empty((0, 2), dtype=int), np.empty(0, dtype=int), [4, 4])
    assert empty["distinct"].tolist() == [0, 0]
    assert empty["unique_share"].isna().all()
    one = tuples_table(np.array([[3]]), np.array([1]), [4])
    assert one[["distinct", "unique_share", "ceiling"]].to_numpy().tolist() == [[1, 1, 1]]
