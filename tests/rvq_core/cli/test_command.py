import os
import signal
import subprocess
import sys
import threading

import pytest
from commands import ROOT, assert_one_line, command

from rvq_core import __version__, cli
from rvq_core.cli import inspect


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

    @pytest.mark.parametrize("option", ["--groups", "--split"])
    def test_dash_refuses_a_bad_list_before_it_starts(self, run_cli, tmp_path, option):
        (tmp_path / "empty.csv").touch()
        for name in ("empty.csv", "nowhere.csv"):
            code, _, err = run_cli("dash", option, tmp_path / name)
            assert code == 2
            assert_one_line(err, name)

    def test_ctrl_c_exits_with_130(self, run_cli, make_checkpoint, write_clips, tmp_path, monkeypatch):
        def stop(*args, **kwargs):
            raise KeyboardInterrupt

        monkeypatch.setattr("rvq_core.one_pass.measure_clip", stop)
        code, text, err = run_cli("analyze", make_checkpoint(), write_clips(1), "--out", tmp_path / "out")
        assert (code, text, err) == (130, "", "rvq-lens: stopped\n")
        assert not (tmp_path / "out").exists()

    def test_ctrl_c_that_a_library_made_something_else_of_is_told_as_such(self, capsys, monkeypatch):
        def importing(options):
            try:
                signal.raise_signal(signal.SIGINT)
            except KeyboardInterrupt:
                raise RecursionError("maximum recursion depth exceeded") from None

        monkeypatch.setattr(inspect, "run", importing)
        monkeypatch.setattr(cli, "_INTERRUPTED", threading.Event())
        before = signal.getsignal(signal.SIGINT)
        try:
            with pytest.raises(SystemExit) as ended:
                cli.main(["inspect", "x"])
        finally:
            signal.signal(signal.SIGINT, before)
        assert ended.value.code == 130
        assert capsys.readouterr().err == "rvq-lens: stopped\n"

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


@pytest.mark.parametrize(("given", "expected"), [(None, "passive"), ("active", "active")])
def test_threads_wait_without_taking_time_unless_the_user_says_otherwise(monkeypatch, given, expected):
    monkeypatch.setenv("OMP_WAIT_POLICY", str(given))  # noted, and put back after the test
    if given is None:
        monkeypatch.delenv("OMP_WAIT_POLICY")
    with pytest.raises(SystemExit):
        cli.main(["--version"])
    assert os.environ["OMP_WAIT_POLICY"] == expected
