import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from rvq_core.clips.amc import find_asf, parse_amc, read_amc
from rvq_core.clips.bvh import read_bvh
from rvq_core.errors import ClipError


def at(motion, name):
    return motion.posed().positions[:, motion.hierarchy.numbers[name]]


FEMUR = np.array([0.34202, -0.93969, 0]) / np.linalg.norm([0.34202, -0.93969, 0])


def test_bones_stand_end_to_end_in_the_rest_pose(write_amc):
    motion = parse_amc(write_amc())
    hip = np.array([0, 92, 0]) + np.array([9, -5, 0]) / np.linalg.norm([9, -5, 0]) * 10.3
    np.testing.assert_allclose(at(motion, "lhipjoint")[0], [0, 92, 0], atol=1e-9)
    np.testing.assert_allclose(at(motion, "lfemur")[0], hip, atol=1e-9)
    np.testing.assert_allclose(at(motion, "ltibia")[0], hip + 42 * FEMUR, atol=1e-9)
    assert np.allclose(at(motion, "rtibia")[0], at(motion, "ltibia")[0] * [-1, 1, 1])
    tips = {motion.hierarchy.names[joint]: tip.round(3).tolist() for joint, tip in motion.hierarchy.tips.items()}
    assert tips["rhand"] == [-10, 0, 0]


def test_a_bone_turns_about_its_own_axes(write_amc):
    # The tibia's x axis is the world's, tilted by 20 degrees about z: the shin bends back in the leg's own plane.
    motion = parse_amc(write_amc([{"ltibia": [90]}]))
    np.testing.assert_allclose((at(motion, "lfoot") - at(motion, "ltibia"))[0], [0, 0, -42], atol=1e-3)
    axes = Rotation.from_euler("xyz", [180, -30, -90], degrees=True)  # small letters: about axes that stay
    angles = np.array([20.0, -40, 70])
    motion = parse_amc(write_amc([{"lhumerus": angles}]))
    turn = axes * Rotation.from_euler("xyz", angles, degrees=True) * axes.inv()
    np.testing.assert_allclose((at(motion, "lradius") - at(motion, "lhumerus"))[0], turn.apply([28, 0, 0]), atol=1e-9)


def test_the_order_of_axes_and_channels_counts(write_amc, make_asf, asf_bones):
    parent, direction, length, *_ = asf_bones["lhumerus"]
    bones = {**asf_bones, "lhumerus": (parent, direction, length, (10, 20, 30), "rz rx")}
    asf = make_asf(bones).replace("axis 10 20 30 XYZ", "axis 10 20 30 ZXY")
    motion = parse_amc(write_amc([{"lhumerus": [25, 65]}], asf=asf, bones=bones))
    axes = Rotation.from_euler("zxy", [30, 10, 20], degrees=True)
    turn = axes * Rotation.from_euler("zx", [25, 65], degrees=True) * axes.inv()
    np.testing.assert_allclose((at(motion, "lradius") - at(motion, "lhumerus"))[0], turn.apply([28, 0, 0]), atol=1e-9)


def test_the_root_s_values_stand_in_its_own_order(write_amc, make_asf):
    values = {"TX": 1, "TY": 2, "TZ": 3, "RX": 30, "RY": 40, "RZ": 50}
    turn = Rotation.from_euler("xyz", [30, 40, 50], degrees=True)
    for order in ("TX TY TZ RX RY RZ", "RX RY RZ TZ TY TX"):
        path = write_amc([{"root": [values[word] for word in order.split()]}], asf=make_asf(order=order))
        motion = parse_amc(path)
        np.testing.assert_allclose(at(motion, "root"), [[1, 2, 3]])
        np.testing.assert_allclose(at(motion, "thorax")[0], np.array([1, 2, 3]) + turn.apply((0, 12, 0)), atol=1e-9)
    motion = parse_amc(write_amc([{"root": [1, 2, 3, 50, 40, 30]}], asf=make_asf(order="TX TY TZ RZ RY RX")))
    turn = Rotation.from_euler("zyx", [50, 40, 30], degrees=True)
    np.testing.assert_allclose(at(motion, "thorax")[0], np.array([1, 2, 3]) + turn.apply((0, 12, 0)), atol=1e-9)


def test_radians_are_known_in_either_file(write_amc, make_asf):
    degrees = parse_amc(write_amc([{"lhumerus": [10, 20, 30]}]))
    values = {"lhumerus": np.radians([10, 20, 30])}
    for header, angle in ((":RADIANS\n", "deg"), (":FULLY-SPECIFIED\n", "rad"), (":RADIANS\n", "rad")):
        other = parse_amc(write_amc([values], asf=make_asf(angle=angle), header=header))
        np.testing.assert_allclose(other.rotations, degrees.rotations, atol=1e-9)
    mixed = parse_amc(write_amc([{"lhumerus": [10, 20, 30]}], asf=make_asf(angle="rad")))
    np.testing.assert_allclose(mixed.rotations, degrees.rotations, atol=1e-9)


