"""What the player is sent: true to the millimetre, and small enough whatever the clip."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from dashboard.player import Beside, View, Window, not_beside, pack, payload, unpack, window
from dashboard.player.packing import MOST_BYTES
from rvq_core.clips import Clip
from rvq_core.clips.smplx import HANDS, JOINT_NAMES, PARENTS, canonical_skeleton
from rvq_core.playback import Figure, Playback

CODES = 1024


def moving(frames: int, quantizers: int = 6, joints: int = 55, stride: int = 2, seed: int = 0, drift: float = 0.0):
    """A playback of joints drawn at random about a root that walks."""
    rng = np.random.default_rng(seed)
    depths = (*range(quantizers + 1), -1)
    motions = rng.normal(size=(1 + len(depths), frames, joints, 3)) * 0.5
    path = np.stack([np.arange(frames) / 30, np.full(frames, 0.9), np.full(frames, 4.0)], axis=-1)
    motions[:, :, 0] = path
    motions[1:, :, 0, 0] += drift
    motions[:, :, 1:] += motions[:, :, :1]
    motions = motions.astype(np.float32)
    names, parents = JOINT_NAMES[:joints], PARENTS[:joints]
    features = np.zeros((frames, 3), np.float32)
    return Playback(
        clip=Clip("a <b>clip</b>", 30.0, features, "smplx_rot6d", notes=("resampled",)),
        stride=stride,
        tokens=rng.integers(CODES, size=(frames // stride, quantizers)),
        depths=depths,
        frame_errors=rng.random((len(depths), frames)) * 100,
        figure=Figure(names, parents, tuple(range(22)), motions[0], motions[1:], True, True),
    )


def shares(quantizers: int = 6) -> list[np.ndarray]:
    return [np.random.default_rng(q).dirichlet(np.ones(CODES)) for q in range(quantizers)]


def sent(playback: Playback, shown: Window | None = None):
    quantizers = playback.tokens.shape[1]
    return unpack(payload(playback, shown or window(playback), shares(quantizers), View(n="2"), "MPJPE"))


def test_packed_arrays_come_back_whatever_the_header_s_length():
    arrays = {
        "a": np.arange(7, dtype=np.int16) - 3,
        "b": np.array([[1.5, -2.25]], np.float32),
        "c": np.zeros((0, 4), np.uint16),
    }
    for name in ("", "x", "ünïcode", "x" * 13):
        header, found = unpack(pack({"name": name}, arrays))
        assert header["name"] == name
        for key, array in arrays.items():
            assert_array_equal(found[key], array)
            assert header["arrays"][key]["at"] % 8 == 0


def test_joints_are_true_to_half_a_millimetre():
    playback = moving(60, drift=0.4)
    _, arrays = sent(playback)
    assert playback.figure is not None
    joints = arrays["joints"] / 1000.0 + arrays["roots"][:, :, None]
    start = playback.figure.original[0, 0] * [1, 0, 1]
    assert_allclose(joints[0] + start, playback.figure.original, atol=0.0006)
    assert_allclose(joints[1:] + start, playback.figure.reconstructions, atol=0.0006)
    assert_allclose(arrays["roots"][0, 0], [0, 0.9, 0], atol=1e-6)


def test_tokens_shares_and_errors_are_the_clips():
    playback = moving(60)
    header, arrays = sent(playback)
    assert_array_equal(arrays["tokens"], playback.tokens)
    for q, share in enumerate(shares()):
        assert_allclose(arrays["shares"][:, q], share[playback.tokens[:, q]], rtol=1e-6)
    assert_allclose(arrays["frame_errors"], playback.frame_errors, rtol=1e-6)
    assert_allclose(header["errors"], playback.frame_errors.mean(axis=1))
    assert header["depths"] == [0, 1, 2, 3, 4, 5, 6, -1]
    assert header["view"]["n"] == "2"
    assert header["clip"]["notes"] == ["resampled"]


def test_marked_tokens_are_those_of_the_window():
    playback = moving(1800)
    marked = playback.tokens < CODES // 8
    later = window(playback, 15.0)
    _, arrays = unpack(payload(playback, later, shares(), View(), "MPJPE", marked=marked))
    assert_array_equal(arrays["marked"], marked[225 : 225 + later.frames // 2])
    assert "marked" not in sent(playback)[1]


def test_ten_seconds_of_55_joints_with_6_quantizers_are_sent_whole_in_a_megabyte():
    playback = moving(300)
    assert window(playback) == Window(0, 300)
    assert len(payload(playback, window(playback), shares(), View(), "MPJPE")) < 1_000_000


@pytest.mark.parametrize(("frames", "quantizers", "joints"), [(1800, 6, 55), (1200, 32, 55), (2400, 16, 22)])
def test_no_clip_is_larger_than_the_budget_and_no_window_much_smaller(frames, quantizers, joints):
    playback = moving(frames, quantizers, joints)
    shown = window(playback)
    assert shown.frames < frames and shown.frames % 2 == 0
    size = len(payload(playback, shown, shares(quantizers), View(), "MPJPE"))
    # The header's few kilobytes come on top.
    assert 0.95 * MOST_BYTES < size < MOST_BYTES + 10_000


def test_a_long_clip_is_sent_from_where_the_reader_wants():
    playback = moving(1800)
    length = window(playback).frames
    assert length > 20 * 30
    later = window(playback, 15.0)
    assert later == Window(450, length)
    assert window(playback, 1e6) == Window(1800 - length, length)
    assert window(playback, -5) == Window(0, length)
    header, arrays = sent(playback, later)
    assert (header["clip"]["start"], header["clip"]["frames"], header["clip"]["total"]) == (450, length, 1800)
    assert_array_equal(arrays["tokens"], playback.tokens[225 : 225 + length // 2])
    assert_allclose(arrays["frame_errors"], playback.frame_errors[:, 450 : 450 + length], rtol=1e-6)
    # The number told is that of the whole clip, not of the part.
    assert_allclose(header["errors"], playback.frame_errors.mean(axis=1))


def test_the_identity_changes_with_the_motion_and_not_with_the_view():
    first, again, other = moving(20), moving(20), moving(20, seed=1)
    contents = [
        payload(p, window(p), shares(), View(n=n), "MPJPE") for p, n in ((first, "1"), (again, "3"), (other, "1"))
    ]
    ids = [unpack(content)[0]["id"] for content in contents]
    assert ids[0] == ids[1] != ids[2]


def test_fingers_are_thin_and_eyes_and_jaw_are_not_drawn():
    figure = sent(moving(10))[0]["figure"]
    names = np.array(JOINT_NAMES)
    assert set(names[figure["thin"]]) == {n for n in JOINT_NAMES if n[-1] in "123" and "spine" not in n}
    assert set(names) - set(names[figure["drawn"]]) == {"jaw", "left_eye", "right_eye"}
    assert names[figure["head"]] == "head"


@pytest.mark.parametrize("turn", [0.0, 1.0, -2.5])
def test_the_camera_finds_the_front(turn):
    rest = canonical_skeleton().rest_positions  # it faces +z
    cos, sin = np.cos(turn), np.sin(turn)
    turned = rest @ np.array([[cos, 0, -sin], [0, 1, 0], [sin, 0, cos]])  # +z comes to (sin, 0, cos)
    playback = moving(2)
    assert playback.figure is not None
    playback.figure.original[:] = turned
    assert sent(playback)[0]["figure"]["facing"] == pytest.approx(turn, abs=1e-5)


def test_the_floor_is_under_the_feet_and_not_under_one_dip():
    playback = moving(100)
    assert playback.figure is not None
    playback.figure.original[..., 1] = 1.0
    playback.figure.original[:, 10, 1] = 0.02
    playback.figure.original[40:44, 20, 1] = -0.5
    assert sent(playback)[0]["figure"]["floor"] == pytest.approx(0.02)


def test_a_part_of_a_body_fills_the_picture():
    playback = moving(4)
    rest = canonical_skeleton().rest_positions[list(HANDS)].astype(np.float32)
    figure = Figure(tuple(JOINT_NAMES[j] for j in HANDS), (-1,) * 30, tuple(range(30)), np.tile(rest, (4, 1, 1)),
                    np.tile(rest, (8, 4, 1, 1)), False, False)  # fmt: skip
    hands = Playback(playback.clip, 2, playback.tokens, playback.depths, playback.frame_errors, figure)
    header, _ = sent(hands)
    told = header["figure"]
    assert told["thin"] == told["drawn"] == list(range(30))
    # From the first joint, a left finger, back to the middle between the hands.
    assert_allclose(rest[0, [0, 2]] + np.array(told["centre"])[[0, 2]], rest.mean(axis=0)[[0, 2]], atol=1e-5)
    assert told["floor"] + told["centre"][1] == pytest.approx(rest[:, 1].mean(), abs=1e-5)
    assert 2 * rest[:, 0].max() < told["tall"] < 3 * rest[:, 0].max()
    assert sent(playback)[0]["figure"]["tall"] == 2.35


def test_a_path_of_its_own_is_told():
    assert not sent(moving(10))[0]["figure"]["drifts"]
    assert sent(moving(10, drift=0.2))[0]["figure"]["drifts"]


def test_joints_out_of_all_bounds_stay_at_the_bound():
    playback = moving(10)
    assert playback.figure is not None
    playback.figure.reconstructions[3, 4, 7] += [1e6, -1e6, 0]
    joints = sent(playback)[1]["joints"]
    assert joints[4, 4, 7, :2].tolist() == [32767, -32767]


def test_without_joints_tokens_and_errors_are_sent():
    playback = moving(20)
    bare = Playback(playback.clip, 2, playback.tokens, playback.depths, playback.frame_errors, None)
    header, arrays = sent(bare)
    assert header["figure"] is None and set(arrays) == {"tokens", "shares", "frame_errors"}
    assert header["metric"]["unit"] == "1"


def test_latents_have_neither_errors_nor_figure():
    playback = moving(20, stride=1)
    latents = Playback(playback.clip, 1, playback.tokens, (), np.zeros((0, 20)), None)
    header, arrays = sent(latents)
    assert header["errors"] == [] and arrays["frame_errors"].shape == (0, 20)


def test_another_checkpoint_s_reconstruction_stands_last_about_the_same_start():
    one, other = moving(40), moving(44, quantizers=3, seed=1, drift=0.25)
    beside = Beside.of("base (baseline)", other, "mine")
    header, arrays = unpack(payload(one, Window(10, 20), shares(), View(), "MPJPE", beside))
    assert header["beside"] == {
        "detail": "all quantizers",
        "name": "base (baseline)", "error": pytest.approx(other.errors[3]), "other": "mine",
    }  # fmt: skip
    assert arrays["joints"].shape == (1 + 8 + 1, 20, 55, 3)
    figure = other.figure
    assert figure is not None
    full = figure.reconstructions[3, 10:30]  # 0..3 quantizers, then unquantised
    assert_allclose(arrays["joints"][-1] / 1000, full - full[:, :1], atol=6e-4)
    start = one.figure.original[10, 0] * [1, 0, 1]
    assert_allclose(arrays["roots"][-1], full[:, 0] - start, atol=1e-5)
    assert header["beside"] != sent(one)[0]["beside"] is None


def test_only_motion_of_the_same_joints_and_rate_stands_beside():
    one = moving(40)
    assert not_beside(one, moving(44, quantizers=2)) is None
    fewer = not_beside(one, moving(40, joints=22))
    slower = not_beside(one, replace(moving(40), clip=replace(one.clip, fps=20.0)))
    none = not_beside(replace(one, figure=None), one)
    assert [reason.split(",")[0] for reason in (fewer, slower, none) if reason] == [
        "The two checkpoints take motion on other joints (smplx_rot6d",
        "The two checkpoints take 30 and 20 frames a second.",
        "The features of this clip do not tell joint positions to both checkpoints",
    ]
