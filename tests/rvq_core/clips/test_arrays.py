import numpy as np
import pytest
import torch

from rvq_core.clips.npy import read_npy
from rvq_core.clips.npz import read_npz
from rvq_core.clips.pt import read_pt
from rvq_core.clips.representations import HUMANML3D
from rvq_core.errors import ClipError


def walk(frames: int, fps: float) -> np.ndarray:
    """Joints [T, 22, 3] of a stiff person who goes ahead at 1 m/s."""
    rng = np.random.default_rng(3)
    rest = rng.normal((0.0, 1.0, 0.0), 0.2, (22, 3))
    # Shoulders and hips must tell where it faces.
    rest[[1, 2, 16, 17]] = [[0.1, 0.9, 0], [-0.1, 0.9, 0], [0.2, 1.4, 0], [-0.2, 1.4, 0]]
    return rest + np.arange(frames)[:, None, None] / fps * [0.0, 0.0, 1.0]


class TestJoints:
    def test_joints_become_humanml3d_features_that_give_them_back(self, write_npy):
        joints = walk(50, 20)
        clip = read_npy(write_npy(joints))
        assert (clip.representation, clip.fps, clip.frames) == ("humanml3d", 20, 49)
        back = HUMANML3D.joints(torch.from_numpy(clip.features)).numpy()
        distances = np.linalg.norm(joints[:-1, :, None] - joints[:-1, None], axis=-1)
        np.testing.assert_allclose(np.linalg.norm(back[:, :, None] - back[:, None], axis=-1), distances, atol=1e-4)
        assert np.linalg.norm(back[-1, 0] - back[0, 0]) == pytest.approx(48 / 20, abs=1e-4)
        assert any("joints made into humanml3d features" in note for note in clip.notes)

    def test_joints_at_another_rate_are_resampled_first(self, write_npy):
        clip = read_npy(write_npy(walk(121, 120)), fps=120)
        assert (clip.fps, clip.frames) == (20, 20)  # one second, less the frame that velocities need
        np.testing.assert_allclose(np.hypot(clip.features[:, 1], clip.features[:, 2]), 1 / 20, atol=1e-5)
        assert "joints resampled from 120 to 20 fps (linear)" in clip.notes

    def test_the_published_joints_are_their_published_features(self, shared):
        ours = read_npy(shared("humanml3d/new_joints_012314.npy")).features
        theirs = np.load(shared("humanml3d/new_joint_vecs_012314.npy"))
        frames = len(ours) - 60  # after these smoothing sees the end of the clip
        known = np.r_[0:67, 193:263]
        np.testing.assert_allclose(ours[:frames, known], theirs[:frames, known], atol=2e-5)

    @pytest.mark.parametrize(
        ("shape", "more", "message"),
        [
            ((5, 24, 3), {}, r"expected joint positions \[T, 22, 3\].*found an array of shape \[5, 24, 3\]; give feat"),
            ((5, 22, 3), {"representation": "kit"}, r"found an array of shape \[5, 22, 3\] for kit"),
            ((1, 22, 3), {}, "expected at least 2 frames"),
        ],
    )
    def test_what_does_not_fit_is_named(self, write_npy, shape, more, message):
        with pytest.raises(ClipError, match=message):
            read_npy(write_npy(np.ones(shape)), **more)


class TestIndices:
    @pytest.mark.parametrize("dtype", [np.int64, np.int32, np.uint16, np.int8])
    def test_a_list_is_one_layer_and_a_table_has_a_column_for_each(self, write_npy, dtype):
        clip = read_npy(write_npy(np.array([3, 1, 2], dtype)))
        assert (clip.representation, clip.features.tolist()) == ("tokens", [[3], [1], [2]])
        assert read_npy(write_npy(np.ones((7, 6), dtype))).features.shape == (7, 6)

    def test_a_batch_is_one_clip_each(self, write_npy):
        clips = read_npy(write_npy(np.arange(24).reshape(2, 4, 3)))
        assert [clip.name for clip in clips] == ["clip[0]", "clip[1]"]
        assert clips[1].features[0].tolist() == [12, 13, 14]

    def test_every_index_is_exact(self, write_npy):
        assert read_npy(write_npy(np.array([65535, 65534]))).features.astype(int).ravel().tolist() == [65535, 65534]

    @pytest.mark.parametrize(
        ("array", "message"),
        [
            (np.array([3, -1]), r"expected indices of codes in 0\.\.65535, found -1; leave out padding"),
            (np.array([3, 70000]), "found 70000"),
            (np.zeros((0, 6), int), "expected at least one token"),
            (np.ones((9, 263), int), "expected floating-point motion features, found dtype int64"),
        ],
    )
    def test_what_does_not_fit_is_named(self, write_npy, array, message):
        with pytest.raises(ClipError, match=message):
            read_npy(write_npy(array))


