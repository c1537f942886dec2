import itertools
import time
import warnings

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from rvq_core.clips.bvh import parse_bvh, read_bvh
from rvq_core.errors import ClipError


def joint(motion, name, posed=None):
    return (posed or motion.posed()).positions[:, motion.hierarchy.numbers[name]]


@pytest.mark.parametrize("order", ["".join(axes) for axes in itertools.permutations("XYZ")])
def test_rotations_multiply_in_the_order_of_their_channels(person, write_bvh, order):
    angles = np.random.default_rng(0).uniform(-180, 180, (5, 3))
    turns = {f"LeftUpLeg_{axis}": angles[:, column] for column, axis in enumerate(order)}
    motion = parse_bvh(write_bvh(person(5, order=order).turned(**turns)))
    turn = Rotation.from_euler(order, angles, degrees=True)  # capital letters: about axes that turn along
    expected = np.array([9, 95 - 5, 0]) + turn.apply([0, -42, 0])
    np.testing.assert_allclose(joint(motion, "LeftLeg"), expected, atol=1e-9)
    np.testing.assert_allclose(joint(motion, "RightLeg"), [[-9, 48, 0]] * 5, atol=1e-9)


def test_one_or_two_rotation_channels_are_enough(person, write_bvh):
    motion = parse_bvh(write_bvh(person(2, order="X").turned(LeftUpLeg_X=90)))
    np.testing.assert_allclose(joint(motion, "LeftLeg"), [[9, 90, -42]] * 2, atol=1e-9)


def test_position_channels_of_every_joint_replace_its_offset(person, write_bvh):
    source = person(2)
    source.positions = tuple(name for name, *_ in source.joints)
    motion = parse_bvh(write_bvh(source.turned(LeftLeg_x=[1, 2], LeftLeg_y=-40, Hips_y=80)))
    np.testing.assert_allclose(joint(motion, "LeftLeg"), [[10, 35, 0], [11, 35, 0]], atol=1e-9)
    np.testing.assert_allclose(joint(motion, "LeftFoot"), [[10, -7, 0], [11, -7, 0]], atol=1e-9)


def test_position_channels_replace_the_root_s_offset_too(person, write_bvh):
    source = person(1)
    source.joints[0] = ("Hips", None, (100, 200, 300))
    motion = parse_bvh(write_bvh(source.turned(Hips_x=1, Hips_y=2, Hips_z=3)))
    np.testing.assert_allclose(joint(motion, "Hips"), [[1, 2, 3]])
    still = parse_bvh(write_bvh(person(1, positions=(), joints=source.joints)))
    np.testing.assert_allclose(joint(still, "Hips"), [[100, 200, 300]])


def test_an_axis_without_position_channel_keeps_its_offset(person, write_bvh):
    text = person(1, positions=()).text().replace("CHANNELS 3 Z", "CHANNELS 4 Yposition Z", 1)
    lines = text.splitlines()
    lines[-1] = "7 " + lines[-1]
    motion = parse_bvh(write_bvh("\n".join(lines).replace("OFFSET 0.0 0.0 0.0", "OFFSET 3 9 4", 1)))
    np.testing.assert_allclose(joint(motion, "Hips"), [[3, 7, 4]])


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("\n", "\r\n"),
        lambda text: text.replace("\n", "\r"),
        lambda text: "\ufeff" + text,
        lambda text: text.replace("\n", "\n\n").replace(" ", "\t  "),
        lambda text: text.replace("ROOT", "root").replace("JOINT", "Joint").replace("OFFSET", "offset"),
        lambda text: text.replace("rotation", "ROTATION").replace("CHANNELS", "Channels").replace("MOTION", "motion"),
        lambda text: text.replace("Frames:", "FRAMES :").replace("Frame Time:", "frame time:"),
        lambda text: text.replace("Hips\n{", "Hips {").replace("HIERARCHY", "Hierarchy"),
        lambda text: text.rstrip("\n") + " \n \n",
    ],
)
def test_line_ends_spaces_and_capitals_do_not_matter(person, write_bvh, change):
    source = person(3).turned(LeftLeg_X=[0, 20, 40], Hips_z=[0, 1, 2])
    plain, other = parse_bvh(write_bvh(source)), parse_bvh(write_bvh(change(source.text())))
    assert plain.hierarchy.names == other.hierarchy.names
    assert np.array_equal(plain.posed().positions, other.posed().positions)
    assert other.notes == ()


