from dataclasses import replace

import numpy as np
import pytest

from rvq_core.clips.clip import Clip
from rvq_core.clips.fit import fit_clip
from rvq_core.clips.representations import get_representation
from rvq_core.clips.skeleton import Skeleton
from rvq_core.clips.smplx import canonical_skeleton
from rvq_core.errors import ClipError


def clip(frames=10, dim=263, fps=20.0, representation="humanml3d", translation=None) -> Clip:
    return Clip("step", fps, np.zeros((frames, dim), np.float32), representation, translation=translation)


def test_a_clip_that_fits_is_returned_itself():
    whole = clip(frames=8)
    assert fit_clip(whole, dim=263, fps=20, stride=4, representation="humanml3d") is whole


def test_the_rest_of_a_token_is_cut_off():
    fitted = fit_clip(clip(translation=np.zeros((10, 3), np.float32)), dim=263, stride=4)
    assert fitted.frames == 8
    assert fitted.translation is not None
    assert len(fitted.translation) == 8
    assert fitted.notes == ("cut from 10 to 8 frames, a multiple of the stride 4",)


def test_the_frame_rate_becomes_the_checkpoint_s():
    fitted = fit_clip(clip(frames=41, fps=40), dim=263, fps=20, stride=2)
    assert (fitted.frames, fitted.fps) == (20, 20)
    assert len(fitted.notes) == 2


def test_an_unknown_frame_rate_changes_nothing():
    assert fit_clip(clip(), dim=263, stride=2).fps == 20


def test_another_width_is_refused():
    with pytest.raises(
        ClipError, match=r"step: expected D = 330 features a frame \(smplx_rot6d\), found D = 263 \(humanml3d\)"
    ):
        fit_clip(clip(), dim=330, representation="smplx_rot6d")
    with pytest.raises(ClipError, match="expected D = 330 features a frame, found"):
        fit_clip(clip(), dim=330)


def test_another_representation_of_the_same_width_is_refused_but_raw_is_not():
    with pytest.raises(ClipError, match="expected features in the representation other, found humanml3d"):
        fit_clip(clip(), dim=263, representation="other")
    assert fit_clip(clip(representation="raw"), dim=263, representation="humanml3d").frames == 10
    assert fit_clip(clip(), dim=263, representation="raw").frames == 10


def poses(frames=43, fps=30.0) -> Clip:
    features = np.tile(np.array([1, 0, 0, 0, 1, 0], np.float32), (frames, 55))
    path = np.zeros((frames, 3), np.float32)
    return Clip("step", fps, features, "smplx_rot6d", canonical_skeleton(), path)


@pytest.mark.parametrize(("dim", "name"), [(263, "humanml3d"), (251, "kit")])
@pytest.mark.parametrize("told", ["name", None, "raw"])
def test_poses_become_the_features_that_a_checkpoint_takes(dim, name, told):
    fps = get_representation(name).fps
    fitted = fit_clip(poses(), dim=dim, fps=fps, stride=3, representation=name if told == "name" else told)
    assert (fitted.representation, fitted.fps, fitted.features.shape[1]) == (name, fps, dim)
    assert fitted.frames % 3 == 0
    assert [note.split()[0] for note in fitted.notes] == ["resampled", "SMPL-X", "cut"]


def test_without_a_frame_rate_features_come_at_their_usual_one():
    assert fit_clip(poses(), dim=263, stride=4).fps == 20
    assert fit_clip(poses(fps=25.0), dim=78, stride=4).fps == 25


@pytest.mark.parametrize(("dim", "name"), [(78, "upper"), (180, "hands"), (54, "lower")])
@pytest.mark.parametrize("told", [True, False])
def test_a_checkpoint_of_a_part_takes_it_of_the_whole(dim, name, told):
    representation = f"smplx_rot6d_{name}"
    fitted = fit_clip(poses(), dim=dim, fps=15, stride=4, representation=representation if told else None)
    assert fitted.representation == representation
    assert (fitted.frames, fitted.fps) == (20, 15)
    assert [note.split()[0] for note in fitted.notes] == ["resampled", "took", "cut"]


@pytest.mark.parametrize("dim", [57, 61, 315, 433, 100, 106])
def test_widths_that_hold_more_than_rotations_are_refused_by_name(dim):
    with pytest.raises(ClipError, match=rf"D = {dim} .* as \.npy: {dim} columns are .*, which poses alone do not hold"):
        fit_clip(poses(), dim=dim)
    features = Clip("own", 30.0, np.zeros((8, dim), np.float32), "raw")
    assert fit_clip(features, dim=dim, stride=4) is features


def test_features_of_positions_make_no_rotations():
    for dim in (330, 78):
        with pytest.raises(ClipError, match=r"found D = 263 \(humanml3d\); .*tell no twist of a limb"):
            fit_clip(clip(), dim=dim)


def test_a_part_makes_no_whole():
    part = fit_clip(poses(), dim=78)
    with pytest.raises(ClipError, match=r"expected D = 330 .*, found D = 78 .*give motion of the whole body"):
        fit_clip(part, dim=330)
    assert fit_clip(part, dim=78, representation="smplx_rot6d_upper") is part


def test_columns_of_unknown_meaning_are_never_converted():
    unknown = Clip("step", 30.0, np.zeros((8, 330), np.float32), "raw")
    with pytest.raises(ClipError, match=r"found D = 330 \(raw\)"):
        fit_clip(unknown, dim=263)


def test_rotations_without_a_skeleton_are_plain_features():
    own = Clip("dog", 30.0, np.zeros((8, 30), np.float32), "joint_rot6d")
    fitted = fit_clip(own, dim=30, stride=4)
    assert (fitted.representation, len(fitted.notes)) == ("raw", 1)
    skeleton = Skeleton(("a", "b", "c", "d", "e"), (-1, 0, 1, 2, 3), np.ones((5, 3)))
    assert fit_clip(replace(own, skeleton=skeleton), dim=30, stride=4).representation == "joint_rot6d"


def test_a_clip_shorter_than_one_token_is_refused():
    with pytest.raises(ClipError, match=r"step: expected at least 4 frames at 20 fps \(one token\), found 3 frames;"):
        fit_clip(clip(frames=3), dim=263, stride=4)
    with pytest.raises(ClipError, match="found 1 frame;"):
        fit_clip(clip(frames=2, fps=40.0), dim=263, fps=20, stride=2)
