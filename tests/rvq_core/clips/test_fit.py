import numpy as np
import pytest

from rvq_core.clips.clip import Clip
from rvq_core.clips.fit import fit_clip
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


def test_a_clip_shorter_than_one_token_is_refused():
    with pytest.raises(ClipError, match=r"step: expected at least 4 frames at 20 fps \(one token\), found 3 frames;"):
        fit_clip(clip(frames=3), dim=263, stride=4)
    with pytest.raises(ClipError, match="found 1 frame;"):
        fit_clip(clip(frames=2, fps=40.0), dim=263, fps=20, stride=2)
