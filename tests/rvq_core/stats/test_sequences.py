import itertools
from collections import Counter

import numpy as np
import pandas as pd
import pytest
import scipy.stats

from rvq_core.stats.sequences import find_runs
from rvq_core.stats.token_tables import token_tables

CODES = [6, 9]


def sticky(rng: np.random.Generator, length: int, codes: int) -> np.ndarray:
    """Tokens that stay on a code for a while."""
    return np.repeat(rng.integers(0, codes, size=length), rng.integers(1, 6, size=length))[:length]


@pytest.fixture(scope="module")
def clips() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [np.stack([sticky(rng, n, size) for size in CODES], axis=1).astype(np.uint16) for n in (40, 1, 7, 90, 33)]


SECONDS = [0.1, 0.1, 0.2, 0.1, 0.05]


@pytest.fixture(scope="module")
def tables(clips) -> dict[str, pd.DataFrame]:
    return token_tables(clips, CODES, SECONDS)


def runs_by_hand(clips: list[np.ndarray], layer: int) -> list[tuple[int, int, float]]:
    """Code, length and seconds of every run."""
    return [
        (code, n, n * seconds)
        for clip, seconds in zip(clips, SECONDS, strict=True)
        for code, n in [(c, len(list(run))) for c, run in itertools.groupby(clip[:, layer].tolist())]
    ]


def steps_by_hand(clips: list[np.ndarray], layer: int) -> Counter[tuple[int, int]]:
    return Counter(pair for clip in clips for pair in itertools.pairwise(clip[:, layer].tolist()))


def test_runs_end_where_the_code_changes_or_the_clip_ends():
    tokens = np.array([4, 4, 4, 7, 7, 7, 4])
    begins = np.array([True, False, False, False, True, False, False])
    starts, lengths = find_runs(tokens, begins)
    assert starts.tolist() == [0, 3, 4, 6]
    assert lengths.tolist() == [3, 1, 2, 1]


@pytest.mark.parametrize("layer", [0, 1])
def test_dwell_times_are_those_of_the_runs(clips, tables, layer):
    runs = runs_by_hand(clips, layer)
    table = tables["dwell"][tables["dwell"]["layer"] == layer + 1]
    assert table["code"].isna().tolist() == [True] + [False] * (len(table) - 1)
    assert table["code"][1:].tolist() == sorted({code for code, _, _ in runs})
    for _, row in table.iterrows():
        own = [run for run in runs if pd.isna(row["code"]) or run[0] == row["code"]]
        assert row["runs"] == len(own)
        for unit, place in (("tokens", 1), ("seconds", 2)):
            values = [run[place] for run in own]
            assert row[f"mean_{unit}"] == pytest.approx(np.mean(values))
            assert row[f"median_{unit}"] == np.quantile(values, 0.5, method="inverted_cdf")
            assert row[f"p90_{unit}"] == np.quantile(values, 0.9, method="inverted_cdf")


@pytest.mark.parametrize("layer", [0, 1])
def test_staying_and_the_entropy_of_what_follows(clips, tables, layer):
    steps = steps_by_hand(clips, layer)
    table = tables["dwell"][tables["dwell"]["layer"] == layer + 1]
    entropy, total = 0.0, sum(steps.values())
    for _, row in table[1:].iterrows():
        code = row["code"]
        following = {after: n for (before, after), n in steps.items() if before == code}
        assert row["self_transition"] == pytest.approx(following.get(code, 0) / sum(following.values()))
        assert row["next_bits"] == pytest.approx(scipy.stats.entropy(list(following.values()), base=2))
        entropy += row["next_bits"] * sum(following.values()) / total
    whole = table.iloc[0]
    assert whole["self_transition"] == pytest.approx(sum(n for (a, b), n in steps.items() if a == b) / total)
    assert whole["next_bits"] == pytest.approx(entropy)


def test_the_entropy_rate_of_a_known_markov_chain():
    rng = np.random.default_rng(1)
    moves = np.array([[0.9, 0.1, 0.0], [0.2, 0.5, 0.3], [0.0, 0.4, 0.6]])
    chain = [0]
    for draw in rng.random(20000):
        chain.append(int(np.searchsorted(moves[chain[-1]].cumsum(), draw)))
    stationary = np.linalg.matrix_power(moves, 500)[0]
    truth = sum(stationary * [scipy.stats.entropy(row, base=2) for row in moves])
    whole = token_tables([np.array(chain)[:, None]], [3], None)["dwell"].iloc[0]
    assert whole["next_bits"] == pytest.approx(truth, abs=0.03)
    assert whole["self_transition"] == pytest.approx(stationary @ moves.diagonal(), abs=0.02)


@pytest.mark.parametrize("layer", [0, 1])
def test_transitions_are_the_most_frequent_changes(clips, tables, layer):
    steps = steps_by_hand(clips, layer)
    changes = {pair: n for pair, n in steps.items() if pair[0] != pair[1]}
    wanted = sorted(((-n, *pair) for pair, n in changes.items()))[:50]
    table = tables["transitions"][tables["transitions"]["layer"] == layer + 1]
    assert table[["code", "next_code", "count"]].to_numpy().tolist() == [[a, b, -n] for n, a, b in wanted]
    np.testing.assert_allclose(table["share"], table["count"] / sum(changes.values()))


def test_partners_are_the_codes_that_come_together_most(clips, tables):
    tokens = np.concatenate(clips).astype(int)
    together = Counter(map(tuple, tokens.tolist()))
    own, next_layer = (np.bincount(tokens[:, q]) for q in (0, 1))
    rows = []
    for code in range(CODES[0]):
        partners = sorted((-n, after) for (before, after), n in together.items() if before == code)[:5]
        rows += [(1, code, after, -n) for n, after in partners]
    table = tables["partners"]
    assert list(table[["layer", "code", "next_layer_code", "count"]].itertuples(index=False, name=None)) == rows
    share = table["count"] / own[table["code"]]
    np.testing.assert_allclose(table["share"], share)
    np.testing.assert_allclose(table["lift"], share / (next_layer[table["next_layer_code"]] / len(tokens)))


def test_seconds_are_null_where_a_clip_does_not_tell_its_own(clips):
    for unknown in (None, float("nan")):
        table = token_tables(clips, CODES, [0.1, unknown, 0.1, 0.1, 0.1])["dwell"]
        assert table["mean_tokens"].notna().all()
        assert table.loc[table["code"].isna(), ["mean_seconds", "median_seconds", "p90_seconds"]].isna().all(axis=None)


def test_clips_of_one_token_have_runs_but_no_steps():
    tables = token_tables([np.array([[2]]), np.array([[2]]), np.array([[0]])], [4], 0.1)
    dwell = tables["dwell"]
    assert dwell["runs"].tolist() == [3, 1, 2]
    assert dwell["mean_tokens"].tolist() == [1, 1, 1]
    assert dwell[["self_transition", "next_bits"]].isna().all(axis=None)
    assert len(tables["transitions"]) == 0


def test_a_clip_that_never_changes_stays_for_sure():
    dwell = token_tables([np.full((50, 1), 3)], [8], 0.1)["dwell"]
    assert dwell["self_transition"].tolist() == [1, 1]
    assert dwell["next_bits"].tolist() == [0, 0]
    assert dwell["median_seconds"].tolist() == pytest.approx([5, 5])
