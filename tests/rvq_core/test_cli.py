import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from rvq_core import Report, __version__, cli
from rvq_core.report import MANIFEST

ROOT = Path(__file__).resolve().parents[2]


def command(*arguments: object, **options) -> subprocess.CompletedProcess[str]:
    """The real command, in a process of its own."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    line = [sys.executable, "-m", "rvq_core", *map(str, arguments)]
    return subprocess.run(line, capture_output=True, text=True, env=environment, check=False, timeout=120, **options)


def assert_one_line(err: str, *parts: str) -> None:
    """One line that names what it must, with what was expected and found."""
    assert err.count("\n") == 1, err
    assert err.startswith("rvq-lens: ")
    assert "Traceback" not in err
    assert "a fault of rvq-lens" not in err
    assert "expected" in err
    assert "found" in err
    for part in parts:
        assert part in err, err


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
        table = pd.read_parquet(out / "reconstruction.parquet").set_index(["metric", "n_active"])["value"]
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
            (["--max-frames", "1"], ["max_frames", "at least 2"]),
            (["--max-frames", "many"], ["--max-frames", "many"]),
            (["--seed", "-1"], ["seed", "-1"]),
            (["--device", "toaster"], ["device", "toaster"]),
            (["--device", "meta"], ["device", "meta"]),
            (["--colour", "red"], ["--colour"]),
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

    def test_a_disk_that_is_full_is_told(self, run_cli, make_checkpoint, write_clips, tmp_path, monkeypatch):
        def fail(*args, **kwargs):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("rvq_core.report.np.savez_compressed", fail)
        code, _, err = run_cli("analyze", make_checkpoint(), write_clips(1), "--out", tmp_path / "out")
        assert code == 2
        assert_one_line(err, "No space left on device", str(tmp_path / "out"))
        assert not (tmp_path / "out").exists()


class TestInspect:
    def test_json_stands_alone(self, run_cli, make_checkpoint):
        path = make_checkpoint()
        code, text, err = run_cli("inspect", path, "--json")
        assert (code, err) == (0, "")
        facts = json.loads(text)
        wanted = (
            "format sha256 num_quantizers nb_code code_dim input_dim stride shared_codebook ema_counts config notes"
        )
        assert set(wanted.split()) <= set(facts)

    def test_text_for_people(self, run_cli, make_checkpoint):
        code, text, _ = run_cli("inspect", make_checkpoint())
        assert code == 0
        assert "3 x 16 codes x 8 dimensions" in text

    def test_what_is_no_checkpoint(self, run_cli, tmp_path):
        code, text, err = run_cli("inspect", tmp_path)
        assert (code, text) == (2, "")
        assert_one_line(err, str(tmp_path), "a folder")


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

    def test_held_out_names_from_a_file(self, run_cli, write_clips, tmp_path):
        (tmp_path / "names.txt").write_text("c0\n\n  c2 \n")
        arguments = ("--out", tmp_path / "run", *self.SMALL, *self.SMALLER, "--held-out", tmp_path / "names.txt")
        assert run_cli("train", write_clips(3), *arguments)[0] == 0
        facts = json.loads(run_cli("inspect", tmp_path / "run" / "checkpoint.safetensors", "--json")[1])
        assert facts["training"]["held_out_clips"] == ["c0", "c2"]
        assert facts["training"]["train_clips"] == ["c1"]

    @pytest.mark.parametrize(
        ("more", "parts"),
        [
            (["--held-out", "c9"], ["held_out", "c9"]),
            (["--held-out", ",".join(f"a_clip_of_a_long_name_{i}" for i in range(40))], ["held_out", "a_clip"]),
            (["--set", "nothing"], ["NAME=VALUE", "nothing"]),
            (["--set", "colour=3"], ["colour"]),
            (["--set", "batch_size=2.5"], ["batch_size", "2.5"]),
            (["--set", "yaw=False"], ["yaw", "true or false"]),
            (["--set", "window=7"], ["window", "multiple of the stride 2"]),
            (["--set", "held_out=c1"], ["held_out", "a list of names"]),
            (["--set", "input_dim=263"], ["input_dim", "263", "330"]),
            (["--iterations", "0"], ["iterations"]),
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


class TestTheCommandItself:
    def test_help_answers_without_the_heavy_imports(self):
        code = (
            "import sys; from rvq_core.cli import main\n"
            "try: main(sys.argv[1:])\n"
            "except SystemExit as e: assert not e.code, e.code\n"
            "heavy = {'torch', 'streamlit', 'pandas', 'numpy', 'scipy', 'plotly'} & set(sys.modules)\n"
            "assert not heavy, heavy"
        )
        for arguments in (["--help"], ["analyze", "--help"], ["train", "--help"], ["--version"]):
            done = subprocess.run(
                [sys.executable, "-c", code, *arguments],
                capture_output=True, text=True, cwd=ROOT, check=False, timeout=60,
            )  # fmt: skip
            assert done.returncode == 0, done.stderr
            assert done.stdout.startswith(("usage: rvq-lens", f"rvq-lens {__version__}"))

    def test_help_names_every_command(self):
        done = command("--help")
        assert done.returncode == 0
        for name in ("dash", "inspect", "analyze", "train"):
            assert name in done.stdout

    @pytest.mark.parametrize("arguments", [["juggle"], ["--nonsense"], ["inspect"], ["analyze"]], ids=str)
    def test_arguments_that_do_not_fit_are_one_line(self, run_cli, arguments):
        code, text, err = run_cli(*arguments)
        assert (code, text) == (2, "")
        assert_one_line(err, "--help")

    def test_bad_input_exits_with_2_in_the_real_command(self, tmp_path):
        done = command("inspect", tmp_path / "nothing.safetensors")
        assert (done.returncode, done.stdout) == (2, "")
        assert_one_line(done.stderr, "nothing.safetensors", "check the path")

    def test_dash_wants_folders(self, run_cli, tmp_path):
        code, _, err = run_cli("dash", "--clips", tmp_path / "nowhere")
        assert code == 2
        assert_one_line(err, "--clips", "nowhere")

    def test_ctrl_c_exits_with_130(self, run_cli, make_checkpoint, write_clips, tmp_path, monkeypatch):
        def stop(*args, **kwargs):
            raise KeyboardInterrupt

        monkeypatch.setattr("rvq_core.analysis.clip_error_rows", stop)
        code, text, err = run_cli("analyze", make_checkpoint(), write_clips(1), "--out", tmp_path / "out")
        assert (code, text, err) == (130, "", "rvq-lens: stopped\n")
        assert not (tmp_path / "out").exists()

    @pytest.mark.parametrize(
        ("error", "part"),
        [
            (MemoryError(), "expected enough memory"),
            (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you"), "expected enough memory"),
            (RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB."), "expected enough memory"),
            (PermissionError(13, "Permission denied", "/some/clip.npz"), "/some/clip.npz"),
            (ZeroDivisionError("a\nb"), "a fault of rvq-lens (ZeroDivisionError: a b)"),
        ],
        ids=repr,
    )
    def test_whatever_happens_is_one_line(self, run_cli, make_checkpoint, monkeypatch, error, part):
        def fail(*args, **kwargs):
            raise error

        monkeypatch.setattr("rvq_core.inspection.inspect", fail)
        code, text, err = run_cli("inspect", make_checkpoint())
        assert (code, text) == (2, "")
        assert err.count("\n") == 1
        assert part in err

    @pytest.mark.skipif(sys.platform != "linux", reason="needs file names of any bytes")
    def test_a_name_that_is_no_utf8_is_told(self, run_cli, make_checkpoint, write_clip, tmp_path):
        path = write_clip("a")
        path.rename(path.with_name(os.fsdecode(b"Bj\xf6rn.npz")))
        code, text, err = run_cli("analyze", make_checkpoint(), path.parent, "--out", tmp_path / "out")
        assert (code, text) == (2, "")
        assert_one_line(err, "Bj", "UTF-8", "rename")

    def test_the_origin_of_an_error_is_shown_on_request(self, tmp_path, monkeypatch):
        monkeypatch.setenv(cli.DEBUG, "1")
        with pytest.raises(cli.RVQLensError):
            cli.run(["inspect", str(tmp_path)])

    def test_a_reader_that_goes_away_is_no_error(self, make_checkpoint):
        path = make_checkpoint()
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        environment.pop("PYTHONUNBUFFERED", None)  # with it, nothing is left to write at the end
        read, write = os.pipe()
        os.close(read)
        with os.fdopen(write, "w") as gone:
            line = [sys.executable, "-m", "rvq_core", "inspect", str(path), "--json"]
            done = subprocess.run(
                line, stdout=gone, stderr=subprocess.PIPE, text=True, env=environment, check=False, timeout=60
            )
        assert (done.returncode, done.stderr) == (0, "")
