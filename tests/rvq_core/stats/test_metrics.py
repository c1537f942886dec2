"""The list of errors: what each compares, on which frames it stands, what the rate of frames does to it."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from rvq_core.stats.metrics import CURVES, METRICS, UNITS, Metric, Of

BY_NAME = {metric.name: metric for metric in METRICS}
FRAMES, JOINTS = 7, 4


def motion(of: Of, rng: np.random.Generator) -> np.ndarray:
    """What a metric compares, at random."""
    if of is Of.ROTATIONS:
        return Rotation.random(FRAMES * JOINTS, rng=rng).as_matrix().reshape(FRAMES, JOINTS, 3, 3)
    return rng.normal(size=(FRAMES, 12) if of is Of.FEATURES else (FRAMES, JOINTS, 3))


def errors_at(metric: Metric, fps: float, frame: int | None = None) -> np.ndarray:
    """Errors [F, J] of two motions; with ``frame`` of one motion and itself where that frame alone is moved."""
    wanted = motion(metric.of, np.random.default_rng(1))
    found = motion(metric.of, np.random.default_rng(2))
    if frame is not None:
        found = np.where((np.arange(FRAMES) == frame).reshape(-1, *[1] * (wanted.ndim - 1)), found, wanted)
    return metric.errors(found, wanted, fps)


MEASURED = [metric for metric in METRICS if metric.errors is not None]


@pytest.mark.parametrize("metric", MEASURED, ids=lambda metric: metric.name)
def test_errors_begin_with_the_frame_that_they_say(metric: Metric):
    """A frame moved alone moves its own error, its steps (which stand at their later frame), and turns beside it."""
    moved = np.flatnonzero(errors_at(metric, 30.0, FRAMES // 2).max(axis=-1) > 1e-9) + metric.start
    order = {"velocity_error": [3, 4], "acceleration_error": [2, 3, 4]}.get(metric.name, [3])
    assert moved.tolist() == order


@pytest.mark.parametrize("metric", MEASURED, ids=lambda metric: metric.name)
def test_only_speeds_grow_with_the_rate_of_frames(metric: Metric):
    power = {"velocity_error": 1, "acceleration_error": 2}.get(metric.name, 0)
    np.testing.assert_allclose(errors_at(metric, 60.0), 2**power * errors_at(metric, 30.0), rtol=1e-12)
    assert metric.rate_bound or power == 0


def test_what_is_told_of_each_error():
    """By joint: distances and angles of joints. Bound to the rate: speeds, and features, which may hold speeds."""
    with_joints = {name for name, metric in BY_NAME.items() if metric.errors is not None and metric.by_joint}
    assert with_joints == {"mpjpe", "mpjpe_hands", "rotation_error"}
    speeds = {name for name, unit in UNITS.items() if "/s" in unit and name in CURVES}
    assert {name for name, metric in BY_NAME.items() if metric.rate_bound} == speeds | {"feature_mse"}
    assert set(UNITS) - set(CURVES) == {"foot_skating_original", "latent_distortion"}  # the same at every depth
    assert UNITS == {
        "feature_mse": "1", "mpjpe": "mm", "mpjpe_hands": "mm", "velocity_error": "mm/s",
        "acceleration_error": "mm/s^2", "rotation_error": "deg", "foot_skating": "mm/s",
        "foot_skating_original": "mm/s", "latent_distortion": "1",
    }  # fmt: skip