def test_names_may_hold_spaces(person, write_bvh):
    text = person(1).text().replace("LeftUpLeg", "Bip01 L Thigh").replace("Hips", "Bip01 Pelvis")
    assert "Bip01 L Thigh" in parse_bvh(write_bvh(text)).hierarchy.names


def test_end_sites_are_tips_and_no_joints(person, write_bvh):
    hierarchy = parse_bvh(write_bvh(person(1, tip=(1.0, 2.0, 3.0)))).hierarchy
    assert len(hierarchy.names) == 21
    assert {hierarchy.names[number] for number in hierarchy.tips} == {
        "Head", "LeftHand", "RightHand", "LeftToeBase", "RightToeBase"
    }  # fmt: skip
    assert all(tip.tolist() == [1, 2, 3] for tip in hierarchy.tips.values())


@pytest.mark.parametrize("declared", [4, 6])
def test_a_count_that_is_wrong_by_one_is_told(person, write_bvh, declared):
    motion = parse_bvh(write_bvh(person(5, declared=declared)))
    assert len(motion.rotations) == 5
    assert motion.notes == (f"the header declares {declared} frames; all 5 in the file were read",)


@pytest.mark.parametrize("declared", [7, 10**9, 10**17])
def test_frames_that_are_missing_are_refused_before_memory_is_taken(person, write_bvh, declared):
    path = write_bvh(person(5, declared=declared))
    start = time.perf_counter()
    with pytest.raises(ClipError, match=rf"MOTION: expected {declared} frames, .* found 5 lines; get the whole file"):
        read_bvh(path)
    assert time.perf_counter() - start < 1


def test_frame_times_that_are_rounded_give_whole_rates(person, write_bvh):
    for frame_time, fps in ((".0083333", 120), ("0.008333", 120), ("0.010000", 100), ("0.0333333", 30), ("0.05", 20)):
        assert read_bvh(write_bvh(person(2, frame_time=frame_time))).fps == fps


def test_a_first_frame_that_the_joints_leap_from_is_dropped(person, write_bvh):
    moving = np.linspace(0, 10, 20)
    pose = np.concatenate(([0.0], 75 + moving))  # arms out, then hanging
    source = person(21, frame_time="0.01").turned(LeftArm_Z=-pose, RightArm_Z=pose, Hips_z=np.arange(21))
    clip = read_bvh(write_bvh(source))
    assert clip.frames == 20
    assert clip.notes[0].startswith("first frame left out: a calibration pose, from which joints leap 6,454 ")
    kept = read_bvh(write_bvh(person(20, frame_time="0.01").turned(LeftArm_Z=-75 - moving, RightArm_Z=75 + moving)))
    np.testing.assert_allclose(clip.features, kept.features, atol=1e-6)
    assert kept.frames == 20
    assert not any("left out" in note for note in kept.notes)


def test_a_motion_that_is_fast_throughout_keeps_its_first_frame(person, write_bvh):
    clip = read_bvh(write_bvh(person(12).turned(LeftArm_Z=[0, 80] * 6)))
    assert clip.frames == 12
    assert read_bvh(write_bvh(person(2).turned(LeftArm_Z=[0, 80]))).frames == 2


def shortened(text, line):
    lines = text.splitlines()
    lines[line] = lines[line].rsplit(" ", 1)[0]
    return "\n".join(lines)


