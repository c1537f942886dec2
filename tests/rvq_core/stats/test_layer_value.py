import numpy as np
import pandas as pd
import pytest

from rvq_core.stats.layer_value import (
    SHARES,
    headroom_table,
    layer_value_tables,
    leave_one_out_table,
    quantizers_needed,
)
from rvq_core.stats.reconstruction import bootstrap_interval

CLIPS = 12
FRAMES = np.random.default_rng(9).integers(20, 200, size=CLIPS)
ENCODINGS = [("full", 0), ("unquantised", 0), ("without", 1), ("without", 2), ("beam", 4), ("beam", 16)]


def clip_errors(values: np.ndarray, metric: str = "mpjpe") -> pd.DataFrame:
    """Rows of errors [M, Q + 2]: n = -1 (unquantised), 0, 1, ..., Q."""
    rows = [(f"c{m}", n - 1, metric, value, FRAMES[m]) for m, clip in enumerate(values) for n, value in enumerate(clip)]
    return pd.DataFrame(rows, columns=["clip", "n_active", "metric", "value", "weight"])


def encodings(values: np.ndarray, metric: str = "mpjpe") -> pd.DataFrame:
    """Rows of errors [M, 6] in the order of ENCODINGS."""
    rows = [
        (f"c{m}", *encoding, metric, value, FRAMES[m])
        for m, clip in enumerate(values)
        for encoding, value in zip(ENCODINGS, clip, strict=True)
    ]
    return pd.DataFrame(rows, columns=["clip", "encoding", "number", "metric", "value", "weight"])


def alike(curve: list[float], noise: float = 0.0) -> np.ndarray:
    rng = np.random.default_rng(3)
    return np.array([1.0, *curve]) + noise * rng.normal(size=(CLIPS, len(curve) + 1))


def needed(values: np.ndarray) -> pd.DataFrame:
    return quantizers_needed(clip_errors(values), 0).set_index("share")


class TestQuantizersNeeded:
    def test_the_first_that_reaches_the_share_of_the_gain(self):
        # Of the gain of 100: 80, 90, 94, 99.5, 100.
        table = needed(alike([110, 30, 20, 16, 10.5, 10]))
        assert table["quantizers"].tolist() == [2, 4, 4]
        assert table["full_gain"].tolist() == pytest.approx([100] * 3)
        assert (table["unit"].unique(), table["clips"].unique()) == (["mm"], [CLIPS])

    def test_clips_that_are_all_alike_leave_no_doubt(self):
        table = needed(alike([110, 30, 20, 16, 10.5, 10]))
        assert table["agreement"].tolist() == [1, 1, 1]
        assert table["low"].tolist() == table["high"].tolist() == [2, 4, 4]

    def test_on_the_edge_the_draws_disagree(self):
        row = needed(alike([110, 30, 20, 16, 10.5, 10], noise=0.5)).loc[0.90]
        assert 0.2 < row["agreement"] < 0.8
        assert (row["low"], row["high"]) == (2, 3)

    def test_the_draws_are_those_of_a_plain_loop(self):
        values = alike([110, 30, 20, 16, 10.5, 10], noise=2.0)
        rng, given = np.random.default_rng(1), []
        for _ in range(3000):
            drawn = rng.integers(0, CLIPS, size=CLIPS)
            mean = np.average(values[drawn, 1:], weights=FRAMES[drawn], axis=0)
            given.append(int(np.flatnonzero((mean[0] - mean) >= 0.95 * (mean[0] - mean[-1]))[0]))
        row = needed(values).loc[0.95]
        assert row["agreement"] == pytest.approx(np.mean(np.array(given) == row["quantizers"]), abs=0.05)

    def test_a_shallower_depth_that_is_better_than_all_layers_counts(self):
        assert needed(alike([100, 10, 40]))["quantizers"].tolist() == [1, 1, 1]

    def test_no_gain_no_number(self):
        for curve in ([10, 12, 14], [10, 10, 10]):
            table = needed(alike(curve))
            assert table[["quantizers", "low", "high", "agreement"]].isna().all(axis=None)

    def test_draws_without_gain_leave_the_upper_end_open(self):
        values = alike([10, 9, 8])
        values[1::2, 1:] = [10, 10.5, 11]  # every other clip is worse off with codes
        table = needed(values)
        assert table["quantizers"].notna().all()
        assert table["low"].notna().all()
        assert table["high"].isna().all()
        assert (table["agreement"] < 0.9).all()

    def test_one_clip_tells_the_number_and_not_how_sure(self):
        table = needed(alike([110, 30, 20, 10])[:1])
        assert table["quantizers"].tolist() == [2, 3, 3]
        assert table[["low", "high", "agreement"]].isna().all(axis=None)

    def test_one_quantizer(self):
        assert needed(alike([10, 5]))["quantizers"].tolist() == [1, 1, 1]

    def test_what_codes_cannot_change_is_left_out(self):
        both = pd.concat([clip_errors(alike([9, 3])), clip_errors(alike([5, 5]), "foot_skating_original")])
        assert set(quantizers_needed(both, 0)["metric"]) == {"mpjpe"}

    def test_a_clip_without_the_metric_counts_nowhere(self):
        values = alike([110, 30, 20, 10], noise=1.0)
        gap = values.copy()
        gap[4] = np.nan
        table = needed(gap)
        assert table["clips"].unique() == [CLIPS - 1]
        kept = np.arange(CLIPS) != 4
        mean = np.average(values[kept], weights=FRAMES[kept], axis=0)
        assert table["full_gain"].iloc[0] == pytest.approx(mean[1] - mean[-1])


