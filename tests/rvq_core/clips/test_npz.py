import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from rvq_core.clips.load import load_clips
from rvq_core.clips.npz import read_npz
from rvq_core.clips.representations import SMPLX_ROT6D
from rvq_core.clips.smplx import JOINT_NAMES
from rvq_core.errors import ClipError

REST = np.zeros((3, 165))


def joints(clip):
    rotations = SMPLX_ROT6D.rotations(torch.from_numpy(clip.features))
    return clip.skeleton.forward_kinematics(rotations, torch.from_numpy(clip.translation)).numpy()


def test_poses_become_two_rows_of_each_rotation(write_npz):
    path = write_npz("talk.npz")
    clip = read_npz(path)
    poses = np.load(path)["poses"].astype(np.float64)
    rows = Rotation.from_rotvec(poses.reshape(-1, 3)).as_matrix()[:, :2].reshape(12, 330)
    np.testing.assert_allclose(clip.features, rows, atol=1e-6)
    assert (clip.name, clip.fps, clip.representation, clip.notes) == ("talk", 30.0, "smplx_rot6d", ())
    assert clip.features.dtype == np.float32
    np.testing.assert_allclose(clip.translation, np.load(path)["trans"], atol=1e-6)


def test_smplh_joints_go_to_their_places_and_the_face_rests(write_npz):
    poses = np.zeros((3, 156))
    poses[:, 3 * 22] = 0.5  # SMPL-H's joint 22 is the first of the left index finger
    poses[:, 3 * 37] = 0.7  # and 37 the first of the right one
    clip = read_npz(write_npz(poses=poses, trans=np.zeros((3, 3))))
    turns = Rotation.from_matrix(SMPLX_ROT6D.rotations(torch.from_numpy(clip.features))[0].numpy()).magnitude()
    turned = {JOINT_NAMES[j]: round(float(turns[j]), 3) for j in np.flatnonzero(turns > 1e-3)}
    assert turned == {"pelvis": round(np.pi / 2, 3), "left_index1": 0.5, "right_index1": 0.7}
    assert clip.notes == ("SMPL-H poses: jaw and eyes at rest", "turned from z up to y up")


@pytest.mark.parametrize("more", [{}, {"surface_model_type": np.array("smplx")}, {"mocap_time_length": np.array(3.0)}])
def test_amass_is_turned_upright(write_npz, more):
    # Upright and facing -y in a world with z up, as SMPL in AMASS stands: the root turns by 90 degrees about x.
    width = 165 if more else 156
    poses = np.zeros((3, width))
    poses[:, 0] = np.pi / 2
    clip = read_npz(write_npz(poses=poses, trans=np.tile([0.3, 0.4, 0.95], (3, 1)), **more))
    body = joints(clip)[0]
    np.testing.assert_allclose(body[0], [0.3, 0.95, -0.4], atol=1e-6)
    assert body[JOINT_NAMES.index("head"), 1] > 1.4
    assert body[JOINT_NAMES.index("left_ankle"), 1] < 0.1
    assert body[JOINT_NAMES.index("left_hip"), 0] > body[JOINT_NAMES.index("right_hip"), 0]


def test_amass_frame_rate_and_byte_strings_are_read(write_npz):
    path = write_npz(
        poses=np.zeros((3, 156)),
        trans=np.zeros((3, 3)),
        mocap_frame_rate=None,
        mocap_framerate=np.array(120.00004577636719),
        gender=np.array(b"female"),
    )
    assert read_npz(path).fps == 120.00004577636719


def test_object_arrays_elsewhere_in_the_file_do_not_matter(write_npz):
    class Bomb:
        def __reduce__(self):
            return (pytest.fail, ("a pickle was opened",))

    assert read_npz(write_npz(poses=REST, trans=np.zeros((3, 3)), extra=np.array([Bomb()], dtype=object))).frames == 3


def test_object_arrays_where_poses_should_be_are_refused(write_npz):
    with pytest.raises(ClipError, match=r"clip\.npz: expected an \.npz archive of plain numbers, found ValueError"):
        read_npz(write_npz(poses=np.array([None, {}], dtype=object)))


def test_translation_may_be_missing(write_npz):
    assert read_npz(write_npz(trans=None)).translation is None


def nan_poses():
    poses = REST.copy()
    poses[1, 7] = np.nan
    return poses


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"poses": None}, r"clip\.npz: expected an array `poses`, or one array of features, found mocap_"),
        ({"poses": np.zeros((3, 72))}, r"npz: poses: expected frames by features \[T, 165 or 156\], .*shape \[3, 72\]"),
        ({"poses": np.zeros(165)}, r"poses: expected .* found an array of shape \[165\]"),
        ({"poses": np.zeros((3, 165), int)}, r"poses: expected floating-point .* found dtype int64"),
        ({"poses": np.zeros((0, 165))}, r"poses: expected at least one frame"),
        (
            {"poses": nan_poses(), "trans": None},
            r"poses: expected finite values, found nan in frame 1, column 7 \(1 of 3",
        ),
        ({"poses": REST, "trans": np.zeros((2, 3))}, r"trans: expected 3 frames as in `poses`, found 2 frames"),
        ({"poses": REST, "trans": np.full((3, 3), np.inf)}, r"trans: expected finite values, found inf in frame 0"),
        ({"mocap_frame_rate": None}, r"expected a frame rate in mocap_frame_rate or mocap_framerate, found neither"),
        ({"mocap_frame_rate": np.array(0)}, r"of 0.5 to 100,000, found 0"),
        ({"mocap_frame_rate": np.array(np.nan)}, r"of 0.5 to 100,000, found nan"),
        ({"mocap_frame_rate": np.array([30, 30])}, r"mocap_frame_rate: expected one number, found int64 x 2"),
        ({"mocap_frame_rate": np.array("30")}, r"mocap_frame_rate: expected one number"),
    ],
)
def test_what_does_not_fit_is_named(write_npz, arrays, message):
    with pytest.raises(ClipError, match=message):
        read_npz(write_npz(**arrays))


