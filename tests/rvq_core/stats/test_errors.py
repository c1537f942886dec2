from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from rvq_core.stats import errors

FRAMES, JOINTS = 9, 22
SHARED = Path(__file__).resolve().parents[4] / "shared"
MOMASK = SHARED / "fixtures/momask/t2m/rvq_nq4_dc32_nc64_noshare_qdp0.2"
WALK = SHARED / "motion/humanml3d"


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


def test_rotations_of_all_depths_are_measured_at_once():
    rng = np.random.default_rng(0)
    found, wanted = (Rotation.random(count, random_state=rng).as_matrix() for count in (3 * 2 * 5, 2 * 5))
    found, wanted = found.reshape(3, 2, 5, 3, 3), wanted.reshape(2, 5, 3, 3)
    expected = [errors.rotation_errors(one, wanted) for one in found]
    np.testing.assert_allclose(errors.rotation_errors(found, wanted), expected)


@pytest.mark.parametrize("degrees", [0.0, 1e-5, 0.1, 90.0, 179.9, 180.0])
def test_rotation_error_of_small_and_large_angles(degrees):
    start = Rotation.from_rotvec([0.3, -0.8, 0.5])
    end = start * Rotation.from_rotvec(np.radians(degrees) * np.array([0.6, 0.0, 0.8]))
    value = errors.rotation_error(end.as_matrix()[None, None], start.as_matrix()[None, None])
    assert value == pytest.approx(degrees, rel=1e-6, abs=1e-6)


def test_half_a_turn_in_float32_stays_a_number():
    flip = np.diag([1.0, -1.0, -1.0]).astype(np.float32) * np.float32(1.0000001)
    assert errors.rotation_error(flip[None, None], np.eye(3, dtype=np.float32)[None, None]) == pytest.approx(180)


@pytest.mark.skipif(not MOMASK.is_dir(), reason="needs ../shared/fixtures")
def test_mpjpe_of_each_frame_is_what_momasks_own_code_gave():
    theirs = np.load(MOMASK / "expected.npz")
    found = errors.position_errors(theirs["joints_recon"], theirs["joints"])
    np.testing.assert_allclose(errors.by_frame(found), theirs["mpjpe_per_frame"] * 1000, rtol=1e-5)


def test_every_distance_is_that_of_its_frame_and_joint(joints):
    found, wanted = joints
    turns = [Rotation.random(FRAMES * JOINTS, random_state=seed) for seed in (0, 1)]
    matrices = [turn.as_matrix().reshape(FRAMES, JOINTS, 3, 3) for turn in turns]
    positions = errors.position_errors(found, wanted)
    velocities = errors.velocity_errors(found, wanted, 25.0)
    accelerations = errors.acceleration_errors(found, wanted, 25.0)
    rotations = errors.rotation_errors(*matrices)
    assert [x.shape[0] for x in (positions, velocities, accelerations, rotations)] == [9, 8, 7, 9]
    gap = found - wanted
    for t, j in [(0, 0), (1, 21), (4, 3), (7, 8)]:
        assert positions[t, j] == pytest.approx(np.linalg.norm(gap[t, j] - gap[t, 0]) * 1000)
        assert velocities[t, j] == pytest.approx(np.linalg.norm(gap[t + 1, j] - gap[t, j]) * 25 * 1000)
        i = t * JOINTS + j
        assert rotations[t, j] == pytest.approx(np.degrees((turns[0][i] * turns[1][i].inv()).magnitude()))
    for t, j in [(1, 0), (4, 21), (7, 8)]:
        bend = gap[t + 1, j] - 2 * gap[t, j] + gap[t - 1, j]
        assert accelerations[t - 1, j] == pytest.approx(np.linalg.norm(bend) * 25**2 * 1000)


def test_means_are_those_of_frames_and_of_joints(joints):
    both = np.stack([joints[0], joints[1] + joints[0]])
    each = errors.position_errors(both, joints[1])
    assert (errors.by_frame(each).shape, errors.by_joint(each).shape) == ((2, FRAMES), (2, JOINTS))
    np.testing.assert_allclose(errors.by_frame(each)[1, 3], each[1, 3].sum() / JOINTS)
    np.testing.assert_allclose(errors.by_joint(each)[1, 5], each[1, :, 5].sum() / FRAMES)
    np.testing.assert_allclose(errors.by_frame(each).mean(-1), errors.mpjpe(both, joints[1]))
    np.testing.assert_allclose(errors.by_joint(each).mean(-1), errors.mpjpe(both, joints[1]))


def test_acceleration_error_is_in_millimetres_a_second_squared(joints):
    wanted = joints[1]
    time = np.arange(FRAMES)[:, None, None] / 20.0
    # Half of 3 m/s^2 times the time squared is an acceleration of 3 m/s^2; a drift at even speed is none.
    fall = 0.5 * 3.0 * time**2 * np.array([0.6, 0.8, 0.0]) + 0.7 * time
    assert errors.acceleration_error(wanted + fall, wanted, 20.0) == pytest.approx(3000)
    assert errors.acceleration_error(wanted + 0.7 * time, wanted, 20.0) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("frames", [1, 2])