def test_the_unit_of_length_does_not_matter(write_amc, make_asf, body):
    frames = [{"root": [0, 92, z, 0, 0, 0], "ltibia": [z]} for z in (0, 20)]
    plain = read_amc(write_amc(frames))
    other = read_amc(write_amc(frames, asf=make_asf().replace("length 0.45", "length 1.0")))
    assert np.array_equal(plain.features, other.features)
    assert np.array_equal(plain.translation, other.translation)


def test_bones_that_the_motion_leaves_out_rest_and_are_told(write_amc, make_amc):
    text = "\n".join(line for line in make_amc([{}, {}]).splitlines() if not line.startswith("lhand"))
    motion = parse_amc(write_amc(text))
    assert motion.notes[-1] == "bones of the skeleton without motion in the file: lhand"


def test_a_frame_rate_is_assumed_unless_given(write_amc):
    clip = read_amc(write_amc())
    assert (clip.fps, clip.notes[0]) == (120, "120 frames a second assumed: the file names no frame rate")
    clip = read_amc(write_amc(), fps=60)
    assert clip.fps == 60
    assert not any("assumed" in note for note in clip.notes)


@pytest.mark.parametrize(
    ("motion", "skeletons", "expected"),
    [
        ("01_02.amc", ("01.asf", "01_02.asf"), "01_02.asf"),
        ("01_02.amc", ("01.asf", "02.asf"), "01.asf"),
        ("01_02.AMC", ("01.ASF", "02.asf"), "01.ASF"),
        ("a_b_3.amc", ("a.asf", "a_b.asf"), "a_b.asf"),
        ("walk.amc", ("person.asf",), "person.asf"),
    ],
)
def test_the_skeleton_is_found_by_its_name(tmp_path, motion, skeletons, expected):
    for name in skeletons:
        (tmp_path / name).touch()
    assert find_asf(tmp_path / motion).name == expected


def test_a_missing_skeleton_is_said(tmp_path, write_amc):
    path = write_amc(name="01_02.amc")
    (tmp_path / "a.asf").rename(tmp_path / "a.txt")
    with pytest.raises(ClipError, match=r"01_02\.amc: expected its skeleton .*: 01_02\.asf or 01\.asf, found no \.asf"):
        read_amc(path)
    for name in ("x.asf", "y.asf"):
        (tmp_path / name).touch()
    with pytest.raises(ClipError, match=r"found 2 other \.asf files"):
        read_amc(path)


def lines_with(text, change):
    lines = text.splitlines()
    change(lines)
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda _: "", r"a\.amc: expected an AMC file: a frame's number, .* found no frame"),
        (lambda t: "root 1 2 3\n" + t, r"a\.amc: line 1: expected an AMC file"),
        (lambda t: t.replace("lowerback 0", "nobone 0", 1), "line 6: expected a bone of the skeleton, found 'nobone'"),
        (
            lambda t: t.replace("lowerback 0 0 0", "lowerback 0 0", 1),
            "line 6: expected 3 values for lowerback, found 2",
        ),
        (
            lambda t: t.replace("lowerback", "thorax", 1),
            "line 7: expected the number of the next frame, found 'thorax'",
        ),
        (lambda t: t.replace("\n2\n", "\n"), "line 25: expected the number of the next frame, found 'root' again"),
        (lambda t: t.replace("head 0 0 0", "head 0 x 0", 1), "line 8: expected numbers up to 1e.09, found 'x'"),
        (lambda t: t[::-1].replace("0 0 0 daeh", "0 fni 0 daeh", 1)[::-1], "line 29: expected numbers .* found 'inf'"),
        (
            lambda t: lines_with(t, lambda lines: lines.pop(27)),
            "line 28: expected 'thorax' with 3 .* found 'head' with",
        ),
        (
            lambda t: lines_with(t, lambda lines: lines.pop()),
            "expected 20 bones .* found the end .* after 19",
        ),
        (lambda t: t.rstrip()[:-2], "expected 'rhand' with 2 values, as in the first frame, found 'rhand' with 1"),
        (lambda t: t + "lhand 1 2\n", "expected the number of the next frame, found 'lhand'"),
        (lambda t: t + "x" * 20_000, "expected lines of at most 10000 characters, found 20000"),
    ],
)
def test_what_is_wrong_in_a_motion_is_named_with_its_line(write_amc, make_amc, change, message):
    with pytest.raises(ClipError, match=message):
        read_amc(write_amc(change(make_amc([{}, {}]))))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda _: "", r"a\.asf: expected an ASF file with :bonedata and :hierarchy, found no section"),
        (lambda t: t.replace(":bonedata", ":bones"), "found :version, :name, :units, :root, :bones, :hierarchy"),
        (lambda t: t.replace("length 12", "length x"), "line 18: expected numbers up to 1e.09, found 'x'"),
        (lambda t: t.replace("direction 0 1 0", "direction 0 1", 1), "line 17: expected three numbers, found 2"),
        (lambda t: t.replace("dof rx", "dof rq", 1), "line 20: expected each of .* at most once, found 'rq ry rz'"),
        (
            lambda t: t.replace("0 0 0 XYZ", "0 0 0 XXZ", 1),
            "line 19: expected an order of axes .* found 'XXZ'",
        ),
        (lambda t: t.replace("begin", "start", 1), "line 14: expected `begin` of a bone, found 'start'"),
        (
            lambda t: t.replace("root lowerback", "root nobone"),
            "that :bonedata describes, found 'nobone'",
        ),
        (lambda t: t.replace("thorax head", "thorax"), "expected each bone to hang on the root .* found 'head'"),
        (lambda t: t.replace("thorax head", "thorax lowerback"), "one parent for each bone, found another for 'lowerb"),
        (lambda t: t.replace("thorax head", "thorax root head"), "one parent for each bone, found another for 'root'"),
        (lambda t: t.replace(":name", ":name " + "x" * 20_000), "line 3: expected lines of at most 10000 characters"),
        (lambda t: t.replace(":bonedata", ":bonedata\n" + "begin\nend\n" * 2000), "expected at most 1000 bones"),
    ],
)
def test_what_is_wrong_in_a_skeleton_is_named_with_its_line(write_amc, make_asf, change, message):
    path = write_amc(asf="placeholder")
    path.with_suffix(".asf").write_text(change(make_asf()))
    with pytest.raises(ClipError, match=message):
        read_amc(path)


