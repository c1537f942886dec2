"""Analyses of some of the frames, and errors of some of the clips."""

import pandas as pd
import pytest

from rvq_core import analyze
from rvq_core.clips.clip import Clip
from rvq_core.errors import SettingsError
from rvq_core.report import Report


class TestMaxFrames:
    @pytest.fixture
    def clips(self, make_clip) -> list[Clip]:
        return [make_clip(f"c{i}", 20 + 4 * i, seed=i) for i in range(6)]

    @pytest.mark.parametrize("limit", [2, 3, 31, 64, 119])
    def test_never_more_frames_than_allowed(self, tiny, clips, limit):
        report = analyze(tiny, clips, device="cpu", max_frames=limit)
        assert report.clips["frames"].sum() == limit - limit % 2
        assert report.manifest["clips"]["frames"] == limit - limit % 2
        assert report.layers["tokens"].iloc[0] == limit // 2

    def test_the_subset_is_told(self, tiny, clips):
        report = analyze(tiny, clips, device="cpu", max_frames=50)
        assert report.manifest["settings"]["max_frames"] == 50
        count = len(report.clips)
        assert f"Only a random subset was measured: 50 of 180 frames, {count} of 6 clips." in report.manifest["notes"]
        cut = report.clips[report.clips["notes"].str.contains("by max_frames")]
        assert len(cut) == 1
        assert cut["notes"].iloc[0] == f"cut to {cut['frames'].iloc[0]} frames by max_frames"

    def test_the_seed_decides_the_subset_and_the_order_stays(self, tiny, clips):
        def names(seed):
            return analyze(tiny, clips, device="cpu", max_frames=50, seed=seed).clips["clip"].tolist()

        drawn = [tuple(names(seed)) for seed in range(8)]
        assert names(3) == list(drawn[3])
        assert len(set(drawn)) > 2
        assert all(list(one) == sorted(one) for one in drawn)

    def test_enough_room_changes_nothing(self, tiny, clips):
        free = analyze(tiny, clips, device="cpu")
        limited = analyze(tiny, clips, device="cpu", max_frames=180)
        pd.testing.assert_frame_equal(free.clips, limited.clips)
        assert not any("subset" in note for note in limited.manifest["notes"])

    @pytest.mark.parametrize("limit", [1, 0, -5])
    def test_less_than_a_token_is_refused(self, tiny, clips, limit):
        with pytest.raises(SettingsError, match=rf"max_frames: expected at least 2 \(one token\), found {limit}"):
            analyze(tiny, clips, device="cpu", max_frames=limit)


class TestErrorsOfSomeClips:
    @pytest.fixture
    def clips(self, make_clip):
        return [make_clip(f"c{i}", 20 + 4 * i, seed=i) for i in range(6)]

    def test_usage_is_of_all_clips_and_errors_are_those_of_the_drawn_ones(self, tiny, clips):
        every = analyze(tiny, clips, device="cpu")
        some = analyze(tiny, clips, device="cpu", error_clips=3, seed=5)
        names = sorted(set(some.clip_errors["clip"]))
        assert len(names) == 3
        pd.testing.assert_frame_equal(some.layers, every.layers)
        pd.testing.assert_frame_equal(some.codes, every.codes)
        measured = every.clip_errors[every.clip_errors["clip"].isin(names)].reset_index(drop=True)
        pd.testing.assert_frame_equal(some.clip_errors, measured)
        pd.testing.assert_frame_equal(some.overall, analyze(
            tiny, [clip for clip in clips if clip.name in names], device="cpu", seed=5).overall)  # fmt: skip
        assert some.clips["clip"].tolist() == every.clips["clip"].tolist()
        assert set(some.clips["clip"][some.clips["feature_mse"].notna()]) == set(names)

    def test_it_is_told(self, tiny, clips):
        report = analyze(tiny, clips, device="cpu", error_clips=3)
        frames = int(report.clips["frames"][report.clips["feature_mse"].notna()].sum())
        told = f"Errors: only a random subset was measured: {frames} of 180 frames, 3 of 6 clips."
        assert told in report.manifest["notes"]
        assert report.manifest["settings"]["error_clips"] == 3

    def test_the_seed_draws(self, tiny, clips):
        def drawn(seed):
            report = analyze(tiny, clips, device="cpu", error_clips=2, seed=seed, detail_frames=0)
            return tuple(sorted(set(report.clip_errors["clip"])))

        assert drawn(3) == drawn(3)
        assert len({drawn(seed) for seed in range(6)}) > 1

    def test_as_many_as_there_are_change_nothing(self, tiny, clips):
        free, limited = analyze(tiny, clips, device="cpu"), analyze(tiny, clips, device="cpu", error_clips=6)
        pd.testing.assert_frame_equal(free.clip_errors, limited.clip_errors)
        assert not any("subset" in note for note in limited.manifest["notes"])

    @pytest.mark.parametrize("limit", [0, -1])
    def test_none_is_refused(self, tiny, clips, limit):
        with pytest.raises(SettingsError, match=f"error_clips: expected at least 1 clip, found {limit}"):
            analyze(tiny, clips, device="cpu", error_clips=limit)

    def test_the_report_is_read_again(self, tiny, clips, tmp_path):
        report = analyze(tiny, clips, device="cpu", error_clips=3)
        report.save(tmp_path / "report")
        pd.testing.assert_frame_equal(Report.load(tmp_path / "report").clip_errors, report.clip_errors)
