import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from rvq_core.stats import errors

FRAMES, JOINTS = 9, 22


@pytest.fixture
def joints() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.normal(size=(FRAMES, JOINTS, 3)), rng.normal(size=(FRAMES, JOINTS, 3))


def test_feature_mse_is_the_mean_square():
    rng = np.random.default_rng(0)
    found, wanted = rng.normal(size=(4, 7, 5)), rng.normal(size=(7, 5))
    expected = [sum((f - w) ** 2 for f, w in zip(a.flat, wanted.flat, strict=True)) / 35 for a in found]
    np.testing.assert_allclose(errors.feature_mse(found, wanted), expected)


def momask_mpjpe(found, wanted) -> float:
    """MoMask's: align each frame at the pelvis, then the mean distance over frames and all joints, in mm."""
    found = found - found[:, [0]]
    wanted = wanted - wanted[:, [0]]
    return float(np.mean([np.linalg.norm(found[t] - wanted[t], axis=-1).mean() for t in range(len(found))]) * 1000)


def test_mpjpe_is_momasks(joints):
    assert errors.mpjpe(*joints) == pytest.approx(momask_mpjpe(*joints), rel=1e-12)


def test_mpjpe_does_not_see_where_the_pelvis_is(joints):
    found, wanted = joints
    path = np.random.default_rng(1).normal(size=(FRAMES, 1, 3))
    assert errors.mpjpe(found + path, wanted) == pytest.approx(float(errors.mpjpe(found, wanted)))
    assert errors.mpjpe(wanted + path, wanted) == pytest.approx(0, abs=1e-9)


def test_the_pelvis_counts_as_a_joint_without_error(joints):
    wanted = joints[1]
    found = wanted.copy()
    found[:, 1:, 0] += 0.010
    assert errors.mpjpe(found, wanted) == pytest.approx(10 * 21 / 22)


def test_all_depths_are_measured_at_once(joints):
    found = np.stack([joints[0], joints[1], 2 * joints[0]])
    wanted = joints[1]
    np.testing.assert_allclose(errors.mpjpe(found, wanted), [momask_mpjpe(one, wanted) for one in found], atol=1e-9)
    assert errors.velocity_error(found, wanted, 30).shape == (3,)


def test_velocity_error_is_in_millimetres_a_second(joints):
    wanted = joints[1]
    drift = np.arange(FRAMES)[:, None, None] * np.array([0.003, 0.0, 0.004])
    # 5 mm a frame at 20 frames a second.
    assert errors.velocity_error(wanted + drift, wanted, 20.0) == pytest.approx(100)
    found = joints[0]
    by_hand = [
        np.linalg.norm((found[t + 1, j] - found[t, j]) - (wanted[t + 1, j] - wanted[t, j]))
        for t in range(FRAMES - 1)
        for j in range(JOINTS)
    ]
    assert errors.velocity_error(found, wanted, 30.0) == pytest.approx(np.mean(by_hand) * 30 * 1000)


def test_a_single_frame_has_no_velocity(joints):
    value = errors.velocity_error(np.stack([joints[0][:1]] * 4), joints[1][:1], 30.0)
    assert value.shape == (4,)
    assert np.isnan(value).all()


def test_rotation_error_is_scipys_magnitude():
    rng = np.random.default_rng(0)
    found, wanted = (Rotation.random(FRAMES * 5, random_state=rng) for _ in range(2))
    expected = np.degrees((found * wanted.inv()).magnitude()).mean()
    shape = (FRAMES, 5, 3, 3)
    value = errors.rotation_error(found.as_matrix().reshape(shape), wanted.as_matrix().reshape(shape))
    assert value == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("degrees", [0.0, 1e-5, 0.1, 90.0, 179.9, 180.0])
def test_rotation_error_of_small_and_large_angles(degrees):
    start = Rotation.from_rotvec([0.3, -0.8, 0.5])
    end = start * Rotation.from_rotvec(np.radians(degrees) * np.array([0.6, 0.0, 0.8]))
    value = errors.rotation_error(end.as_matrix()[None, None], start.as_matrix()[None, None])
    assert value == pytest.approx(degrees, rel=1e-6, abs=1e-6)


def test_half_a_turn_in_float32_stays_a_number():
    flip = np.diag([1.0, -1.0, -1.0]).astype(np.float32) * np.float32(1.0000001)
    assert errors.rotation_error(flip[None, None], np.eye(3, dtype=np.float32)[None, None]) == pytest.approx(180)