def test_line_ends_and_capitals_do_not_matter(write_amc, make_amc, make_asf):
    plain = parse_amc(write_amc())
    other = parse_amc(
        write_amc(make_amc([{}, {}]).replace("\n", "\r\n"), asf=make_asf().replace("\n", "\r\n").replace("dof", "DOF"))
    )
    assert np.array_equal(plain.rotations, other.rotations)


def test_a_real_walk_walks(shared, body):
    clip = read_amc(shared("cmu_amc/02_01.amc"))
    frames = body(clip)
    pelvis = np.array([frame["pelvis"] for frame in frames])
    path = pelvis[-1] - pelvis[0]
    assert np.linalg.norm(path[[0, 2]]) > 2.5
    for frame in frames:
        left = frame["left_hip"] - frame["right_hip"]
        facing = np.cross(left, [0, 1, 0]) / np.linalg.norm(left)
        assert facing @ path > 0.9 * np.linalg.norm(path)
        assert frame["head"][1] > 1.4
        assert min(frame["left_foot"][1], frame["right_foot"][1]) < 0.1
        for side in ("left", "right"):
            # The ankle lies behind the line from hip to knee: knees bend backwards.
            thigh = frame[f"{side}_knee"] - frame[f"{side}_hip"]
            shank = frame[f"{side}_ankle"] - frame[f"{side}_knee"]
            assert np.cross(thigh, shank) @ left > 0
            assert (frame[f"{side}_foot"] - frame[f"{side}_ankle"]) @ facing > -0.03  # toes down when pushing off
    arms = [(f["left_wrist"] - f["right_wrist"]) @ path for f in frames]
    legs = [(f["left_ankle"] - f["right_ankle"]) @ path for f in frames]
    assert np.corrcoef(arms, legs)[0, 1] < -0.8


# The files of 01 hold the same motion, up to rounding; those of 02_01 stem from two solves of it, on
# skeletons of different lengths and with feet that turn differently. Millimetres: mean and largest.
@pytest.mark.parametrize(
    ("name", "mean", "largest"), [("01_01", 0.001, 0.01), ("01_03", 0.001, 0.01), ("02_01", 30, 80)]
)
def test_both_formats_of_a_take_agree(shared, body, name, mean, largest):
    clips = read_amc(shared(f"cmu_amc/{name}.amc")), read_bvh(shared(f"cmu_bvh/{name}.bvh"))
    one, other = (
        np.array([[frame[joint] - frame["pelvis"] for joint in list(frame)[:22]] for frame in body(clip)])
        for clip in clips
    )
    frames = min(len(one), len(other))
    apart = 1000 * np.linalg.norm(one[:frames] - other[:frames], axis=-1)
    assert apart.mean() < mean
    assert apart.max() < largest


def test_real_files_stand_on_the_floor(shared, body):
    for path in (path for path in sorted(shared("cmu_amc").glob("*.amc")) if path.stat().st_size < 1e6):
        clip = read_amc(path)
        frames = body(clip)[:: max(1, clip.frames // 50)]
        lowest = [min(position[1] for position in frame.values()) for frame in frames]
        assert min(lowest) > -0.15, path.name
        assert min(lowest) < 0.1, path.name
