import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from rvq_core.clips.bvh import parse_bvh, read_bvh
from rvq_core.clips.hierarchy import Hierarchy, SkeletonMotion
from rvq_core.clips.humanoid import to_smplx
from rvq_core.errors import ClipError


@pytest.fixture
def moving(person):
    """Steps forward with bent knees, one arm rising."""
    swing = np.linspace(0, 40, 9)
    return person(9).turned(
        LeftUpLeg_X=-swing, LeftLeg_X=2 * swing, RightLeg_X=swing, LeftArm_Z=-60.0, RightArm_Z=60 - 2 * swing,
        LeftForeArm_Y=-swing, Spine_X=swing / 4, Head_Y=swing, Hips_z=3 * swing, Hips_y=95 - swing / 10,
    )  # fmt: skip


def assert_same_motion(one, other, body, within=1e-5):
    for mine, theirs in zip(body(one), body(other), strict=True):
        for name in mine:
            np.testing.assert_allclose(mine[name], theirs[name], atol=within, err_msg=name)


def test_a_person_comes_out_upright_and_the_right_way_round(moving, write_bvh, body):
    frames = body(read_bvh(write_bvh(moving)))
    for frame in frames:
        assert frame["head"][1] > frame["pelvis"][1] + 0.4
        assert frame["left_hip"][0] > frame["right_hip"][0]
        assert frame["left_eye"][2] > frame["head"][2]
    start, end = frames[0], frames[-1]
    assert end["pelvis"][2] > start["pelvis"][2] + 1.0
    assert end["left_knee"][2] > end["left_hip"][2] + 0.2
    assert end["left_ankle"][2] < end["left_knee"][2] - 0.2
    assert end["right_ankle"][2] < end["right_knee"][2] - 0.2
    np.testing.assert_allclose(
        end["left_elbow"] - end["left_shoulder"], start["left_elbow"] - start["left_shoulder"], atol=0.1
    )
    assert start["right_elbow"][1] < start["right_shoulder"][1] - 0.2
    assert end["right_elbow"][1] > end["right_shoulder"][1]
    assert end["left_wrist"][2] - end["left_elbow"][2] > 0.1  # the forearm swings forward
    assert min(start["left_foot"][1], start["right_foot"][1]) == pytest.approx(0.015, abs=0.01)


@pytest.mark.parametrize("factor", [0.01, 0.14, 10])
def test_the_unit_of_length_does_not_matter(moving, write_bvh, body, factor):
    plain = read_bvh(write_bvh(moving))
    moving.joints = [(name, parent, tuple(factor * v for v in offset)) for name, parent, offset in moving.joints]
    path = {f"Hips_{axis}": factor * moving.values.get(f"Hips.{axis.upper()}position", 0.0) for axis in "xyz"}
    assert_same_motion(plain, read_bvh(write_bvh(moving.turned(**path))), body)


AXES = {
    "z up, facing -y": [[1, 0, 0], [0, 0, -1], [0, 1, 0]],
    "z up, facing x": [[0, 0, 1], [1, 0, 0], [0, 1, 0]],
    "x up": [[0, 1, 0], [0, 0, 1], [1, 0, 0]],
    "y up, facing -z": [[-1, 0, 0], [0, 1, 0], [0, 0, -1]],
    "y down": [[-1, 0, 0], [0, -1, 0], [0, 0, 1]],
}


@pytest.mark.parametrize("axes", AXES.values(), ids=AXES.keys())
def test_up_and_forward_are_found_in_the_rest_pose(moving, write_bvh, body, axes):
    turn = np.array(axes, dtype=float)
    assert np.linalg.det(turn) == 1
    motion = parse_bvh(write_bvh(moving))
    skeleton = motion.hierarchy
    turned = SkeletonMotion(
        Hierarchy(skeleton.names, skeleton.parents, skeleton.offsets @ turn.T, {}),
        turn @ motion.rotations @ turn.T,
        {joint: places @ turn.T for joint, places in motion.moved.items()},
        motion.fps,
    )
    plain, other = to_smplx(motion, "plain").to_clip("plain"), to_smplx(turned, "turned").to_clip("turned")
    assert_same_motion(plain, other, body)
    told = [note for note in other.notes if note.startswith("up is ")]
    assert told == ([] if turn[1, 1] == 1 else [f"up is {'+' if turn[:, 1].sum() > 0 else '-'}"
        f"{'xyz'[np.abs(turn[:, 1]).argmax()]} in the file, by its rest pose"])  # fmt: skip


