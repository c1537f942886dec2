import numpy as np
import pandas as pd
import pytest

from rvq_core.stats.reconstruction import (
    UNITS,
    bootstrap_interval,
    clip_columns,
    errors_by_split,
    reconstruction_table,
    weighted_mean,
)

DEPTHS = [-1, 0, 1, 2]


def clip_errors(values: np.ndarray, frames, metric="mpjpe", names=None) -> pd.DataFrame:
    """Rows of clips [M] with errors [M, 4] at n = -1, 0, 1, 2."""
    return pd.DataFrame(
        [
            {
                "clip": names[m] if names else f"c{m}",
                "n_active": n,
                "metric": metric,
                "value": value,
                "weight": frames[m],
            }
            for m, row in enumerate(values)
            for n, value in zip(DEPTHS, row, strict=True)
        ]
    )


@pytest.fixture
def errors_of_clips() -> np.ndarray:
    rng = np.random.default_rng(0)
    return np.array([1.0, 9.0, 5.0, 3.0]) + rng.random((8, 4))


def test_the_mean_is_weighted_by_frames():
    values = np.array([[1.0, 10.0], [4.0, 40.0]])
    np.testing.assert_allclose(weighted_mean(values, np.array([30, 10])), [1.75, 17.5])


def test_the_table_holds_weighted_means_gains_and_the_reference(errors_of_clips):
    frames = np.array([10, 20, 30, 5, 5, 5, 100, 1])
    table = reconstruction_table(clip_errors(errors_of_clips, frames), seed=0)
    expected = np.average(errors_of_clips, axis=0, weights=frames)
    assert table["n_active"].tolist() == [0, 1, 2]
    np.testing.assert_allclose(table["value"], expected[1:])
    np.testing.assert_allclose(table["reference"], expected[0])
    np.testing.assert_allclose(table["gain"], [np.nan, expected[1] - expected[2], expected[2] - expected[3]])
    assert table["unit"].unique().tolist() == ["mm"]
    assert (table["low"] < table["value"]).all()
    assert (table["value"] < table["high"]).all()


def test_a_step_that_adds_error_is_flagged(errors_of_clips):
    errors_of_clips[:, 3] = errors_of_clips[:, 2] + 0.001
    table = reconstruction_table(clip_errors(errors_of_clips, np.ones(8)), seed=0)
    assert table["worse"].tolist() == [False, False, True]
    errors_of_clips[:, 3] = errors_of_clips[:, 2]
    table = reconstruction_table(clip_errors(errors_of_clips, np.ones(8)), seed=0)
    assert table["worse"].tolist() == [False, False, False]


def test_the_order_of_rows_does_not_matter(errors_of_clips):
    rows = clip_errors(errors_of_clips, np.arange(1, 9))
    shuffled = rows.sample(frac=1, random_state=0)
    pd.testing.assert_frame_equal(reconstruction_table(rows, 0), reconstruction_table(shuffled, 0))


def test_one_clip_has_no_interval(errors_of_clips):
    table = reconstruction_table(clip_errors(errors_of_clips[:1], [7]), seed=0)
    np.testing.assert_allclose(table["value"], errors_of_clips[0, 1:])
    assert table[["low", "high"]].isna().all(axis=None)
    assert bootstrap_interval(errors_of_clips[:1], np.ones(1), 0) is None


def test_the_interval_is_a_percentile_bootstrap_over_clips():
    """Against a plain loop that draws clips with replacement; other draws, so equal up to their noise."""
    rng = np.random.default_rng(0)
    values, frames = rng.gamma(2.0, size=(25, 1)), rng.integers(10, 200, size=25)
    means = []
    for _ in range(4000):
        drawn = rng.integers(0, 25, size=25)
        means.append(np.average(values[drawn, 0], weights=frames[drawn]))
    low, high = bootstrap_interval(values, frames, 0)
    width = np.quantile(means, 0.975) - np.quantile(means, 0.025)
    assert low[0] == pytest.approx(np.quantile(means, 0.025), abs=0.05 * width)
    assert high[0] == pytest.approx(np.quantile(means, 0.975), abs=0.05 * width)


def test_the_interval_covers_the_truth():
    rng = np.random.default_rng(1)
    covered = 0
    for trial in range(150):
        frames = rng.integers(20, 200, size=30)
        low, high = bootstrap_interval(rng.normal(3.0, 1.0, size=(30, 1)), frames, trial)
        covered += bool(low[0] <= 3.0 <= high[0])
    assert 0.86 <= covered / 150 <= 0.99


