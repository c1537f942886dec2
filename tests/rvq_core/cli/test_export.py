import json
import os
import subprocess
import sys

import pytest
from commands import ROOT, assert_one_line, command


@pytest.fixture
def saved(run_cli, make_checkpoint, write_clips, tmp_path):
    code, _, err = run_cli(
        "analyze", make_checkpoint(), write_clips(6), "--out", tmp_path / "report", "--device", "cpu"
    )
    assert (code, err) == (0, "")
    return tmp_path / "report"


def test_files_and_the_command_that_makes_them_again(run_cli, saved, tmp_path):
    arguments = ("export", saved, "--out", tmp_path / "out", "--formats", "svg,csv", "--figures", "perplexity, error")
    code, text, err = run_cli(*arguments)
    assert (code, err) == (0, "")
    assert text == f"8 files: {tmp_path / 'out'}\n"
    manifest = json.loads((tmp_path / "out/manifest.json").read_text())
    assert manifest["command"].startswith(f"rvq-lens export {saved} --out ")
    assert (tmp_path / "out/figures/error.svg").is_file()


def test_the_list_names_figures(run_cli, saved):
    code, text, _ = run_cli("export", saved, "--list")
    assert code == 0
    assert text.splitlines()[:2] == ["perplexity", "status"]
    assert "error_velocity_error (detail)" in text


@pytest.mark.parametrize(
    ("more", "parts"),
    [
        ([], ["--out DIR"]),
        (["--out", "out", "--formats", "gif"], ["formats", "gif"]),
        (["--out", "out", "--figures", "pie"], ["figures", "pie", "perplexity"]),
        (["--out", "out", "--preset", "poster"], ["preset", "poster", "single"]),
        (["--out", "."], ["the current folder"]),
        (["--out", "taken"], ["taken", "a folder with other files"]),
    ],
    ids=lambda value: " ".join(value),
)
def test_what_does_not_fit_is_one_line(run_cli, saved, tmp_path, monkeypatch, more, parts):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken/mine.txt").write_text("mine")
    before = sorted(tmp_path.iterdir())
    code, text, err = run_cli("export", saved, *more)
    assert (code, text) == (2, "")
    assert_one_line(err, *parts)
    assert sorted(tmp_path.iterdir()) == before


def test_a_folder_without_a_report_is_told(run_cli, tmp_path):
    code, _, err = run_cli("export", tmp_path / "nothing", "--out", tmp_path / "out")
    assert code == 2
    assert_one_line(err, "report.json", "rvq-lens analyze")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_place_that_cannot_be_written_is_told(saved, tmp_path):
    (tmp_path / "locked").mkdir(mode=0o500)
    done = command("export", saved, "--out", tmp_path / "locked/out", "--formats", "csv")
    assert done.returncode == 2
    assert_one_line(done.stderr, "a folder that can be written", "Permission denied")


def test_a_disk_that_is_really_full_is_told(saved, tmp_path):
    """Files may not grow beyond 512 bytes: the kernel refuses, as on a full disk."""
    line = f"ulimit -f 1; exec {sys.executable} -m rvq_core export {saved} --out {tmp_path}/out --formats html"
    done = subprocess.run(
        ["bash", "-c", f"trap '' XFSZ; {line}"], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert done.returncode == 2
    assert_one_line(done.stderr, "room to write the export")
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith((".", "out"))) == []
