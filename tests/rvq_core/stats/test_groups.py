import numpy as np
import pytest
from scipy.spatial.distance import cityblock
from scipy.stats import entropy

from rvq_core.stats.groups import COLUMNS, group_usage_table

GROUPS = ["walk", None, "sit", "walk", "sit", "walk"]


@pytest.fixture
def counts() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.multinomial(60, rng.dirichlet(np.full(codes, 0.3)), size=6) for codes in (12, 40)]


def test_each_group_by_another_formula(counts):
    table = group_usage_table(counts, GROUPS).set_index(["group", "layer"])
    assert list(table.index) == [("sit", 1), ("sit", 2), ("walk", 1), ("walk", 2)]
    for (group, layer), row in table.iterrows():
        inside = np.array([g == group for g in GROUPS])
        mine, others = counts[layer - 1][inside].sum(0), counts[layer - 1][~inside].sum(0)
        assert row["perplexity"] == pytest.approx(np.exp(entropy(mine)))
        assert row["distance"] == pytest.approx(cityblock(mine / mine.sum(), others / others.sum()) / 2)
        assert row["only_here"] == len(set(np.flatnonzero(mine)) - set(np.flatnonzero(others)))
        assert (row["clips"], row["tokens"], row["used"]) == (inside.sum(), mine.sum(), np.count_nonzero(mine))
        assert row["top1_share"] == mine[int(row["top1_code"])] / mine.sum()
        assert row["perplexity_corrected"] <= row["codes"]


def test_the_distance_that_chance_gives_lies_near_that_of_groups_without_meaning():
    rng = np.random.default_rng(1)
    same = [rng.multinomial(50, np.full(20, 1 / 20), size=40)]
    apart = [np.concatenate([rng.multinomial(50, p, size=20) for p in (np.eye(20)[0], np.full(20, 1 / 20))])]
    groups = ["a"] * 20 + ["b"] * 20
    row = group_usage_table(same, groups).iloc[0]
    assert row["distance"] == pytest.approx(row["distance_chance"], rel=0.5)
    row = group_usage_table(apart, groups).iloc[0]
    assert row["distance"] == pytest.approx(0.95, abs=0.02) and row["distance_chance"] < 0.5


def test_one_group_of_all_clips_has_nothing_to_be_far_from(counts):
    table = group_usage_table(counts, ["all"] * 6)
    assert table["distance"].isna().all() and table["distance_chance"].isna().all()
    assert (table["only_here"] == table["used"]).all()


def test_clips_without_tokens_and_without_groups_give_no_row(counts):
    assert list(group_usage_table(counts, [None] * 6).columns) == list(COLUMNS)
    assert group_usage_table(counts, [None] * 6).empty
    empty = [np.concatenate([layer[:5], np.zeros_like(layer[:1])]) for layer in counts]
    assert set(group_usage_table(empty, ["a"] * 5 + ["b"])["group"]) == {"a"}


def test_the_seed_decides_the_shuffles(counts):
    first, again = (group_usage_table(counts, GROUPS, seed=4) for _ in range(2))
    assert first.equals(again)