@pytest.fixture
def errors() -> np.ndarray:
    rng = np.random.default_rng(4)
    return np.array([20.0, 10, 90, 21, 18, 17]) + rng.normal(size=(CLIPS, 1)) * 5 + rng.normal(size=(CLIPS, 6))


def test_what_is_lost_without_a_layer(errors):
    table = leave_one_out_table(encodings(errors), 5)
    mean = np.average(errors, weights=FRAMES, axis=0)
    assert table["layer"].tolist() == [1, 2]
    np.testing.assert_allclose(table["value"], mean[2:4])
    np.testing.assert_allclose(table["full"], mean[0])
    np.testing.assert_allclose(table["rise"], mean[2:4] - mean[0])
    assert (table["clips"].unique(), table["frames"].unique()) == ([CLIPS], [FRAMES.sum()])


def test_differences_are_drawn_on_the_same_clips(errors):
    """What clips have in common is not in the interval of a difference: it is narrower than that of either error."""
    without = leave_one_out_table(encodings(errors), 5).iloc[1]
    # Clips stand in the order of their names, as everywhere.
    order = np.argsort([f"c{m}" for m in range(CLIPS)])
    low, high = bootstrap_interval((errors[:, 3:4] - errors[:, :1])[order], FRAMES[order], 5)
    assert (without["rise_low"], without["rise_high"]) == (pytest.approx(low[0]), pytest.approx(high[0]))
    assert without["rise_high"] - without["rise_low"] < 0.5 * (without["high"] - without["low"])


def test_what_a_better_encoding_gains(errors):
    table = headroom_table(encodings(errors), 5)
    mean = np.average(errors, weights=FRAMES, axis=0)
    assert table["beam"].tolist() == [4, 16]
    np.testing.assert_allclose(table["gain"], mean[0] - mean[4:])
    np.testing.assert_allclose(table["gain_share"], (mean[0] - mean[4:]) / mean[0])
    np.testing.assert_allclose(table["reference"], mean[1])
    np.testing.assert_allclose(table["greedy"], mean[0])
    assert (table["gain_low"] < table["gain"]).all()
    assert (table["gain"] < table["gain_high"]).all()


def test_equal_encodings_differ_by_nothing_at_all():
    values = np.random.default_rng(0).random((CLIPS, 1)) @ np.ones((1, 6))
    left, gained = leave_one_out_table(encodings(values), 0), headroom_table(encodings(values), 0)
    assert (left[["rise", "rise_low", "rise_high"]] == 0).all(axis=None)
    assert (gained[["gain", "gain_low", "gain_high", "gain_share"]] == 0).all(axis=None)


def test_no_error_at_all_is_no_division_by_zero():
    assert headroom_table(encodings(np.zeros((CLIPS, 6))), 0)["gain_share"].isna().all()


def test_one_clip_has_differences_and_no_interval(errors):
    left, gained = leave_one_out_table(encodings(errors[:1]), 0), headroom_table(encodings(errors[:1]), 0)
    assert left["rise"].tolist() == pytest.approx(errors[0, 2:4] - errors[0, 0])
    assert gained["gain"].tolist() == pytest.approx(errors[0, 0] - errors[0, 4:])
    intervals = [left[["low", "high", "rise_low", "rise_high"]], gained[["low", "high", "gain_low", "gain_high"]]]
    assert all(part.isna().all(axis=None) for part in intervals)


def test_metrics_stand_in_the_usual_order(errors):
    rows = pd.concat([encodings(errors, metric) for metric in ("latent_distortion", "mpjpe", "foot_skating_original")])
    assert leave_one_out_table(rows, 0)["metric"].unique().tolist() == ["mpjpe", "latent_distortion"]


def test_nothing_measured_leaves_empty_tables_that_keep_their_types(errors, tmp_path):
    nothing = layer_value_tables(clip_errors(alike([2, 1]))[:0], encodings(errors)[:0], 0)
    some = layer_value_tables(clip_errors(alike([2, 1])), encodings(errors), 0)
    assert set(some) == {"quantizers_needed", "leave_one_out", "headroom"}
    assert len(some["quantizers_needed"]) == len(SHARES)
    for name, table in nothing.items():
        assert table.empty
        pd.testing.assert_series_equal(table.dtypes, some[name].dtypes)
        some[name].to_parquet(tmp_path / f"{name}.parquet", index=False)
        pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / f"{name}.parquet"), some[name])