def test_under_three_frames_there_is_no_acceleration(joints, frames):
    value = errors.acceleration_error(np.stack([joints[0][:frames]] * 4), joints[1][:frames], 30.0)
    assert value.shape == (4,)
    assert np.isnan(value).all()


def planted(frames: int = 12) -> np.ndarray:
    """Two feet that stand 8 cm and 1 cm above the floor: [T, 2, 3]."""
    return np.tile(np.array([[0.1, 0.08, 0.0], [0.1, 0.01, 0.1]]), (frames, 1, 1))


def test_a_foot_that_slides_while_it_should_stand_skates_at_its_speed():
    truth = planted()
    contacts = errors.ground_contacts(truth, 30.0)
    assert contacts.shape == (11, 2)
    assert contacts.all()
    path = np.arange(12)[:, None, None] / 30.0 * np.array([0.06, 0.0, 0.08])  # 100 mm/s
    slide = truth + path
    rise = slide + np.arange(12)[:, None, None] * np.array([0.0, 0.01, 0.0])
    found = np.stack([slide, rise, truth])
    assert errors.foot_skating(found, contacts, 30.0) == pytest.approx([100, 100, 0])
    assert errors.foot_skating_by_frame(found, contacts, 30.0)[0] == pytest.approx(np.full(11, 100))


def test_only_feet_that_stand_skate():
    """The left foot steps in frames 4 to 7, the right one stands; the reconstruction slides the left one throughout."""
    truth = planted()
    truth[4:8, 0, 1] += 0.2
    contacts = errors.ground_contacts(truth, 30.0)
    # Neither up, nor on the way up or down.
    assert contacts[:, 0].tolist() == [True] * 3 + [False] * 5 + [True] * 3
    assert contacts[:, 1].all()
    found = truth.copy()
    found[:, 0, 0] += np.arange(12) * 0.01  # 300 mm/s
    assert errors.foot_skating(found, contacts, 30.0) == pytest.approx(300 * 6 / (6 + 11))
    by_frame = errors.foot_skating_by_frame(found, contacts, 30.0)
    assert by_frame == pytest.approx([150] * 3 + [0] * 5 + [150] * 3)


@pytest.mark.parametrize(("speed", "stands"), [(0.149, True), (0.151, False)])
@pytest.mark.parametrize("fps", [20.0, 120.0])
def test_a_foot_that_moves_is_not_on_the_ground(speed, stands, fps):
    truth = planted() + np.arange(12)[:, None, None] * np.array([speed / fps, 0.0, 0.0])
    assert (errors.ground_contacts(truth, fps) == stands).all()
    assert errors.foot_skating(truth, errors.ground_contacts(truth, fps), fps) == (
        pytest.approx(speed * 1000) if stands else pytest.approx(np.nan, nan_ok=True)
    )


@pytest.mark.parametrize(("height", "stands"), [(0.039, True), (0.041, False)])
def test_a_foot_that_hangs_still_is_not_on_the_ground(height, stands):
    truth = planted(20)
    truth[10:15, :, 1] += height
    contacts = errors.ground_contacts(truth, 3.0)  # at so few frames a second the ways up and down are slow
    assert contacts[:9].all()
    assert contacts[15:].all()
    assert (contacts[9:15] == stands).all()  # both ends of a step must be low


@pytest.mark.skipif(not WALK.is_dir(), reason="needs ../shared/motion")
def test_feet_stand_where_humanml3d_says_so():
    """Its contact labels allow six times the speed and no height: all of ours are among them, and most of them ours."""
    joints = np.load(WALK / "new_joints_012314.npy")
    labels = np.load(WALK / "new_joint_vecs_012314.npy")[:-1, 259:263] > 0.5
    contacts = errors.ground_contacts(joints[:, [7, 10, 8, 11]], 20.0)
    assert labels[contacts].all()
    assert contacts[labels].mean() > 0.6


def test_without_contact_there_is_no_skating():
    path = np.arange(12)[:, None, None] * np.array([0.1, 0.0, 0.0])
    contacts = errors.ground_contacts(planted() + path, 30.0)
    found = np.stack([planted()] * 3)
    assert np.isnan(errors.foot_skating(found, contacts, 30.0)).all()
    assert np.isnan(errors.foot_skating_by_frame(found, contacts, 30.0)).all()
    one = planted(1)
    assert np.isnan(errors.foot_skating(one, errors.ground_contacts(one, 30.0), 30.0))


def test_nothing_is_lost_by_a_perfect_reconstruction(joints):
    motion = joints[1]
    turns = Rotation.random(FRAMES * JOINTS, random_state=0).as_matrix().reshape(FRAMES, JOINTS, 3, 3)
    for each in (
        errors.position_errors(motion, motion),
        errors.velocity_errors(motion, motion, 30.0),
        errors.acceleration_errors(motion, motion, 30.0),
        errors.rotation_errors(turns, turns),
        errors.feature_errors(motion[..., 0], motion[..., 0]),
    ):
        assert (each == 0).all()
