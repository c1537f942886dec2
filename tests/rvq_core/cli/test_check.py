import json

import numpy as np
import pytest
import torch
from commands import assert_one_line, command

from rvq_core.bundled import bundled_checkpoints, bundled_clips


@torch.no_grad()
def kill_layer_2(model) -> None:
    """All codes of the second layer but one lie where no latent comes."""
    model.quantizer.ema_layers()[1].codebook[1:] = 1e4


class TestCheck:
    def test_one_that_passes(self, run_cli, make_checkpoint, write_clips):
        code, text, err = run_cli("check", make_checkpoint(), write_clips(), "--device", "cpu", "--max-unseen", "0.9")
        assert (code, err) == (0, "")
        assert text.startswith("tiny: 6 of 6 checks passed\n")

    def test_one_that_fails_names_the_layer(self, run_cli, make_checkpoint, write_clips):
        path = make_checkpoint(change=kill_layer_2)
        code, text, err = run_cli("check", path, write_clips(), "--device", "cpu")
        assert (code, err) == (1, "")
        assert "failed: max_unseen in layer 2: 0.9375, at most 0.5" in text
        assert "failed: min_perplexity_ratio in layer 2: " in text

    def test_json_stands_alone(self, run_cli, make_checkpoint, write_clips):
        path = make_checkpoint(change=kill_layer_2)
        code, text, err = run_cli("check", path, write_clips(), "--device", "cpu", "--json")
        assert (code, err) == (1, "")
        told = json.loads(text)
        assert not told["passed"]
        assert {entry["layer"] for entry in told["failed"]} == {2}

    def test_flags_go_before_the_file(self, run_cli, make_checkpoint, write_clips, tmp_path):
        (tmp_path / "limits.toml").write_text("max_unseen = 1.0\nmin_perplexity_ratio = 0\nmax_mpjpe = 0.001\n")
        arguments = ("check", make_checkpoint(), write_clips(), "--config", tmp_path / "limits.toml", "--device", "cpu")
        code, text, _ = run_cli(*arguments)
        assert code == 1
        assert "failed: max_mpjpe: " in text
        assert run_cli(*arguments, "--max-mpjpe", "1e6")[0] == 0

    @pytest.mark.parametrize(
        ("more", "parts"),
        [
            (["--max-unseen", "-1"], ["max_unseen", "-1"]),
            (["--max-unseen", "half"], ["--max-unseen", "half"]),
            (["--max-unseen", "nan"], ["max_unseen", "nan"]),
            (["--fail-on", "always"], ["fail_on", "never or severe or warning"]),
            (["--config", "nowhere.toml"], ["nowhere.toml"]),
            (["--max-held-out-ratio", "2"], ["max_held_out_ratio", "held out"]),
        ],
        ids=str,
    )
    def test_limits_that_do_not_fit(self, run_cli, make_checkpoint, write_clips, more, parts):
        code, text, err = run_cli("check", make_checkpoint(), write_clips(1), "--device", "cpu", *more)
        assert (code, text) == (2, "")
        assert_one_line(err, *parts)

    def test_what_is_left_out_is_told(self, run_cli, make_checkpoint, write_clips):
        folder = write_clips(3)
        np.save(folder / "other.npy", np.zeros((20, 263), dtype=np.float32))
        code, _, err = run_cli("check", make_checkpoint(), folder, "--device", "cpu", "--max-unseen", "1")
        assert code == 0
        assert err.count("\n") == 1
        assert "left out" in err

    @pytest.mark.parametrize(("name", "expected"), [("healthy", 0), ("collapsed", 1)])
    def test_the_bundled_checkpoints(self, name, expected):
        path = bundled_checkpoints() / f"{name}.safetensors"
        done = command("check", path, bundled_clips(), "--device", "cpu")
        assert done.returncode == expected, done.stdout + done.stderr
        assert ("in layer" in done.stdout) == bool(expected)
