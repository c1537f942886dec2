import numpy as np
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

from rvq_core.stats.token_counts import TokenCounts
from rvq_core.stats.token_tables import tables_of_counts, token_tables

NAMES = ["discovery", "rate", "layer_pairs", "tuples", "dwell", "transitions", "partners"]


def make_clips(codes: list[int], lengths: list[int], seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [np.stack([rng.integers(0, size, size=n) for size in codes], axis=1).astype(np.uint16) for n in lengths]


USUAL = token_tables(make_clips([12, 8, 8], [40, 9, 30, 25, 60, 33]), [12, 8, 8], 0.1)

CASES = {
    "no clips": ([], [4, 4]),
    "no tokens": ([np.empty((0, 2), dtype=np.uint16)] * 3, [4, 4]),
    "one token": ([np.array([[3, 1]], dtype=np.uint16)], [4, 4]),
    "one code": (make_clips([1, 1], [20] * 6), [1, 1]),
    "one quantizer": (make_clips([9], [20] * 6), [9]),
    "one quantizer of one code": (make_clips([1], [1]), [1]),
    "all unseen but one": ([np.full((50, 3), 5, dtype=np.uint16)] * 7, [900, 900, 900]),
    "clips of one token": (make_clips([9, 9], [1] * 12), [9, 9]),
    "layers of many codes": (make_clips([60000, 3], [30] * 5), [60000, 3]),
}


@pytest.mark.parametrize(("clips", "codes"), CASES.values(), ids=CASES)
@pytest.mark.parametrize("seconds", [None, 0.1])
def test_edges_give_the_usual_columns(clips, codes, seconds):
    tables = token_tables(clips, codes, seconds)
    assert list(tables) == NAMES
    for name, table in tables.items():
        pd.testing.assert_series_equal(table.dtypes, USUAL[name].dtypes)
        assert list(table.index) == list(range(len(table)))
        numbers = table.select_dtypes("float64").to_numpy()
        assert not np.isinf(numbers).any()
    assert tables["rate"]["layer"].tolist() == list(range(1, len(codes) + 1))
    assert len(tables["layer_pairs"]) == len(codes) * (len(codes) - 1) // 2
    assert tables["tuples"]["layers"].tolist() == list(range(1, len(codes) + 1))


def test_one_code_tells_nothing():
    tables = token_tables(*CASES["all unseen but one"], 0.1)
    assert tables["rate"]["effective_total"].tolist() == [0, 0, 0]
    assert tables["layer_pairs"]["mi_bits"].tolist() == [0, 0, 0]
    assert tables["tuples"]["distinct"].tolist() == [1, 1, 1]
    assert tables["discovery"]["codes_expected"].tolist() == [1.0] * len(tables["discovery"])
    assert len(tables["transitions"]) == 0


def test_the_same_tokens_and_seed_give_the_same_tables():
    clips = make_clips([12, 8], [40, 9, 30, 25, 60])
    again = token_tables(clips, [12, 8], 0.1, seed=3)
    for name, table in token_tables(clips, [12, 8], 0.1, seed=3).items():
        assert_frame_equal(table, again[name], check_exact=True)
    other = token_tables(clips, [12, 8], 0.1, seed=4)
    assert not other["layer_pairs"]["mi_chance_bits"].equals(again["layer_pairs"]["mi_chance_bits"])
    for name in set(NAMES) - {"layer_pairs"}:
        assert_frame_equal(other[name], again[name], check_exact=True)


def test_two_halves_merged_give_the_tables_of_the_whole():
    clips = make_clips([40, 8, 8], [25] * 130, seed=1)
    seconds = [0.1] * 60 + [0.05] * 70
    halves = [TokenCounts([40, 8, 8]), TokenCounts([40, 8, 8])]
    for place, clip in enumerate(clips):
        halves[place >= 77].add(clip, seconds[place])
    halves[0].merge(halves[1])
    merged = tables_of_counts(halves[0], seed=5)
    for name, table in token_tables(clips, [40, 8, 8], seconds, seed=5).items():
        assert_frame_equal(table, merged[name], check_exact=True)


def test_tables_stay_small_however_many_tokens_there_are():
    tables = token_tables(make_clips([256] * 3, [5000]), [256] * 3, 0.1)
    assert tables["transitions"].groupby("layer").size().tolist() == [50] * 3
    assert tables["partners"].groupby(["layer", "code"]).size().max() == 5
    assert tables["discovery"].groupby("layer").size().max() <= 50


def test_seconds_belong_to_clips_one_by_one():
    clips = make_clips([4], [10, 30])
    # 40 tokens in 1 + 6 seconds.
    assert token_tables(clips, [4], [0.1, 0.2])["rate"]["nominal_bps"].tolist() == pytest.approx([2 * 40 / 7])
    with pytest.raises(ValueError, match="zip"):
        token_tables(clips, [4], [0.1])
