import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment
from sklearn.metrics import adjusted_mutual_info_score, normalized_mutual_info_score
from sklearn.metrics.cluster import contingency_matrix

from rvq_core.stats.keyed import joint_of
from rvq_core.stats.matching import across_table, match_codes, nearest_in_time, same_numbers, shared_tokens

K, OTHER_K = 24, 17


@pytest.fixture
def tokens() -> tuple[np.ndarray, np.ndarray]:
    """Two layers that agree in part, of other sizes and numbers."""
    rng = np.random.default_rng(3)
    first = rng.choice(K, 900, p=rng.dirichlet(np.full(K, 0.4)))
    renamed = rng.permutation(K) % OTHER_K
    return first, np.where(rng.random(900) < 0.6, renamed[first], rng.integers(OTHER_K, size=900))


def test_the_contingency_is_that_of_scikit_learn(tokens):
    joint = joint_of(*tokens, OTHER_K)
    dense = np.zeros((K, OTHER_K), dtype=int)
    dense[joint.row, joint.column] = joint.times
    np.testing.assert_array_equal(dense[dense.any(axis=1)][:, dense.any(axis=0)], contingency_matrix(*tokens))


@pytest.mark.parametrize("seed", range(20))
def test_no_other_matching_shares_more_tokens(seed):
    rng = np.random.default_rng(seed)
    rows, columns = rng.integers(1, 30, size=2)
    table = rng.poisson(rng.choice([0.1, 1.0, 20.0]), size=(rows, columns))
    row, column = table.nonzero()
    matches = match_codes(joint_of(np.repeat(row, table[row, column]), np.repeat(column, table[row, column]), columns))
    best = table[linear_sum_assignment(table, maximize=True)].sum()
    assert matches.times.sum() == best
    np.testing.assert_array_equal(table[matches.code, matches.other], matches.times)
    assert (matches.times > 0).all()
    assert len(set(matches.code)) == len(matches.code)
    assert len(set(matches.other)) == len(matches.other)


def test_renamed_codes_are_found_again():
    rng = np.random.default_rng(0)
    renamed = rng.permutation(K)
    tokens = rng.integers(K, size=500)
    joint = joint_of(tokens, renamed[tokens], K)
    matches = match_codes(joint)
    np.testing.assert_array_equal(renamed[matches.code], matches.other)
    assert shared_tokens(matches, joint) == 1
    assert shared_tokens(same_numbers(joint), joint) == np.mean(tokens == renamed[tokens])


def test_without_tokens_nothing_is_matched():
    joint = joint_of(np.empty(0, dtype=int), np.empty(0, dtype=int), K)
    assert len(match_codes(joint).code) == 0
    assert np.isnan(shared_tokens(match_codes(joint), joint))


def test_agreement_is_that_of_scikit_learn(tokens):
    first, second = tokens
    table = across_table(np.stack([first, first // 3], axis=1), second[:, None], [K, K], [OTHER_K], seed=0)
    assert table[["layer", "other_layer"]].to_numpy().tolist() == [[1, 1], [2, 1]]
    for layer, own in ((0, first), (1, first // 3)):
        row = table.iloc[layer]
        assert row["nmi"] == pytest.approx(normalized_mutual_info_score(own, second), abs=1e-9)
        # Chance by permutations here, in closed form there.
        assert row["ami"] == pytest.approx(adjusted_mutual_info_score(own, second), abs=0.01)


def test_equal_partitions_agree_fully_and_independent_ones_not_at_all():
    rng = np.random.default_rng(0)
    first, second = rng.integers(K, size=(2, 3000))
    table = across_table(first[:, None], np.stack([(first + 5) % K, second], axis=1), [K], [K, K], seed=0)
    assert table["ami"].tolist() == [pytest.approx(1), pytest.approx(0, abs=0.01)]


def test_equal_grids_are_aligned_one_to_one():
    first, second = nearest_in_time(7, 0.1, 6, 0.1)
    assert first.tolist() == second.tolist() == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize(("seconds", "other"), [(2 / 30, 4 / 30), (4 / 20, 4 / 30), (2 / 30, 4 / 20), (0.3, 0.1)])
def test_tokens_are_aligned_by_the_nearest_time(seconds, other):
    counts = int(4 / seconds), int(4 / other)
    first, second = nearest_in_time(counts[0], seconds, counts[1], other)
    coarse, fine = (first, second) if seconds >= other else (second, first)
    sizes = (seconds, other) if seconds >= other else (other, seconds)
    assert len(coarse) == len(np.unique(coarse)) == min(counts)
    apart = np.abs((coarse + 0.5) * sizes[0] - (fine + 0.5) * sizes[1])
    assert (apart <= sizes[1] / 2 + 1e-9).all()
    assert [list(side) for side in nearest_in_time(counts[1], other, counts[0], seconds)] == [list(second), list(first)]
