import numpy as np

from rvq_core.clips import smplx
from rvq_core.clips.smplx import JOINT_NAMES, canonical_skeleton


def test_fifty_five_joints_with_unique_names():
    assert len(JOINT_NAMES) == len(set(JOINT_NAMES)) == len(smplx.PARENTS) == 55
    assert JOINT_NAMES[20:26] == ("left_wrist", "right_wrist", "jaw", "left_eye", "right_eye", "left_index1")
    assert JOINT_NAMES[-1] == "right_thumb3"


def test_the_body_parts_are_those_of_beat2():
    assert (6 * len(smplx.UPPER), 6 * len(smplx.HANDS), 6 * len(smplx.LOWER)) == (78, 180, 54)
    assert sorted((*smplx.UPPER, *smplx.HANDS, *smplx.LOWER)) == [j for j in range(55) if j not in (22, 23, 24)]


def test_every_limb_stays_on_its_side():
    parents = [JOINT_NAMES[p] if p >= 0 else "" for p in smplx.PARENTS]
    for name, parent in zip(JOINT_NAMES, parents, strict=True):
        for side in ("left", "right"):
            if parent.startswith(side):
                assert name.startswith(side)


def test_the_skeleton_is_a_symmetric_t_pose_facing_z():
    rest = canonical_skeleton().rest_positions
    at = dict(zip(JOINT_NAMES, rest, strict=True))
    np.testing.assert_allclose(rest[list(canonical_skeleton().mirrored)], rest * [-1, 1, 1], atol=1e-12)
    assert at["left_wrist"][0] > 0.6
    assert at["left_foot"][2] > at["left_ankle"][2] + 0.1
    assert at["left_eye"][2] > at["head"][2]
    assert abs(at["left_wrist"][1] - at["left_shoulder"][1]) < 0.02


def test_proportions_are_human():
    rest = canonical_skeleton().rest_positions
    at = dict(zip(JOINT_NAMES, rest, strict=True))
    floor = at["left_ankle"][1] - smplx.ANKLE_HEIGHT
    stature = 1.70
    # Drillis and Contini, as parts of the stature.
    assert abs((at["left_hip"][1] - floor) / stature - 0.53) < 0.01
    assert abs((at["left_knee"][1] - floor) / stature - 0.285) < 0.01
    assert abs((at["left_shoulder"][1] - floor) / stature - 0.818) < 0.03
    assert 0.85 < (at["head"][1] - floor) / stature < 0.95


def test_the_skeleton_is_shared_and_cannot_be_changed():
    assert canonical_skeleton() is canonical_skeleton()
    assert not canonical_skeleton().offsets.flags.writeable