HEADER = 129  # lines up to and with `Frame Time:`


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.replace("MOTION", "NOTHING"), r"clip\.bvh: expected a BVH file .* found no line MOTION"),
        (lambda t: "x" + t, r"clip\.bvh: line 1: expected HIERARCHY at the beginning"),
        (lambda t: t.replace("JOINT Spine", "JOIN Spine"), r"line 6: expected ROOT, JOINT, .* found 'JOIN'"),
        (lambda t: t.replace("OFFSET 0.0 12.0 0.0", "OFFSET 0.0 nan 0.0"), "line 8: .* found 'nan'"),
        (lambda t: t.replace("OFFSET 0.0 12.0 0.0", "OFFSET 0.0 12.0"), "line 8: .* found 'CHANN"),
        (lambda t: t.replace("CHANNELS 6", "CHANNELS 999999999"), "line 5: expected a number of channels from 0 to 6"),
        (lambda t: t.replace("CHANNELS 6", "CHANNELS -6"), "line 5: expected a number of channels from 0 to 6"),
        (lambda t: t.replace("Zrotation", "Wrotation", 1), "line 5: expected a channel .* found 'Wrotation'"),
        (lambda t: t.replace("Zrotation", "Xrotation", 1), "line 5: expected each channel of a joint once, found Xrot"),
        (lambda t: t.replace("}", "", 1), "expected a joint with as many closing as opening braces, found braces left"),
        (lambda t: t.replace("MOTION", "ROOT b {\n}\nMOTION"), "expected one ROOT, with all joints inside it"),
        (lambda t: t.replace("OFFSET 0.0 12.0 0.0", ""), "expected an OFFSET in every joint, found none in Spine"),
        (lambda t: t.replace("Frames: 3", "Frames: many"), "expected a number of frames, found 'many'"),
        (lambda t: t.replace("Frames: 3", "Frames: -3"), "expected a number of frames, found '-3'"),
        (lambda t: t.replace("0.0333333", "0"), "expected a frame time between 1e-5 and 100 seconds, found 0"),
        (lambda t: t.replace("0.0333333", "inf"), "expected numbers up to 1e.09, found 'inf'"),
        (lambda t: t.split("Frame Time")[0], "expected `Frames:` and `Frame Time:` after MOTION, found the end"),
        (lambda t: "\n".join(t.splitlines()[:HEADER]), "MOTION: expected 3 frames, .* found 0 lines"),
        (lambda t: shortened(t, -1), f"line {HEADER + 3}: expected 66 numbers, one for each channel, found 65"),
        (lambda t: shortened(t, -3), f"line {HEADER + 1}: expected 66 numbers, one for each channel, found 65"),
        (lambda t: t.rstrip() + " 1", f"line {HEADER + 3}: expected 66 numbers, one for each channel, found 67"),
        (lambda t: t.rstrip()[:-3] + "x", f"line {HEADER + 3}: expected numbers up to 1e.09, found 'x'"),
        (lambda t: t.rstrip()[:-3] + "nan", f"line {HEADER + 3}: expected numbers up to 1e.09, found 'nan'"),
        (lambda t: t.rstrip()[:-3] + "1e999", f"line {HEADER + 3}: expected numbers up to 1e.09, found '1e999'"),
        (lambda t: t.rstrip()[:-3] + "1e300", f"line {HEADER + 3}: expected numbers up to 1e.09, found '1e300'"),
        (lambda t: t.rstrip() + " " * 9999, f"line {HEADER + 3}: expected 66 .* found a line of 10"),
        (lambda t: t.replace("JOINT Spine", "JOINT " + "S" * 20_000), "line 6: expected lines of at most 10000 char"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_with_its_line(person, write_bvh, change, message):
    text = person(3).text()
    assert len(text.splitlines()) == HEADER + 3
    with pytest.raises(ClipError, match=message):
        read_bvh(write_bvh(change(text)))


def test_skeletons_beyond_reason_are_refused(write_bvh):
    deep = "HIERARCHY\nROOT a\n" + "{ OFFSET 0 0 0 JOINT b\n" * 5000 + "MOTION\n"
    with pytest.raises(ClipError, match="expected at most 1000 joints, at most 200 deep, found more"):
        read_bvh(write_bvh(deep))
    wide = "HIERARCHY\nROOT a {\n" + "JOINT b { OFFSET 0 0 0 }\n" * 5000 + "}\nMOTION\n"
    with pytest.raises(ClipError, match="expected at most 1000 joints"):
        read_bvh(write_bvh(wide))


def test_bytes_that_are_no_text_are_refused(write_bvh):
    with pytest.raises(ClipError, match="found no line MOTION"):
        read_bvh(write_bvh(bytes(range(256)) * 50))
    with pytest.raises(ClipError, match="line 1: expected HIERARCHY"):
        read_bvh(write_bvh(b"\xff\xfe\x00\nMOTION\n"))
    with pytest.raises(ClipError, match="found no line MOTION"):
        read_bvh(write_bvh(b""))


def oracle(path):
    pybvh = pytest.importorskip("pybvh", reason="pybvh 0.9 is the oracle of joint positions")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pybvh.read_bvh_file(path)


def assert_like_oracle(path):
    theirs, motion = oracle(path), parse_bvh(path)
    positions, posed = theirs.joint_positions(), motion.posed()
    size = np.ptp(positions[0], axis=0).max()
    for number, name in enumerate(theirs.joint_names):
        difference = np.abs(positions[:, number] - joint(motion, name, posed)).max()
        assert difference <= 1e-6 * size, f"{name}: {difference / size:g} of the skeleton's size"


@pytest.mark.parametrize("order", ["ZYX", "ZXY", "XYZ", "YXZ"])
def test_positions_agree_with_pybvh(person, write_bvh, order):
    rng = np.random.default_rng(1)
    source = person(20, order=order, tip=(0.0, 3.0, 1.0))
    turns = {f"{name}_{axis}": rng.uniform(-90, 90, 20) for name, *_ in source.joints for axis in "XYZ"}
    moves = {f"Hips_{axis}": rng.uniform(-90, 90, 20) for axis in "xyz"}
    assert_like_oracle(write_bvh(source.turned(**turns, **moves)))


@pytest.mark.parametrize("name", ["01_01", "01_03", "02_01", "05_06"])
def test_positions_of_real_files_agree_with_pybvh(shared, name):
    assert_like_oracle(shared(f"cmu_bvh/{name}.bvh"))


@pytest.mark.parametrize(("name", "frames"), [("01_01", 2752), ("01_03", 4511)])
def test_cgspeed_s_calibration_pose_is_dropped(shared, name, frames):
    clip = read_bvh(shared(f"cmu_bvh/{name}.bvh"))
    assert (clip.frames, clip.fps) == (frames - 1, 120)
    leap = {"01_01": "1,440", "01_03": "2,210"}[name]
    assert clip.notes[0] == f"first frame left out: a calibration pose, from which joints leap {leap} units a second"


def test_boxing_toes_is_read_though_its_header_miscounts(shared):
    clip = read_bvh(shared("cmu_bvh/Boxing_Toes.bvh"))
    assert (clip.frames, clip.fps) == (3070, 100)
    assert clip.notes[0] == "the header declares 3069 frames; all 3070 in the file were read"


def test_bandai_namco_s_joints_stay_connected(shared):
    for path in sorted(shared("bandai_namco").glob("*.bvh")):
        motion = parse_bvh(path)
        thigh = joint(motion, "LowerLeg_L") - joint(motion, "UpperLeg_L")
        shank = joint(motion, "Foot_L") - joint(motion, "LowerLeg_L")
        np.testing.assert_allclose(np.linalg.norm(thigh, axis=1), 39.08, atol=1.0)
        np.testing.assert_allclose(np.linalg.norm(shank, axis=1), 40.99, atol=1.0)
        lowest = np.minimum(joint(motion, "Toes_L")[:, 1], joint(motion, "Toes_R")[:, 1])
        assert -5 < np.median(lowest) < 10  # centimetres above the floor
        assert 110 < np.median(joint(motion, "Head")[:, 1]) < 170