class TestArchive:
    def test_one_array_is_taken_as_features_with_the_rate_beside_it(self, tmp_path):
        np.savez(tmp_path / "a.npz", anything=np.ones((9, 263)), fps=25)
        clip = read_npz(tmp_path / "a.npz")
        assert (clip.name, clip.representation, clip.fps, clip.frames) == ("a", "humanml3d", 25, 9)

    def test_a_known_name_counts_among_several(self, tmp_path):
        np.savez(tmp_path / "a.npz", other=np.ones((9, 2)), features=np.ones((9, 5)), trans=np.ones((9, 3)))
        assert read_npz(tmp_path / "a.npz", fps=10).features.shape == (9, 5)

    def test_several_without_one_are_refused(self, tmp_path):
        np.savez(tmp_path / "a.npz", one=np.ones((9, 2)), two=np.ones((9, 5)))
        with pytest.raises(ClipError, match=r"expected an array `poses`, or one array of features, found one, two"):
            read_npz(tmp_path / "a.npz")

    def test_a_bad_array_is_named(self, tmp_path):
        np.savez(tmp_path / "a.npz", motion=np.full((9, 2), np.nan))
        with pytest.raises(ClipError, match=r"a\.npz: motion: expected finite values"):
            read_npz(tmp_path / "a.npz")


class TestTensor:
    @pytest.fixture
    def save(self, tmp_path):
        def write(content, name="a.pt"):
            torch.save(content, tmp_path / name)
            return tmp_path / name

        return write

    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
    def test_a_tensor_alone(self, save, dtype):
        clip = read_pt(save(torch.full((9, 263), 0.5, dtype=dtype, requires_grad=True)))
        assert (clip.name, clip.representation, clip.features.dtype) == ("a", "humanml3d", np.float32)
        assert (clip.features == 0.5).all()

    def test_a_tensor_in_a_dictionary(self, save):
        assert read_pt(save({"x": torch.ones(9, 5), "caption": "walks"})).features.shape == (9, 5)
        several = save({"mask": torch.ones(9), "motion": torch.ones(9, 5)})
        assert read_pt(several).features.shape == (9, 5)

    def test_latents_and_indices(self, save):
        assert [clip.representation for clip in read_pt(save(torch.ones(2, 8, 5)))] == ["latents"] * 2
        assert read_pt(save({"indices": torch.ones(7, 6, dtype=torch.long)})).representation == "tokens"

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (
                {"a.weight": torch.ones(3, 3), "b.weight": torch.ones(3, 3)},
                "a dictionary with 2 tensors .*checkpoint is",
            ),
            ([1, 2], "found an object of type list"),
            (torch.full((4, 4), torch.nan), "expected finite values, found nan"),
        ],
    )
    def test_what_does_not_fit_is_named(self, save, content, message):
        with pytest.raises(ClipError, match=rf"a\.pt.*{message}"):
            read_pt(save(content))

    def test_nothing_in_the_file_runs(self, save):
        class Bomb:
            def __reduce__(self):
                return (pytest.fail, ("a pickle was opened",))

        with pytest.raises(ClipError, match="which could run code; save tensors alone"):
            read_pt(save({"motion": Bomb()}))

    def test_a_file_that_is_none_of_torch_s_is_refused(self, tmp_path):
        (tmp_path / "a.pt").write_bytes(b"nothing of torch's")
        with pytest.raises(ClipError, match=r"a\.pt: expected a tensor that torch\.save wrote, found a text"):
            read_pt(tmp_path / "a.pt")