def test_figures_of_the_same_clips_are_resampled_alike():
    values = np.random.default_rng(0).random((12, 1))
    frames = np.arange(1, 13)
    both = np.concatenate([values, values + 2.0, 3 * values], axis=1)
    low, high = bootstrap_interval(both, frames, 4)
    np.testing.assert_allclose(low, [low[0], low[0] + 2, 3 * low[0]])
    np.testing.assert_allclose(high, [high[0], high[0] + 2, 3 * high[0]])


def test_the_seed_decides_the_draws():
    values = np.random.default_rng(0).random((12, 2))
    first = bootstrap_interval(values, np.ones(12), 0)
    np.testing.assert_array_equal(first, bootstrap_interval(values, np.ones(12), 0))
    assert not np.array_equal(first, bootstrap_interval(values, np.ones(12), 1))


def test_a_clip_without_the_metric_counts_in_none_of_its_figures(errors_of_clips):
    frames = np.arange(1, 9)
    with_gap = errors_of_clips.copy()
    with_gap[3] = np.nan
    kept = np.delete(np.arange(8), 3)
    table = reconstruction_table(clip_errors(with_gap, frames), seed=0)
    np.testing.assert_allclose(table["value"], np.average(errors_of_clips[kept, 1:], axis=0, weights=frames[kept]))


def test_a_metric_that_no_clip_has_is_null_at_every_depth(errors_of_clips):
    nothing = clip_errors(np.full((3, 4), np.nan), np.ones(3), "velocity_error")
    table = reconstruction_table(pd.concat([clip_errors(errors_of_clips, np.ones(8)), nothing]), seed=0)
    rows = table[table["metric"] == "velocity_error"]
    assert rows["n_active"].tolist() == [0, 1, 2]
    assert rows[["value", "low", "high", "reference", "gain"]].isna().all(axis=None)
    assert not rows["worse"].any()


def test_metrics_stand_in_a_fixed_order_with_their_units(errors_of_clips):
    parts = [clip_errors(errors_of_clips, np.ones(8), metric) for metric in reversed(UNITS)]
    table = reconstruction_table(pd.concat(parts), seed=0)
    units = table.drop_duplicates("metric").set_index("metric")["unit"].to_dict()
    assert list(units.items()) == [
        ("feature_mse", "1"), ("mpjpe", "mm"), ("mpjpe_hands", "mm"),
        ("velocity_error", "mm/s"), ("rotation_error", "deg"),
    ]  # fmt: skip


def test_clip_columns_are_the_errors_at_full_depth(errors_of_clips):
    names = ["b", "a"]
    rows = pd.concat(
        [clip_errors(errors_of_clips[:2], [1, 1], m, names) for m in ("rotation_error", "feature_mse")],
    )
    wide = clip_columns(rows, 2)
    assert list(wide.columns) == ["feature_mse", "rotation_error"]
    assert wide.loc["b", "feature_mse"] == errors_of_clips[0, 3]
    assert wide.loc["a", "rotation_error"] == errors_of_clips[1, 3]


def test_held_out_and_training_clips_are_averaged_apart():
    clips = pd.DataFrame({"clip": list("abcd"), "held_out": pd.array([True, False, False, None], dtype="boolean")})
    rows = [
        (clip, n_active, metric, 10.0 * n_active + i + (metric == "mpjpe"), weight)
        for i, (clip, weight) in enumerate(zip("abcd", (3, 1, 4, 2), strict=True))
        for n_active in (-1, 0, 1, 2)
        for metric in ("mpjpe", "feature_mse")
    ]
    errors = pd.DataFrame(rows, columns=["clip", "n_active", "metric", "value", "weight"])
    split = errors_by_split(clips, errors).set_index(["held_out", "metric"])
    assert split.loc[(True, "feature_mse"), "value"] == 20.0
    assert split.loc[(False, "mpjpe"), "value"] == pytest.approx((1 * 22.0 + 4 * 23.0) / 5)
    assert split["clips"].to_dict() == {
        (False, "feature_mse"): 2, (False, "mpjpe"): 2, (True, "feature_mse"): 1, (True, "mpjpe"): 1,
    }  # fmt: skip
    assert errors_by_split(clips, errors[:0]).empty