def test_a_skeleton_at_rest_with_hanging_arms_gives_the_same_motion(moving, write_bvh, body):
    plain = read_bvh(write_bvh(moving))
    # The same world rotations of bones, from a rest pose in which the arms hang: each local turn loses its 90 degrees.
    hang = {"Left": Rotation.from_euler("z", -90, degrees=True), "Right": Rotation.from_euler("z", 90, degrees=True)}
    motion = parse_bvh(write_bvh(moving))
    offsets, rotations = motion.hierarchy.offsets.copy(), motion.rotations.copy()
    for side, turn in hang.items():
        for name in ("Arm", "ForeArm", "Hand"):
            joint = motion.hierarchy.numbers[side + name]
            if name != "Arm":
                offsets[joint] = turn.apply(offsets[joint])
                rotations[:, joint] = turn.as_matrix() @ rotations[:, joint]
            rotations[:, joint] = rotations[:, joint] @ turn.as_matrix().T
    skeleton = Hierarchy(motion.hierarchy.names, motion.hierarchy.parents, offsets, {})
    hanging = SkeletonMotion(skeleton, rotations, motion.moved, motion.fps)
    np.testing.assert_allclose(hanging.posed().positions, motion.posed().positions, atol=1e-9)
    assert_same_motion(plain, to_smplx(hanging, "hanging").to_clip("hanging"), body)


def bone_local(motion, seed=0):
    """The same motion of a skeleton whose joints have axes of their own, so that the zero pose is nobody's."""
    skeleton, rng = motion.hierarchy, np.random.default_rng(seed)
    own = Rotation.random(len(skeleton.names), rng=rng).as_matrix()
    offsets, rotations = skeleton.offsets.copy(), motion.rotations @ own
    for joint, parent in enumerate(skeleton.parents):
        if parent >= 0:
            offsets[joint] = own[parent].T @ offsets[joint]
            rotations[:, joint] = own[parent].T @ rotations[:, joint]
    return SkeletonMotion(Hierarchy(skeleton.names, skeleton.parents, offsets, {}), rotations, motion.moved, motion.fps)


@pytest.mark.parametrize("seed", range(5))
def test_a_zero_pose_that_is_nobody_s_is_replaced_by_a_frame(moving, write_bvh, body, seed):
    motion = parse_bvh(write_bvh(moving.turned(LeftArm_Z=0.0, RightArm_Z=2 * np.linspace(0, 40, 9))))
    odd = bone_local(motion, seed)
    np.testing.assert_allclose(odd.posed().positions, motion.posed().positions, atol=1e-9)
    plain, other = to_smplx(motion, "plain"), to_smplx(odd, "odd")
    assert "the zero pose is no standing person: the pose of frame 0 stands for it" in other.notes
    assert_same_motion(plain.to_clip("plain"), other.to_clip("odd"), body, within=0.03)


def test_a_motion_that_never_stands_says_so(person, write_bvh):
    sitting = person(4).turned(LeftUpLeg_X=-90.0, RightUpLeg_X=-90.0, LeftLeg_X=90.0, RightLeg_X=90.0)
    notes = to_smplx(bone_local(parse_bvh(write_bvh(sitting))), "sitting").notes
    assert "the zero pose is no standing person: the pose of frame 0 stands for it, though it does not" in notes[0]


def test_joints_with_positions_of_their_own_are_followed(moving, write_bvh, body):
    plain = read_bvh(write_bvh(moving))
    moving.positions = tuple(name for name, *_ in moving.joints)
    text = moving.text()
    # Offsets that are nonsense: the position channels say where the joints are.
    for offset in ("0.0 -42.0 0.0", "28.0 0.0 0.0", "0.0 20.0 0.0"):
        text = text.replace(f"OFFSET {offset}", "OFFSET 7.0 7.0 7.0")
    assert_same_motion(plain, read_bvh(write_bvh(text)), body)


