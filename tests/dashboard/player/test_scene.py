"""Scenes: figures beside and over each other, each place on its own floor and facing the reader."""

import numpy as np
from numpy.testing import assert_allclose, assert_array_equal

from dashboard.player import Actor, facing, scene, unpack
from rvq_core.clips.smplx import JOINT_NAMES, PARENTS, canonical_skeleton

FRAMES = 12


def walking(turned: float, start: tuple[float, float, float], seed: int = 0) -> np.ndarray:
    """The canonical skeleton at rest, walking along where it faces, from a point of a room."""
    rng = np.random.default_rng(seed)
    rest = np.zeros((55, 3))
    for joint in range(1, 55):
        rest[joint] = rest[PARENTS[joint]] + canonical_skeleton().offsets[joint]
    rest = rest + rng.normal(size=rest.shape) * 0.001
    cos, sin = np.cos(turned), np.sin(turned)
    rest = rest @ np.array([[cos, 0, -sin], [0, 1, 0], [sin, 0, cos]])
    path = np.arange(FRAMES)[:, None] * np.array([sin, 0, cos]) * 0.05
    return rest + path[:, None] + np.array(start)


def sent(places):
    return unpack(scene(places, JOINT_NAMES, PARENTS, 30.0, alt="two that walk"))


def test_each_place_begins_at_the_origin_on_the_floor_and_faces_the_reader():
    header, arrays = sent([[Actor("a", walking(0.0, (3, 1, 2)), "original")],
                           [Actor("b", walking(2.2, (-9, 7, 5)), "grey")]])  # fmt: skip
    joints = arrays["joints"] / 1000 + arrays["roots"][:, :, None]
    assert_allclose(joints[:, :, :, 1].min(axis=(1, 2)), 0, atol=2e-3)
    assert_allclose(arrays["roots"][:, 0, [0, 2]], 0, atol=1e-6)
    assert_allclose([facing(one[0], JOINT_NAMES) for one in joints], 0, atol=0.02)
    # Both walk towards the reader, so they go the same way.
    assert_allclose(arrays["roots"][0], arrays["roots"][1], atol=0.02)
    assert header["figure"]["floor"] == header["figure"]["facing"] == 0
    assert [[actor["label"] for actor in place] for place in header["scene"]["places"]] == [["a"], ["b"]]


def test_actors_of_one_place_stay_where_they_are_to_each_other():
    first, other = walking(1.0, (0, 0, 0)), walking(1.0, (0, 0.1, 0), seed=1)
    _, arrays = sent([[Actor("with", first, "grey"), Actor("without", other, "original")]])
    joints = arrays["joints"] / 1000 + arrays["roots"][:, :, None]
    assert_allclose(np.linalg.norm(joints[0] - joints[1], axis=-1), np.linalg.norm(first - other, axis=-1), atol=2e-3)


def test_marks_and_progress_are_sent_and_the_actors_numbered():
    on = np.arange(FRAMES) > 5
    places = [[Actor("a", walking(0, (0, 0, 0)), "grey"), Actor("b", walking(0, (0, 0, 0)), "original", on)]]
    share = np.linspace(0, 1, FRAMES)
    header, arrays = unpack(scene(places, JOINT_NAMES, PARENTS, 20.0, alt="x", progress=share))
    assert_array_equal(arrays["marked"], [0 * on, on])
    assert_allclose(arrays["progress"], share, rtol=1e-6)
    assert [actor["motion"] for actor in header["scene"]["places"][0]] == [0, 1]
    assert header["clip"]["fps"] == 20.0 and header["clip"]["total"] == FRAMES and header["depths"] == []


def test_a_scene_is_small_and_another_motion_is_another_scene():
    figures = [[[Actor("a", walking(0, (0, 0, 0), seed), "grey")]] for seed in (0, 0, 1)]
    one, same, moved = (scene(places, JOINT_NAMES, PARENTS, 30.0, alt="x") for places in figures)
    assert len(one) < 10_000
    assert unpack(one)[0]["id"] == unpack(same)[0]["id"] != unpack(moved)[0]["id"]
