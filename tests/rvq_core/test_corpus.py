"""Clips that are read from their files when they are needed: once for the survey, once more when they are measured."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from rvq_core.clips.clip import Clip
from rvq_core.clips.load import read_clips
from rvq_core.corpus import ClipFiles, HeldClips
from rvq_core.errors import ClipError
from rvq_core.ranks import Ranks
from rvq_core.shards import Shards


def as_it_is(clip: Clip) -> Clip:
    return clip


def refused(clip: Clip) -> Clip:
    raise ClipError(clip.name, expected="another", found="this", do="take another")


@pytest.fixture
def clip_files(tmp_path, write_clip):
    """A corpus of files that one process reads alone; ``given`` instead of the folder with all that was written."""

    def make(*given: Path) -> ClipFiles:
        ranks, shards = Ranks(), Shards(tmp_path / "shards")
        shards.begin(ranks)
        folder = tmp_path / "clips"
        files = sorted(folder.iterdir())
        return ClipFiles(given or (folder,), given or files, None, ranks, shards, "a checkpoint")

    return make


def test_they_are_those_that_are_read_at_once(clip_files, write_clip):
    paths = [write_clip(name, 20 + len(name), seed=len(name)) for name in ("a", "bb", "ccc")]
    corpus = clip_files()
    survey = corpus.survey(as_it_is)
    clips = read_clips([paths[0].parent]).clips
    assert [facts.name for facts in survey.facts] == [clip.name for clip in clips] == ["a", "bb", "ccc"]
    for read, clip in zip(corpus.fitted([2, 0]), (clips[2], clips[0]), strict=True):
        assert read.name == clip.name
        np.testing.assert_array_equal(read.features, clip.features)
    held = HeldClips(clips)
    assert held.survey(as_it_is).facts == survey.facts
    assert held.identity(1) == clips[1].fingerprint
    assert len({corpus.identity(number) for number in range(3)}) == 3


def test_what_the_survey_found_is_not_read_again(clip_files, write_clip, monkeypatch):
    write_clip("a")
    clip_files().survey(as_it_is)
    monkeypatch.setattr("rvq_core.corpus.read_file", lambda *_, **__: pytest.fail("read again"))
    assert [facts.name for facts in clip_files().survey(as_it_is).facts] == ["a"]


class TestWhatCannotBeUsed:
    def test_it_is_told_with_the_reason(self, clip_files, write_clip):
        folder = write_clip("good").parent
        (folder / "broken.npz").write_bytes(b"nothing")
        survey = clip_files().survey(as_it_is)
        assert [facts.name for facts in survey.facts] == ["good"]
        ((path, reason),) = survey.refused
        assert Path(path).name == "broken.npz"
        assert "broken.npz" in reason

    def test_a_single_file_that_cannot_be_read_tells_itself(self, clip_files, tmp_path):
        (tmp_path / "clips").mkdir()
        (tmp_path / "clips" / "broken.npz").write_bytes(b"nothing")
        with pytest.raises(ClipError, match=r"broken\.npz"):
            clip_files(tmp_path / "clips" / "broken.npz").survey(as_it_is)

    def test_nothing_can_be_read(self, clip_files, tmp_path):
        (tmp_path / "clips").mkdir()
        for name in ("one.npz", "two.npz"):
            (tmp_path / "clips" / name).write_bytes(b"nothing")
        with pytest.raises(ClipError, match=r"one\.npz"):
            clip_files().survey(as_it_is)

    def test_nothing_fits(self, clip_files, write_clip):
        write_clip("a")
        write_clip("b")
        with pytest.raises(ClipError, match="found 2 and none that fits; the first says: a: expected another"):
            clip_files().survey(refused)


class TestFilesThatChange:
    """Between the survey and the moment that they are measured."""

    def measured(self, corpus: ClipFiles, change) -> None:
        corpus.survey(as_it_is)
        change()
        with pytest.raises(ClipError, match="expected the motion that was there when the run began, found another"):
            list(corpus.fitted([0]))

    def test_other_frames(self, clip_files, write_clip):
        write_clip("a", 40)
        self.measured(clip_files(), lambda: write_clip("a", 30))

    def test_fewer_clips(self, clip_files, write_clip, monkeypatch):
        write_clip("a")
        self.measured(clip_files(), lambda: monkeypatch.setattr("rvq_core.corpus.read_file", lambda *_, **__: []))

    def test_while_it_is_surveyed(self, clip_files, write_clip):
        path = write_clip("a")

        def written_meanwhile(clip: Clip) -> Clip:
            os.utime(path, (1, 1))
            return clip

        with pytest.raises(ClipError, match="expected the motion that was there when the run began, found another"):
            clip_files().survey(written_meanwhile)

    def test_it_is_another_clip_then(self, clip_files, write_clip):
        path = write_clip("a")
        corpus = clip_files()
        corpus.survey(as_it_is)
        before = corpus.identity(0)
        path.touch()
        after_touch = corpus.identity(0)
        path.unlink()
        assert len({before, after_touch, corpus.identity(0)}) == 3


def test_a_list_by_hand_has_different_names(make_clip):
    clip = make_clip("twice")
    with pytest.raises(ClipError, match="clips: twice: expected clips of different names, found 2"):
        HeldClips([clip, replace(clip)]).survey(as_it_is)
    with pytest.raises(ClipError, match="expected at least one clip, found none"):
        HeldClips([]).survey(as_it_is)
    with pytest.raises(ClipError, match="twice: expected another, found this"):
        HeldClips([clip]).survey(refused)
