import gc
import tempfile
from dataclasses import replace

import numpy as np
import pytest

from rvq_core import analyze, load_checkpoint
from rvq_core.clips import shelf as module
from rvq_core.clips.shelf import FILE_BYTES, Shelf, release
from rvq_core.errors import ClipError


@pytest.fixture
def clips(make_clip):
    return [make_clip(f"clip {i}", frames=40 + i, seed=i) for i in range(5)]


def open_files():
    gc.collect()
    return len(module._mappings)


def test_clips_come_back_as_they_were(clips):
    with Shelf(in_memory=0) as shelf:
        placed = [shelf.place(clip) for clip in clips]
    for _ in range(2):
        for clip, found in zip(clips, placed, strict=True):
            np.testing.assert_array_equal(found.features, clip.features)
            np.testing.assert_array_equal(found.translation, clip.translation)
            assert (found.name, found.fingerprint) == (clip.name, clip.fingerprint)
        release()


def test_clips_share_files_and_these_go_with_the_last_clip(clips):
    before = open_files()
    with Shelf(in_memory=0) as shelf:
        placed = [shelf.place(clip) for clip in clips]
    assert open_files() == before + 1
    del shelf
    part = placed[-1].features[5:]
    del placed
    assert open_files() == before + 1
    np.testing.assert_array_equal(part, clips[-1].features[5:])
    del part
    assert open_files() == before


def test_what_lies_on_a_shelf_is_not_copied(clips):
    with Shelf(in_memory=0) as shelf:
        placed = shelf.place(clips[0])
    again = Shelf(in_memory=0).place(placed)
    assert again.features is placed.features


def test_the_first_stay_in_memory_and_views_are_cut_from_what_they_are_part_of(clips):
    before = open_files()
    whole = np.zeros((1000, 330), dtype=np.float32)
    shelf = Shelf(in_memory=clips[0].features.nbytes + 3 * 40 * 4)
    assert shelf.place(clips[0]).features is clips[0].features
    assert open_files() == before
    view = Shelf().place(replace(clips[0], features=whole[:40], translation=None)).features
    assert view.base is None


def test_more_than_a_file_takes(make_clip):
    frames = FILE_BYTES // (330 * 4)
    large = replace(make_clip(), features=np.arange((frames + 9) * 330, dtype=np.float32).reshape(-1, 330))
    with Shelf(in_memory=0) as shelf:
        placed = [shelf.place(large), shelf.place(make_clip("after", frames=7, seed=3))]
    np.testing.assert_array_equal(placed[0].features, large.features)
    np.testing.assert_array_equal(placed[1].features, make_clip("after", frames=7, seed=3).features)


def test_a_full_disk_is_one_line(clips, monkeypatch):
    class Full:
        def __getattr__(self, name):
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(tempfile, "TemporaryFile", lambda: Full())
    with pytest.raises(ClipError, match=r"room for .* No space left on device; set TMPDIR"):
        Shelf(in_memory=0).place(clips[0])


def test_a_report_does_not_depend_on_where_the_clips_lie(make_checkpoint, clips, monkeypatch, tmp_path):
    checkpoint = load_checkpoint(make_checkpoint())
    reports = []
    for in_memory in (1 << 30, 0):
        monkeypatch.setattr(Shelf.__init__, "__defaults__", (in_memory,))
        reports.append(analyze(checkpoint, clips, device="cpu"))
    for name in ("layers", "codes", "reconstruction", "clips", "clip_errors"):
        assert getattr(reports[0], name).equals(getattr(reports[1], name)), name
    assert reports[0].manifest["clips"] == reports[1].manifest["clips"]
