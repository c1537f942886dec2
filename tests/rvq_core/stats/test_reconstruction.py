import numpy as np
import pandas as pd
import pytest

from rvq_core.stats import reconstruction
from rvq_core.stats.metrics import UNITS
from rvq_core.stats.reconstruction import (
    JointErrors,
    bootstrap_interval,
    bootstrap_means,
    clip_columns,
    errors_by_split,
    overall,
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


def test_two_clips_have_an_interval_from_one_to_the_other():
    """Of four equally likely draws one takes the first twice and one the second: each is more than 2.5 %."""
    low, high = bootstrap_interval(np.array([[2.0, 7.0], [4.0, 1.0]]), np.ones(2), 0)
    assert low.tolist() == [2.0, 1.0] and high.tolist() == [4.0, 7.0]


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


@pytest.mark.parametrize("clips", [30, 60])
def test_the_interval_covers_the_true_mean_error(clips):
    """Mean MPJPE of clips that differ as real ones do (skewed, of different lengths): 92 to 98 % of 6,000 corpora."""
    rng = np.random.default_rng(1)
    covered = 0
    for trial in range(30):
        frames = rng.integers(60, 240, size=clips)
        # 200 corpora with clips of the same lengths: a column each.
        low, high = bootstrap_interval(rng.gamma(6.0, 10.0, size=(clips, 200)), frames, trial)
        covered += int(((low <= 60.0) & (high >= 60.0)).sum())
    assert 0.92 <= covered / 6000 <= 0.98


def test_the_interval_of_a_gain_is_of_the_difference_on_the_same_clips(errors_of_clips):
    """What clips have in common is in the interval of an error and not in that of a gain."""
    errors_of_clips += 20 * np.random.default_rng(2).random((8, 1))
    frames = np.arange(3, 11)
    table = reconstruction_table(clip_errors(errors_of_clips, frames), seed=6)
    low, high = bootstrap_interval(-np.diff(errors_of_clips[:, 1:], axis=1), frames, 6)
    np.testing.assert_allclose(table["gain_low"], [np.nan, *low])
    np.testing.assert_allclose(table["gain_high"], [np.nan, *high])
    assert (table["gain_high"] - table["gain_low"])[1] < 0.2 * (table["high"] - table["low"])[1]
    alone = reconstruction_table(clip_errors(errors_of_clips[:1], [7]), seed=6)
    assert alone["gain"].notna().sum() == 2
    assert alone[["gain_low", "gain_high"]].isna().all(axis=None)


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
        ("feature_mse", "1"), ("mpjpe", "mm"), ("mpjpe_hands", "mm"), ("velocity_error", "mm/s"),
        ("acceleration_error", "mm/s^2"), ("rotation_error", "deg"), ("foot_skating", "mm/s"),
        ("foot_skating_original", "mm/s"), ("latent_distortion", "1"),
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


JOINTS = ("pelvis", "neck", "head")


def by_joint(values: np.ndarray, frames, metric="mpjpe", joints=JOINTS) -> list[JointErrors]:
    """Errors of clips [M, 4, J] at n = 0, 1, 2, -1, the order in which they are decoded."""
    return [
        JointErrors(f"c{m}", metric, joints, (0, 1, 2, -1), each, weight)
        for m, (each, weight) in enumerate(zip(values, frames, strict=True))
    ]


@pytest.fixture
def errors_of_joints() -> np.ndarray:
    return np.random.default_rng(5).random((8, 4, 3)) + np.array([9.0, 5.0, 3.0, 1.0])[:, None]


FRAMES = np.array([10, 20, 30, 5, 5, 5, 100, 1])
NO_ROWS = clip_errors(np.ones((1, 4)), [1])[:0]


def test_overall_rows_are_the_same_with_and_without_joints_and_groups(errors_of_clips, errors_of_joints):
    rows = clip_errors(errors_of_clips, FRAMES)
    plain = reconstruction_table(rows, 3)
    groups = {"c0": "walk", "c1": "walk", "c5": "run"}
    split = reconstruction_table(rows, 3, by_joint=by_joint(errors_of_joints, FRAMES), groups=groups)
    assert len(split) == 3 + 3 * 3 + 2 * 3
    pd.testing.assert_frame_equal(split[: len(plain)], plain)
    pd.testing.assert_frame_equal(overall(split), plain)
    pd.testing.assert_frame_equal(overall(plain), plain)
    without = plain.drop(columns=["joint", "group"])  # as reports were before
    pd.testing.assert_frame_equal(overall(without), without)
    for table in (plain, split, reconstruction_table(rows[:0], 3), reconstruction_table(rows, 3, groups={})):
        assert table[["joint", "group"]].dtypes.astype(str).tolist() == ["string", "string"]
        assert table.dtypes.astype(str).tolist()[:2] == ["int64", "str"]


def test_joint_rows_are_the_weighted_means_of_each_joint(errors_of_joints):
    table = reconstruction_table(NO_ROWS, 0, by_joint=by_joint(errors_of_joints, FRAMES))
    assert table["group"].isna().all()
    assert overall(table).empty
    expected = np.average(errors_of_joints, axis=0, weights=FRAMES)
    for j, joint in enumerate(JOINTS):
        rows = table[table["joint"] == joint]
        assert rows["n_active"].tolist() == [0, 1, 2]
        np.testing.assert_allclose(rows["value"], expected[:3, j])
        np.testing.assert_allclose(rows["reference"], expected[3, j])
        np.testing.assert_allclose(rows["gain"].iloc[1:], -np.diff(expected[:3, j]))
        assert rows["unit"].unique().tolist() == ["mm"]


def test_intervals_of_joints_are_drawn_as_those_of_clips(errors_of_joints):
    """A joint with the clips' own errors has their interval."""
    rows = clip_errors(errors_of_joints[:, [3, 0, 1, 2], 1], FRAMES)
    table = reconstruction_table(rows, 7, by_joint=by_joint(errors_of_joints, FRAMES))
    columns = ["n_active", "value", "low", "high", "reference"]
    neck = table[table["joint"] == "neck"][columns].reset_index(drop=True)
    pd.testing.assert_frame_equal(neck, overall(table)[columns], rtol=1e-12)
    low, high = bootstrap_interval(errors_of_joints[:, :3, 2], FRAMES, 7)
    head = table[table["joint"] == "head"]
    np.testing.assert_allclose(head[["low", "high"]].to_numpy(), np.stack([low, high], axis=1))


def test_a_joint_is_averaged_over_the_clips_that_have_it(errors_of_joints):
    """Clips of two skeletons: each joint has the clips of its own, whatever the others have."""
    tall, small = errors_of_joints[:5], errors_of_joints[5:, :, :2]
    given = by_joint(tall, FRAMES[:5]) + [
        each._replace(clip=f"d{m}", joints=("neck", "tail")) for m, each in enumerate(by_joint(small, FRAMES[5:]))
    ]
    table = reconstruction_table(NO_ROWS, 0, by_joint=given)
    values = {joint: rows["value"].to_numpy() for joint, rows in table.groupby("joint")}
    assert set(values) == {*JOINTS, "tail"}
    np.testing.assert_allclose(values["head"], np.average(tall[:, :3, 2], axis=0, weights=FRAMES[:5]))
    np.testing.assert_allclose(values["tail"], np.average(small[:, :3, 1], axis=0, weights=FRAMES[5:]))
    necks = np.concatenate([tall[:, :3, 1], small[:, :3, 0]])
    np.testing.assert_allclose(values["neck"], np.average(necks, axis=0, weights=FRAMES))


def test_group_rows_are_tables_of_the_groups_clips(errors_of_clips):
    rows = clip_errors(errors_of_clips, FRAMES)
    groups = {f"c{m}": "happy" if m < 4 else "sad" for m in (0, 1, 2, 3, 6)} | {"not measured": "sad"}
    table = reconstruction_table(rows, 2, groups=groups)
    figures = ["n_active", "metric", "value", "low", "high", "unit", "reference", "gain", "worse"]
    for group, clips in (("happy", ["c0", "c1", "c2", "c3"]), ("sad", ["c6"])):
        found = table[table["group"] == group]
        assert found["joint"].isna().all()
        alone = reconstruction_table(rows[rows["clip"].isin(clips)], 2)
        pd.testing.assert_frame_equal(found[figures].reset_index(drop=True), alone[figures])
    assert table.loc[table["group"] == "sad", ["low", "high"]].isna().all(axis=None)  # one clip
    assert set(table["group"].dropna()) == {"happy", "sad"}


def test_the_table_keeps_its_types_in_a_file(errors_of_clips, errors_of_joints, tmp_path):
    rows = clip_errors(errors_of_clips, FRAMES)
    for number, options in enumerate(({}, {"by_joint": by_joint(errors_of_joints, FRAMES), "groups": {"c1": "a"}})):
        table = reconstruction_table(rows, 0, **options)
        table.to_parquet(tmp_path / f"{number}.parquet", index=False)
        pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / f"{number}.parquet"), table)