def test_notes_report_what_was_mapped_and_what_was_not(person, write_bvh):
    source = person(2)
    source.joints = [*source.joints, ("Tail", "Hips", (0, 0, -10))]
    notes = read_bvh(write_bvh(source)).notes
    assert notes[0] == (
        "retargeted to SMPL-X: 21 joints mapped; spine2 share the turn of their neighbours; at rest: face, fingers"
    )
    assert notes[1].startswith("bones: pelvis = Hips, left_hip = LeftUpLeg, right_hip = RightUpLeg, spine1 = Spine, ")
    assert notes[1].endswith("; not used: Tail")


def test_fingers_move_where_the_skeleton_has_them(person, write_bvh, body):
    source = person(2)
    source.joints = [
        *source.joints,
        ("LeftHandIndex1", "LeftHand", (9, 0, 2)),
        ("LeftHandIndex2", "LeftHandIndex1", (3, 0, 0)),
        ("LeftHandIndex3", "LeftHandIndex2", (3, 0, 0)),
    ]
    clip = read_bvh(write_bvh(source.turned(LeftHandIndex1_Z=[0, -80])))
    straight, bent = body(clip)
    assert clip.notes[0].endswith("at rest: face, 27 finger joints")
    assert bent["left_index2"][1] < straight["left_index2"][1] - 0.02
    np.testing.assert_allclose(bent["left_middle2"], straight["left_middle2"], atol=1e-6)


@pytest.mark.parametrize(
    ("joints", "message"),
    [
        (("UpLeg", (0, -5, 0)), "clip.bvh: expected hips apart from each other, found both in one place"),
        (("Leg", (0, 0, 0)), "clip.bvh: expected legs of some length, found none"),
    ],
)
def test_impossible_bodies_are_refused(person, write_bvh, joints, message):
    part, offset = joints
    source = person(2)
    names = ("Leg", "Foot") if part == "Leg" else (part,)
    source.joints = [
        (name, parent, offset if name.removeprefix("Left").removeprefix("Right") in names else own)
        for name, parent, own in source.joints
    ]
    with pytest.raises(ClipError, match=message):
        read_bvh(write_bvh(source))


def test_a_real_kick_is_a_kick(shared, body):
    frames = body(read_bvh(shared("bandai_namco/dataset-1_kick_normal_001.bvh")))
    raised = max(max(f["left_ankle"][1], f["right_ankle"][1]) for f in frames)
    assert raised > 0.5
    for frame in frames:
        assert frame["head"][1] > 1.0
        assert -0.1 < min(frame["left_foot"][1], frame["right_foot"][1]) < 0.15


@pytest.mark.parametrize(
    "name", ["cmu_bvh/02_01", "bandai_namco/dataset-1_walk_normal_001", "bandai_namco/dataset-1_run_normal_001"]
)
def test_real_people_face_the_way_they_walk(shared, body, name):
    frames = body(read_bvh(shared(f"{name}.bvh")))
    pelvis = np.array([frame["pelvis"] for frame in frames])
    left = np.array([frame["left_hip"] - frame["right_hip"] for frame in frames])
    facing = np.cross(left, [0, 1, 0])
    path = np.gradient(pelvis, axis=0) * [1, 0, 1]
    cosine = (facing * path).sum(axis=1) / np.linalg.norm(facing, axis=1) / np.linalg.norm(path, axis=1)
    assert np.median(cosine) > 0.95
    for frame, to_the_left in zip(frames, left, strict=True):
        for side in ("left", "right"):
            thigh = frame[f"{side}_knee"] - frame[f"{side}_hip"]
            shank = frame[f"{side}_ankle"] - frame[f"{side}_knee"]
            assert np.cross(thigh, shank) @ to_the_left > -1e-3  # knees bend backwards
    lowest = [min(position[1] for position in frame.values()) for frame in frames]
    assert -0.06 < np.median(lowest) < 0.06