def test_a_frame_rate_given_counts_where_the_file_has_none(write_npz):
    assert read_npz(write_npz(mocap_frame_rate=None), fps=25).fps == 25
    assert read_npz(write_npz(), fps=25).fps == 30


@pytest.mark.parametrize(
    ("named", "told"), [(0, "0"), (-3.0, "-3"), (np.nan, "nan"), (np.inf, "inf"), ([30, 30], "int64 x 2")]
)
def test_a_frame_rate_given_counts_before_one_that_cannot_be(write_npz, named, told):
    path = write_npz(mocap_frame_rate=np.array(named))
    clip = read_npz(path, fps=25)
    assert (clip.fps, clip.notes) == (25, (f"25 frames a second as given: mocap_frame_rate of the file is {told}",))
    with pytest.raises(ClipError, match=r"^fps: expected a frame rate above 0, .* found -1; give another$"):
        read_npz(path, fps=-1)
    features = write_npz(poses=None, trans=None, mocap_frame_rate=None, features=np.ones((9, 263)), fps=np.array(named))
    clip = read_npz(features, fps=25)
    assert (clip.fps, clip.notes) == (25, (f"25 frames a second as given: fps of the file is {told}",))
    latents = write_npz(poses=None, trans=None, mocap_frame_rate=None, data=np.ones((2, 8, 5)), fps=np.array(named))
    assert [(each.fps, each.notes[0][:20]) for each in read_npz(latents, fps=25)] == 2 * [(25, "25 frames a second a")]


def test_what_to_do_without_a_frame_rate_can_be_done(write_npz):
    path = write_npz(mocap_frame_rate=None)
    with pytest.raises(
        ClipError, match=r"found neither; .*under this name, or .* Python: load_clips\(\.\.\., fps=30\)$"
    ):
        load_clips(path)
    assert load_clips(path, fps=30)[0].fps == 30
    path = write_npz(mocap_frame_rate=np.array(0))
    with pytest.raises(ClipError, match=r"correct this entry of the file, or .* Python: load_clips\(\.\.\., fps=30\)$"):
        load_clips(path)
    assert load_clips(path, fps=30)[0].fps == 30


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 broken", b"text", b"\x80\x04]"])
def test_a_file_that_is_no_archive_is_refused(tmp_path, content):
    path = tmp_path / "bad.npz"
    path.write_bytes(content)
    with pytest.raises(ClipError, match=r"bad\.npz: expected an \.npz archive of plain numbers"):
        read_npz(path)


def test_an_array_alone_is_refused(tmp_path):
    with (tmp_path / "bad.npz").open("wb") as file:
        np.save(file, np.zeros(3))
    with pytest.raises(ClipError, match="found a single array"):
        read_npz(tmp_path / "bad.npz")


def test_a_truncated_archive_is_refused(write_npz):
    path = write_npz()
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(ClipError, match="BadZipFile"):
        read_npz(path)


def test_a_damaged_array_is_refused(write_npz):
    path = write_npz()
    content = bytearray(path.read_bytes())
    content[2000] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(ClipError, match="BadZipFile"):
        read_npz(path)


def test_real_beat2_stands_on_the_floor_and_has_the_field_s_row_order(shared):
    clip = read_npz(shared("beat2/2_scott_0_1_1.npz"))
    assert (clip.frames, clip.fps, clip.features.shape[1]) == (1906, 30.0, 330)
    body = joints(clip)[:, :22]
    assert abs(np.median(body[..., 1].min(axis=1))) < 0.05
    assert (body[:, JOINT_NAMES.index("head"), 1] > 1.3).all()
    # Row against column order is a transpose: SynTalker's published mean of BEAT2 tells which one is the field's.
    mean = np.load(shared("beat2/syntalker_beatx_2_330_mean.npy")).reshape(55, 6)
    matrices = Rotation.from_rotvec(np.load(shared("beat2/2_scott_0_1_1.npz"))["poses"].reshape(-1, 3)).as_matrix()
    columns = np.swapaxes(matrices, 1, 2)[:, :2].reshape(-1, 55, 6).mean(axis=0)
    rows = clip.features.reshape(-1, 55, 6).mean(axis=0)
    assert np.abs(rows - mean).sum() < np.abs(columns - mean).sum() / 2


def test_real_amass_stands_upright(shared):
    clip = read_npz(shared("amass/dmpl_sample.npz"))
    assert (clip.frames, clip.fps) == (235, 120.00004577636719)
    body = joints(clip)[:, :22]
    assert abs(np.median(body[..., 1].min(axis=1))) < 0.1
    assert (body[:, JOINT_NAMES.index("head"), 1] > 1.3).all()


def test_a_damaged_compressed_array_is_refused(tmp_path):
    path = tmp_path / "bad.npz"
    np.savez_compressed(path, poses=np.random.default_rng(0).normal(size=(20, 165)), mocap_frame_rate=30)
    content = bytearray(path.read_bytes())
    content[100:110] = b"\xff" * 10
    path.write_bytes(content)
    with pytest.raises(ClipError, match=r"expected an \.npz archive of plain numbers"):
        read_npz(path)