def test_clips_of_no_weight_are_in_no_mean_of_a_split():
    clips = pd.DataFrame({"clip": list("abc"), "held_out": pd.array([True, True, False], dtype="boolean")})
    rows = [(clip, 2, "mpjpe", float(i), weight) for i, (clip, weight) in enumerate(zip("abc", (1, 0, 0), strict=True))]
    errors = pd.DataFrame(rows, columns=["clip", "n_active", "metric", "value", "weight"])
    assert errors_by_split(clips, errors).to_numpy().tolist() == [[True, "mpjpe", 0.0, 1]]


def test_rows_are_numbered_through(errors_of_clips, errors_of_joints):
    table = reconstruction_table(clip_errors(errors_of_clips, FRAMES), 0, by_joint=by_joint(errors_of_joints, FRAMES))
    assert table.index.tolist() == list(range(len(table)))


@pytest.mark.parametrize("clips", [2, 3, 4, 50])
def test_2000_draws_whether_they_are_kept_or_not(clips, monkeypatch):
    """Clips are drawn alike often: the mean of their numbers lies where the standard error lets it."""
    monkeypatch.setattr(reconstruction, "MOST_KEPT", 3)
    values, frames = np.arange(float(clips))[:, None], np.ones(clips)
    means = bootstrap_means(values, frames, 0)
    assert means.shape == (2000, 1)
    error = np.sqrt((clips**2 - 1) / 12 / clips / 2000)
    assert abs(means.mean() - (clips - 1) / 2) < 4 * error
    np.testing.assert_array_equal(means, bootstrap_means(values, frames, 0))
    assert bootstrap_means(values[:1], frames[:1], 0) is None


def test_a_step_that_changes_nothing_is_not_worse():
    flat = np.full((3, 4), 2.0)
    flat[:, 3] = 2.5
    table = reconstruction_table(clip_errors(flat, np.ones(3)), 0)
    assert table["gain"].iloc[1:].tolist() == [0.0, -0.5] and table["worse"].tolist() == [False, False, True]


def test_joints_of_a_single_clip_have_figures_and_no_interval(errors_of_joints):
    table = reconstruction_table(NO_ROWS, 0, by_joint=by_joint(errors_of_joints[:1], FRAMES[:1]))
    np.testing.assert_allclose(table["value"], errors_of_joints[0, :3].T.ravel())
    assert table[["low", "high"]].isna().all(axis=None)
