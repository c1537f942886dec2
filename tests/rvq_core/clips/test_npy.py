import numpy as np
import pytest

from rvq_core.clips.npy import read_npy
from rvq_core.errors import ClipError, SettingsError


@pytest.mark.parametrize(
    ("width", "name", "fps"), [(330, "smplx_rot6d", 30), (263, "humanml3d", 20), (251, "kit", 12.5), (17, "raw", 30)]
)
def test_the_width_tells_the_representation_and_its_usual_frame_rate(write_npy, width, name, fps):
    clip = read_npy(write_npy(np.ones((9, width))))
    assert (clip.representation, clip.fps, clip.features.shape) == (name, fps, (9, width))
    assert clip.features.dtype == np.float32
    assert (clip.skeleton is not None) == (name == "smplx_rot6d")
    assert clip.notes == (f"{fps:g} frames a second assumed: the file names no frame rate",)


def test_a_given_frame_rate_counts(write_npy):
    clip = read_npy(write_npy(np.ones((9, 263))), fps=60)
    assert (clip.fps, clip.notes) == (60, ())


def test_a_given_representation_counts(write_npy):
    assert read_npy(write_npy(np.ones((9, 263))), representation="raw").representation == "raw"
    with pytest.raises(ClipError, match=r"expected D = 330 \(smplx_rot6d\), found D = 263; .* or give humanml3d"):
        read_npy(write_npy(np.ones((9, 263))), representation="smplx_rot6d")
    with pytest.raises(SettingsError, match="found 'smpl'"):
        read_npy(write_npy(np.ones((9, 263))), representation="smpl")


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_any_float_becomes_float32(write_npy, dtype):
    assert read_npy(write_npy(np.ones((2, 5), dtype))).features.dtype == np.float32


def bad_value(value):
    array = np.zeros((4, 5))
    array[2:, 3] = value
    return array


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros(5), r"clip\.npy: expected frames by features \[T, D\], found an array of shape \[5\]"),
        (np.zeros((5, 23, 3)), r"found an array of shape \[5, 23, 3\]"),
        (np.zeros((5, 90), int), "expected floating-point motion features, found dtype int64"),
        (np.zeros((5, 4), bool), "found dtype bool"),
        (np.zeros((5, 4), complex), "found dtype complex128"),
        (np.zeros((0, 4)), "expected at least one frame"),
        (np.zeros((4, 0)), "expected at least one frame"),
        (bad_value(np.nan), r"expected finite values, found nan in frame 2, column 3 \(2 of 4 frames affected\)"),
        (bad_value(-np.inf), r"found -inf in frame 2"),
        (bad_value(1e300), r"found 1e\+300 in frame 2"),
    ],
)
def test_what_does_not_fit_is_named(write_npy, array, message):
    with pytest.raises(ClipError, match=message):
        read_npy(write_npy(array))


def test_a_pickle_is_never_opened(write_npy):
    class Bomb:
        def __reduce__(self):
            return (pytest.fail, ("a pickle was opened",))

    with pytest.raises(ClipError, match="found ValueError: Object arrays cannot be loaded"):
        read_npy(write_npy(np.array([[Bomb()]], dtype=object)))


@pytest.mark.parametrize("content", [b"", b"text", b"\x80\x04]", b"\x93NUMPY\x01\x00"])
def test_a_file_that_is_no_array_is_refused(tmp_path, content):
    (tmp_path / "bad.npy").write_bytes(content)
    with pytest.raises(ClipError, match=r"bad\.npy: expected an \.npy array of plain numbers"):
        read_npy(tmp_path / "bad.npy")


def test_an_archive_is_refused(tmp_path):
    with (tmp_path / "bad.npy").open("wb") as file:
        np.savez(file, a=np.zeros(3))
    with pytest.raises(ClipError, match=r"found an \.npz archive"):
        read_npy(tmp_path / "bad.npy")


@pytest.mark.parametrize("fps", [0, -1, float("nan"), float("inf")])
def test_an_impossible_frame_rate_is_refused(write_npy, fps):
    with pytest.raises(ClipError, match="fps: expected a frame rate above 0"):
        read_npy(write_npy(np.ones((9, 263))), fps=fps)
