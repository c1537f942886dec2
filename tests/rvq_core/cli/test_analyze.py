import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from commands import assert_one_line, command

from rvq_core import Report
from rvq_core.report import MANIFEST
from rvq_core.stats.reconstruction import overall


class TestAnalyze:
    def test_it_writes_a_report_and_tells_the_figures(self, run_cli, make_checkpoint, write_clips, tmp_path):
        path, out = make_checkpoint(), tmp_path / "out"
        code, text, err = run_cli("analyze", path, write_clips(6), "--out", out, "--device", "cpu")
        assert (code, err) == (0, "")
        report = Report.load(out)
        assert f"report: {out}" in text
        assert f"{report.layers['perplexity'][0]:.1f}" in text
        assert report.manifest["command"].startswith(f"rvq-lens analyze {path}")

    def test_the_real_command_agrees_with_plain_numpy(self, make_checkpoint, write_clips, oracle, tmp_path):
        path, folder, out = make_checkpoint(), write_clips(3), tmp_path / "out"
        done = command("analyze", path, folder, "--out", out, "--device", "cpu")
        assert (done.returncode, done.stderr) == (0, "")
        plain = oracle(path)
        raws = [plain.features(npz) for npz in sorted(folder.glob("*.npz"))]
        results = [plain.quantize(plain.encode(plain.normalise(raw))) for raw in raws]
        tokens = np.concatenate([indices for indices, _ in results])
        layers = pd.read_parquet(out / "layers.parquet").set_index("layer")
        for q in range(3):
            p = np.bincount(tokens[:, q], minlength=16) / len(tokens)
            assert layers.loc[q + 1, "perplexity"] == pytest.approx(np.exp(-(p[p > 0] * np.log(p[p > 0])).sum()))
            assert layers.loc[q + 1, "unseen"] == (p == 0).sum()
        table = overall(pd.read_parquet(out / "reconstruction.parquet")).set_index(["metric", "n_active"])["value"]
        for n in range(4):
            errors = [
                plain.errors(raw, plain.decode(sums[n]), 30.0) for raw, (_, sums) in zip(raws, results, strict=True)
            ]
            for metric in errors[0]:
                mean = np.average([e[metric] for e in errors], weights=[len(raw) for raw in raws])
                assert table[metric, n] == pytest.approx(mean, rel=2e-4)

    def test_json_stands_alone_on_stdout(self, run_cli, make_checkpoint, write_clips, tmp_path):
        folder = write_clips(2)
        (folder / "broken.npz").write_bytes(b"nothing")
        out = tmp_path / "out"
        code, text, err = run_cli("analyze", make_checkpoint(), folder, "--out", out, "--device", "cpu", "--json")
        assert code == 0
        assert json.loads(text) == json.loads((out / MANIFEST).read_text())
        assert_one_line(err, "left out", "broken.npz")

    def test_a_place_that_cannot_be_written_is_told_before_anything_is_measured(
        self, run_cli, make_checkpoint, write_clips, tmp_path, monkeypatch
    ):
        measured = []
        monkeypatch.setattr("rvq_core.analysis.analyze", lambda *given, **_: measured.append(given))
        (tmp_path / "file").write_text("no folder")
        code, text, err = run_cli("analyze", make_checkpoint(), write_clips(2), "--out", tmp_path / "file/new/out")
        assert (code, text, measured) == (2, "", [])
        assert_one_line(err, "file/new/out", "a folder that can be written", "Not a directory")

    def test_json_needs_no_folder(self, run_cli, make_checkpoint, write_clips):
        code, text, err = run_cli("analyze", make_checkpoint(), write_clips(2), "--json", "--device", "cpu")
        assert (code, err) == (0, "")
        assert json.loads(text)["clips"]["count"] == 2

    def test_bad_clips_among_good_ones_are_left_out(self, run_cli, make_checkpoint, write_clips, write_clip, tmp_path):
        folder = write_clips(2)
        poses = np.zeros((9, 165))
        poses[3, 4] = np.nan
        write_clip("nan", poses=poses)
        write_clip("short", 1)
        np.save(folder / "other.npy", np.zeros((20, 263), dtype=np.float32))
        (folder / "broken.npz").write_bytes(b"PK\x03\x04 cut short")
        (folder / "notes.md").write_text("not motion, and no clip either")
        out = tmp_path / "out"
        code, _, err = run_cli("analyze", make_checkpoint(), folder, "--out", out, "--device", "cpu")
        assert code == 0
        lines = {Path(line.split(": ")[1].removeprefix("left out ")).name: line for line in err.splitlines()}
        assert set(lines) == {"nan.npz", "short.npz", "other.npy", "broken.npz"}
        assert all(line.startswith("rvq-lens: left out ") and line.count(str(folder)) == 1 for line in lines.values())
        assert "poses: expected finite values, found nan in frame 3, column 4" in lines["nan.npz"]
        assert "expected at least 2 frames" in lines["short.npz"]
        assert "expected D = 330" in lines["other.npy"]
        left_out = json.loads((out / MANIFEST).read_text())["left_out"]
        assert {Path(entry["clip"]).name for entry in left_out} == set(lines)
        assert all(entry["reason"] in err for entry in left_out)
        assert Report.load(out).clips["clip"].tolist() == ["c0", "c1"]

    @pytest.mark.parametrize("kind", ["nan", "short", "other", "broken", "empty", "absent"])
    def test_nothing_left_is_an_error(self, run_cli, make_checkpoint, write_clip, tmp_path, kind):
        folder = tmp_path / "clips"
        folder.mkdir()
        if kind == "nan":
            write_clip("bad", poses=np.full((9, 165), np.nan))
        elif kind == "short":
            write_clip("bad", 1)
        elif kind == "other":
            np.save(folder / "bad.npy", np.zeros((20, 263), dtype=np.float32))
        elif kind == "broken":
            (folder / "bad.npy").write_bytes(b"")
        elif kind == "absent":
            folder.rmdir()
        out = tmp_path / "out"
        code, text, err = run_cli("analyze", make_checkpoint(), folder, "--out", out, "--device", "cpu")
        assert (code, text) == (2, "")
        assert_one_line(err, str(folder) if kind in ("empty", "absent") else "bad.np")
        assert not out.exists()

    def test_two_clips_that_do_not_fit_are_an_error_too(self, run_cli, make_checkpoint, write_clip, tmp_path):
        folder = write_clip("a", 1).parent
        write_clip("b", 1)
        code, text, err = run_cli("analyze", make_checkpoint(), folder, "--out", tmp_path / "out", "--device", "cpu")
        assert (code, text) == (2, "")
        assert_one_line(err, "found 2 and none that fits", "a.npz")

    @pytest.mark.parametrize("content", [b"", b"text, nothing else", b"PK\x03\x04", b"\xff" * 64], ids=repr)
    def test_a_file_that_is_no_checkpoint(self, run_cli, write_clips, tmp_path, content):
        path = tmp_path / "model.safetensors"
        path.write_bytes(content)
        code, text, err = run_cli("analyze", path, write_clips(1), "--out", tmp_path / "out")
        assert (code, text) == (2, "")
        assert_one_line(err, "model.safetensors")

    def test_a_checkpoint_cut_short(self, run_cli, make_checkpoint, write_clips, tmp_path):
        path = make_checkpoint()
        path.write_bytes(path.read_bytes()[:-100])
        code, _, err = run_cli("analyze", path, write_clips(1), "--out", tmp_path / "out")
        assert code == 2
        assert_one_line(err, "tiny.safetensors")

    def test_a_folder_of_something_else_is_refused_before_any_work(self, run_cli, write_clips, tmp_path):
        folder = write_clips(1)
        before = sorted(folder.iterdir())
        code, _, err = run_cli("analyze", tmp_path / "not even there", folder, "--out", folder)
        assert code == 2
        assert_one_line(err, str(folder), "an empty folder or an earlier report")
        assert sorted(folder.iterdir()) == before

    @pytest.mark.parametrize(
        ("more", "parts"),
        [
            (["--error-clips", "0"], ["error_clips", "at least 1"]),
            (["--max-frames", "1"], ["max_frames", "at least 2"]),
            (["--max-frames", "many"], ["--max-frames", "many"]),
            (["--seed", "-1"], ["seed", "-1"]),
            (["--device", "toaster"], ["device", "toaster"]),
            (["--device", "meta"], ["device", "meta"]),
            (["--colour", "red"], ["--colour"]),
            (["--threshold", "max_unseen"], ["--threshold", "NAME=NUMBER"]),
            (["--threshold", "max_unseen=half"], ["--threshold", "max_unseen=half"]),
            (["--threshold", "max_unseen=-1"], ["--threshold: max_unseen", "a number >= 0"]),
            (["--threshold", "max_dead=0.1"], ["--threshold: max_dead"]),
            (["--config", "nowhere.toml"], ["nowhere.toml"]),
        ],
        ids=str,
    )
    def test_options_out_of_range(self, run_cli, make_checkpoint, write_clips, tmp_path, more, parts):
        code, text, err = run_cli("analyze", make_checkpoint(), write_clips(1), "--out", tmp_path / "out", *more)
        assert (code, text) == (2, "")
        assert_one_line(err, *parts)
        assert not (tmp_path / "out").exists()

    def test_out_is_needed(self, run_cli, make_checkpoint, write_clips):
        code, _, err = run_cli("analyze", make_checkpoint(), write_clips(1))
        assert code == 2
        assert_one_line(err, "--out")

    def test_a_clip_given_twice_counts_once(self, run_cli, make_checkpoint, write_clips, tmp_path):
        folder = write_clips(2)
        run_cli("analyze", make_checkpoint(), folder, folder / "c0.npz", folder, "--out", tmp_path / "out")
        assert Report.load(tmp_path / "out").clips["clip"].tolist() == ["c0", "c1"]

    def test_figures_that_do_not_exist_are_called_none(self, run_cli, make_checkpoint, write_clip, tmp_path):
        path = make_checkpoint(down_t=0)
        code, text, _ = run_cli("analyze", path, write_clip("a", 1), "--out", tmp_path / "out", "--device", "cpu")
        assert code == 0
        assert "velocity_error: none with all quantizers, none unquantised" in text
        assert "nan" not in text

    def test_the_worst_verdicts_are_told_with_what_to_try(self, run_cli, make_checkpoint, write_clips, tmp_path):
        arguments = ("analyze", make_checkpoint(), write_clips(6), "--out", tmp_path / "out", "--device", "cpu")
        code, text, _ = run_cli(*arguments, "--threshold", "max_top1_share=0", "--threshold", "low_perplexity_ratio=2")
        found = json.loads((tmp_path / "out" / MANIFEST).read_text())["verdicts"]
        worst = [verdict for verdict in found if verdict["severity"] != "note"]
        assert code == 0
        assert {"dominated_layer", "collapsed_layer"} <= {verdict["rule"] for verdict in worst}
        for verdict in worst[:5]:
            assert f"{verdict['severity']}: {verdict['finding']}\n  try: {verdict['advice']}\n" in text
        assert f"verdicts: {len(found) - len(worst[:5])} more in report.json" in text

    def test_thresholds_are_read_from_the_file_of_check(self, run_cli, make_checkpoint, write_clips, tmp_path):
        (tmp_path / "limits.toml").write_text("max_unseen = 0.3\n[verdicts]\nmax_top1_share = 0.1\nmany_unseen = 0.1\n")
        arguments = ("analyze", make_checkpoint(), write_clips(2), "--device", "cpu", "--json")
        _, text, _ = run_cli(*arguments, "--config", tmp_path / "limits.toml", "--threshold", "many_unseen=0.2")
        thresholds = json.loads(text)["settings"]["thresholds"]
        assert [thresholds[name] for name in ("max_unseen", "max_top1_share", "many_unseen")] == [0.3, 0.1, 0.2]

    def test_a_disk_that_is_full_is_told(self, run_cli, make_checkpoint, write_clips, tmp_path, monkeypatch):
        def fail(*args, **kwargs):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("rvq_core.report.np.savez_compressed", fail)
        code, _, err = run_cli("analyze", make_checkpoint(), write_clips(1), "--out", tmp_path / "out")
        assert code == 2
        assert_one_line(err, "No space left on device", str(tmp_path / "out"))
        assert not (tmp_path / "out").exists()

    def test_each_clip_is_told_with_what_was_done_to_it(self, run_cli, make_checkpoint, write_clip, tmp_path):
        write_clip("plain", 40)
        write_clip("fast", 41, fps=60.0)
        path = make_checkpoint(training={"train_clips": ["plain"], "held_out_clips": ["fast"]})
        _, text, _ = run_cli("analyze", path, tmp_path / "clips", "--out", tmp_path / "out", "--device", "cpu")
        lines = {line.split()[0]: line for line in text.splitlines() if " frames " in line and line.startswith("  ")}
        assert "held out" in lines["fast"] and "resampled from 60 to 30 fps (slerp)" in lines["fast"]
        assert "trained on" in lines["plain"] and lines["plain"].endswith("taken as it is")

    def test_a_path_that_is_not_there_is_unmistakable(self, run_cli, make_checkpoint, write_clips, tmp_path):
        gone, out = tmp_path / "gone", tmp_path / "out"
        code, text, err = run_cli("analyze", make_checkpoint(), write_clips(1), gone, "--out", out, "--device", "cpu")
        assert code == 0
        assert_one_line(err, "left out", str(gone), "nothing there")
        assert f"warning: not there, so in none of the figures: {gone}" in text
        assert any(str(gone) in line for line in json.loads((out / MANIFEST).read_text())["warnings"])

    def test_a_split_and_groups(self, run_cli, make_checkpoint, write_clips, tmp_path):
        folder, out = write_clips(6), tmp_path / "out"
        (tmp_path / "test.txt").write_text("c1\nc2\nc4\nc5\n")
        (tmp_path / "groups.csv").write_text("clip,group\nc1,calm\nc2,calm\nc5,angry\nc0,angry\n")
        options = ["--split", tmp_path / "test.txt", "--groups", tmp_path / "groups.csv", "--device", "cpu"]
        code, text, err = run_cli("analyze", make_checkpoint(), folder, "--out", out, *options)
        assert (code, err) == (0, "")
        report = Report.load(out)
        assert report.clips["group"].fillna("").tolist() == ["calm", "calm", "", "angry"]
        usage = report.tables["group_usage"]
        assert usage.groupby("group")["clips"].first().to_dict() == {"angry": 1, "calm": 2}
        rows = report.reconstruction.query("group == 'calm' and metric == 'mpjpe' and n_active == 3")
        calm = report.clips[report.clips["group"] == "calm"]
        assert rows["value"].item() == pytest.approx(np.average(calm["mpjpe"], weights=calm["frames"]))
        assert "group calm: 2 clips" in text
        assert "warning: clips without a group, in the overall figures only: 1 (c4)" in text
        assert "warning: names in groups.csv that no measured clip has: 1 (c0)" in text

    @pytest.mark.parametrize(("option", "name"), [("--split", "test.txt"), ("--groups", "groups.csv")])
    def test_a_list_that_is_not_there(self, run_cli, make_checkpoint, write_clips, tmp_path, option, name):
        code, _, err = run_cli("analyze", make_checkpoint(), write_clips(1), "--json", option, tmp_path / name)
        assert code == 2
        assert_one_line(err, name)
