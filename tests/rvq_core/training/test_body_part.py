import pytest
import torch

from rvq_core import analyze, load_checkpoint
from rvq_core.clips.fit import fit_clip
from rvq_core.errors import ClipError, SettingsError
from rvq_core.training import train
from rvq_core.training.batches import mirrored
from rvq_core.training.body_part import BODY_PARTS
from rvq_core.training.corpus import split_corpus


@pytest.fixture
def clips(make_clip):
    return [make_clip(name, frames, seed=i, hands=True) for i, (name, frames) in enumerate([("a", 50), ("b", 21)])]


@pytest.mark.parametrize(("part", "width"), [("upper", 78), ("hands", 180), ("lower", 54)])
def test_a_part_is_what_a_checkpoint_of_it_takes_of_the_clip(clips, part, width):
    taken = BODY_PARTS[part].of(torch.from_numpy(clips[0].features))
    fitted = fit_clip(clips[0], dim=width, representation=f"smplx_rot6d_{part}")
    assert torch.equal(taken, torch.from_numpy(fitted.features))


def test_clips_are_mirrored_as_a_whole_and_turned_where_the_pelvis_is(clips, small):
    whole = [torch.from_numpy(clip.features) for clip in clips]
    for part, yaw in (("upper", False), ("hands", False), ("lower", True)):
        corpus = split_corpus(clips, small(held_out_share=0.0).changed({"part": part}, "test"))
        taken = BODY_PARTS[part].of
        expected = [*map(taken, whole), *(taken(mirrored(clip)) for clip in whole)]
        assert len(corpus.train) == 4
        assert all(torch.equal(*pair) for pair in zip(corpus.train, expected, strict=True))
        assert (corpus.yaw, corpus.representation.name) == (yaw, f"smplx_rot6d_{part}")


def test_the_checkpoint_takes_its_part_of_whole_clips_by_itself(clips, small, tmp_path):
    settings = small(held_out=("b",)).changed({"part": "lower"}, "test")
    checkpoint = load_checkpoint(train(clips, tmp_path / "run", settings, quiet=True))
    assert (checkpoint.representation, checkpoint.config.input_dim) == ("smplx_rot6d_lower", 54)
    assert checkpoint.training["settings"]["part"] == "lower"
    assert checkpoint.training["history"][-1]["held_out_mpjpe"] > 0
    report = analyze(checkpoint, clips, device="cpu", detail_frames=0)
    assert report.clips["held_out"].tolist() == [False, True]
    assert report.clips["representation"].unique().tolist() == ["smplx_rot6d_lower"]


def test_motion_without_the_whole_body_s_rotations_is_refused(clips, small):
    import dataclasses

    part = dataclasses.replace(clips[0], features=clips[0].features[:, :78], representation="smplx_rot6d_upper")
    with pytest.raises(ClipError, match="D = 330"):
        split_corpus([part], small().changed({"part": "upper"}, "test"))


def test_settings_that_do_not_fit_are_refused(small):
    with pytest.raises(SettingsError, match=r"training: part: expected upper, hands or lower, found 'face'"):
        small().changed({"part": "face"}, "test")
    assert small().changed({"part": "hands"}, "test").model.input_dim == 180
    with pytest.raises(SettingsError, match="part"):
        small().changed({"part": ["upper"]}, "test")
