import json
from unittest import mock

import numpy as np
import pytest
from commands import assert_one_line

from rvq_core import Report, load_checkpoint
from rvq_core.training.run import Run


class TestTrain:
    SMALL = ("--quiet", "--set", "width=16", "--set", "nb_code=8", "--set", "num_quantizers=2", "--set", "batch_size=2")
    SMALLER = ("--set", "code_dim=4", "--set", "window=16", "--iterations", "2")

    def test_it_writes_a_checkpoint_that_analyze_takes(self, run_cli, write_clips, tmp_path):
        folder, run = write_clips(3), tmp_path / "run"
        code, text, err = run_cli("train", folder, "--out", run, *self.SMALL, *self.SMALLER, "--held-out", "c1")
        assert (code, err) == (0, "")
        assert text == f"checkpoint: {run / 'checkpoint.safetensors'}\n"
        out = tmp_path / "out"
        assert run_cli("analyze", run / "checkpoint.safetensors", folder, "--out", out, "--device", "cpu")[0] == 0
        assert Report.load(out).clips["held_out"].tolist() == [False, True, False]

    def test_parts_of_the_body_are_trained_one_by_one_and_open_as_a_set(self, run_cli, write_clips, tmp_path):
        folder, runs = write_clips(2), tmp_path / "runs"
        runs.mkdir()
        for part in ("upper", "lower"):
            out = runs / part
            assert run_cli("train", folder, "--out", out, *self.SMALL, *self.SMALLER, "--part", part)[0] == 0
        code, text, _ = run_cli("analyze", runs, folder, "--json", "--device", "cpu", "--detail-frames", "0")
        assert (code, list(json.loads(text)["parts"])) == (0, ["upper", "lower"])

    def test_held_out_names_from_a_file(self, run_cli, write_clips, tmp_path):
        (tmp_path / "names.txt").write_text("c0\n\n  c2 \n")
        arguments = ("--out", tmp_path / "run", *self.SMALL, *self.SMALLER, "--held-out", tmp_path / "names.txt")
        assert run_cli("train", write_clips(3), *arguments)[0] == 0
        facts = json.loads(run_cli("inspect", tmp_path / "run" / "checkpoint.safetensors", "--json")[1])
        assert facts["training"]["held_out_clips"] == ["c0", "c2"]
        assert facts["training"]["train_clips"] == ["c1"]

    def test_stopped_it_tells_what_was_kept_and_the_same_command_goes_on(self, run_cli, write_clips, tmp_path):
        line = ("train", write_clips(3), "--out", tmp_path / "run", *self.SMALL, *self.SMALLER[:-1], "6")
        with mock.patch.object(Run, "step", side_effect=KeyboardInterrupt):
            code, text, err = run_cli(*line)
        checkpoint = tmp_path / "run" / "checkpoint.safetensors"
        assert (code, text) == (130, "")
        assert err == f"rvq-lens: kept what was reached: {checkpoint}; the same command goes on\nrvq-lens: stopped\n"
        assert load_checkpoint(checkpoint).training["iterations"] == 0
        assert run_cli(*line) == (0, f"checkpoint: {checkpoint}\n", "")
        assert load_checkpoint(checkpoint).training["iterations"] == 6

    def test_clips_that_are_left_out_are_told(self, run_cli, write_clips, tmp_path):
        folder = write_clips(2)
        (folder / "broken.npz").write_bytes(b"nothing")
        code, _, err = run_cli("train", folder, "--out", tmp_path / "run", *self.SMALL, *self.SMALLER)
        assert code == 0
        assert_one_line(err, "broken.npz", "left out")

    def test_clips_of_another_rate_are_told_with_what_to_set(self, run_cli, write_clip, tmp_path):
        for name, fps in (("a", 20.0), ("b", 20.0), ("c", 60.0)):
            folder = write_clip(name, 60, fps=fps).parent
        line = ("train", folder, *self.SMALL, *self.SMALLER)
        code, _, err = run_cli(*line, "--out", tmp_path / "run")
        assert code == 0
        assert err == (
            "rvq-lens: all clips are resampled from 20 fps and other rates to 30 fps; "
            "--set fps=20 trains at that rate\n"
        )
        code, _, err = run_cli(*line, "--out", tmp_path / "at_20", "--set", "fps=20")
        assert code == 0
        assert err.startswith("rvq-lens: 1 of 3 clips are resampled from 60 fps to 20 fps;")
        assert load_checkpoint(tmp_path / "at_20" / "checkpoint.safetensors").fps == 20

    def test_another_width_is_told_with_what_to_set(self, run_cli, tmp_path):
        (tmp_path / "clips").mkdir()
        features = np.random.default_rng(0).normal(size=(40, 263)).astype(np.float32)
        np.save(tmp_path / "clips" / "a.npy", features)
        line = ("train", tmp_path / "clips", "--out", tmp_path / "run", *self.SMALL, *self.SMALLER)
        code, _, err = run_cli(*line, "--set", "fps=20")
        assert code == 2
        assert_one_line(err, "input_dim", "expected 263, found 330", "add --set input_dim=263")
        assert run_cli(*line, "--set", "fps=20", "--set", "input_dim=263")[0] == 0

    @pytest.mark.parametrize(
        ("more", "parts"),
        [
            (["--held-out", "c9"], ["held_out", "c9"]),
            (["--held-out", ",".join(f"a_clip_of_a_long_name_{i}" for i in range(40))], ["held_out", "a_clip"]),
            (["--set", "nothing"], ["NAME=VALUE", "nothing"]),
            (["--set", "colour=3"], ["colour", "expected a setting: activation, batch_size, "]),
            (["--set", "nbcode=3"], ["expected a setting, such as nb_code", "found 'nbcode'", "--set nb_code=VALUE"]),
            (["--set", "Learning-Rate=3"], ["such as learning_rate", "found 'Learning-Rate'"]),
            (["--set", "batch_size=2.5"], ["batch_size", "2.5"]),
            (["--set", "yaw=False"], ["yaw", "true or false"]),
            (["--set", "window=7"], ["window", "multiple of the stride 2"]),
            (["--set", "held_out=c1"], ["held_out", "a list of names"]),
            (["--set", "input_dim=263"], ["input_dim", "263", "330"]),
            (["--iterations", "0"], ["iterations"]),
            (["--part", "face"], ["part", "upper, hands or lower", "face"]),
            (["--seed", "-3"], ["seed"]),
            (["--config", "nowhere.toml"], ["nowhere.toml"]),
        ],
        ids=str,
    )
    def test_settings_out_of_range(self, run_cli, write_clips, tmp_path, more, parts):
        arguments = [*self.SMALL, *self.SMALLER, *more]
        code, text, err = run_cli("train", write_clips(2), "--out", tmp_path / "run", *arguments)
        assert (code, text) == (2, "")
        assert_one_line(err, *parts)

    def test_a_binary_file_of_names_is_told(self, run_cli, write_clips, tmp_path):
        folder = write_clips(2)
        names = tmp_path / "names"
        names.write_bytes(b"\xff\xfe\x00\x80")
        code, _, err = run_cli("train", folder, "--out", tmp_path / "run", *self.SMALL, "--held-out", names)
        assert code == 2
        assert_one_line(err, "--held-out", str(names))

    def test_a_folder_of_something_else_is_refused(self, run_cli, write_clips):
        folder = write_clips(2)
        code, _, err = run_cli("train", folder, "--out", folder, *self.SMALL, *self.SMALLER)
        assert code == 2
        assert_one_line(err, str(folder), "an empty folder or an earlier run")
