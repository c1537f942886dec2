import json
import os
import re
import shutil
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from commands import ROOT, assert_one_line, command

from dashboard import projection_store
from dashboard.analyses import codebooks
from dashboard.settings import UmapSettings
from dashboard.store import VARIABLE, Store
from rvq_core.loading import load_checkpoint


@pytest.fixture
def saved(analysed, tmp_path):
    return shutil.copytree(analysed, tmp_path / "report")


def test_files_and_the_command_that_makes_them_again(run_cli, saved, tmp_path):
    arguments = ("export", saved, "--out", tmp_path / "out", "--formats", "svg,csv", "--figures", "perplexity, error")
    code, text, err = run_cli(*arguments)
    assert (code, err) == (0, "")
    assert text == f"8 files: {tmp_path / 'out'}\n"
    manifest = json.loads((tmp_path / "out/manifest.json").read_text())
    assert manifest["command"].startswith(f"rvq-lens export {saved} --out ")
    assert (tmp_path / "out/figures/error.svg").is_file()


def test_several_reports_go_into_folders_of_their_names(run_cli, saved, tmp_path):
    shutil.copytree(saved, tmp_path / "second")
    reports = (saved, tmp_path / "second")
    chosen = ("--formats", "csv", "--figures", "perplexity")
    code, text, err = run_cli("export", *reports, "--out", tmp_path / "out", *chosen)
    assert (code, err) == (0, "")
    assert text.splitlines() == [f"5 files: {tmp_path / 'out' / name}" for name in ("report", "second")]
    run_cli("export", saved, "--out", tmp_path / "alone", *chosen)
    for path in (tmp_path / "alone").rglob("*.csv"):
        assert path.read_bytes() == (tmp_path / "out/report" / path.relative_to(tmp_path / "alone")).read_bytes()
    assert run_cli("export", *reports, "--out", tmp_path / "out", *chosen)[0] == 0  # in the place of the earlier ones


def test_latex_labels_of_several_reports_differ(run_cli, saved, tmp_path):
    folders = [shutil.copytree(saved, tmp_path / name) for name in ("run_1 (é)", "run-1-e", "走")]
    chosen = ("--formats", "tex", "--figures", "")
    assert run_cli("export", *folders, "--out", tmp_path / "out", *chosen)[0] == 0
    assert run_cli("export", saved, "--out", tmp_path / "alone", *chosen)[0] == 0
    texts = [path.read_text() for path in (tmp_path / "out").rglob("layers.tex")]
    labels = sorted(re.search(r"\\label\{(.*)\}", text)[1] for text in texts)
    assert labels == ["tab:report-layers", "tab:run-1-e-2-layers", "tab:run-1-e-layers"]
    assert r"\label{tab:layers}" in (tmp_path / "alone/tables/layers.tex").read_text()


def test_nothing_is_written_where_one_of_several_cannot_be(run_cli, saved, tmp_path):
    shutil.copytree(saved, tmp_path / "second")
    (tmp_path / "out/second").mkdir(parents=True)
    (tmp_path / "out/second/mine.txt").write_text("mine")
    code, text, err = run_cli("export", saved, tmp_path / "second", "--out", tmp_path / "out", "--formats", "csv")
    assert (code, text) == (2, "")
    assert_one_line(err, "out/second", "a folder with other files")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["second"]


def test_reports_of_one_name_are_refused(run_cli, saved, tmp_path):
    shutil.copytree(saved, tmp_path / "other/report")
    code, _, err = run_cli("export", saved, tmp_path / "other/report", "--out", tmp_path / "out")
    assert code == 2
    assert_one_line(err, "different names", "2 called report", "one by one")


class TestCode:
    """Figures of single codes."""

    def test_usage_needs_the_report_alone_and_poses_its_checkpoint(self, run_cli, saved, make_checkpoint, tmp_path):
        used = int(pd.read_parquet(saved / "codes.parquet").query("layer == 1 and count > 0")["code"].iloc[0])
        only = ("--figures", "", "--formats", "csv", "--code", f"1:{used}")
        assert run_cli("export", saved, "--out", tmp_path / "out", *only)[0] == 0
        assert [path.stem for path in (tmp_path / "out/figures").iterdir()] == [f"code_1_{used}_clips"]
        more = ("--checkpoint", make_checkpoint())
        assert run_cli("export", saved, "--out", tmp_path / "out", *only, *more)[0] == 0
        found = {path.stem.removeprefix(f"code_1_{used}_") for path in (tmp_path / "out/figures").iterdir()}
        assert found == {"clips", "alone", "context", "line"}

    @pytest.mark.parametrize("text", ["1", "9:0", "1:99999"])
    def test_what_is_no_code_is_told(self, run_cli, saved, tmp_path, text):
        code, _, err = run_cli("export", saved, "--out", tmp_path / "out", "--code", text)
        assert code == 2
        assert_one_line(err, "LAYER:CODE", text)

    def test_another_checkpoint_is_refused(self, run_cli, saved, tmp_path, make_checkpoint):
        other = tmp_path / "other.safetensors"
        shutil.copy(make_checkpoint(), other)
        other.write_bytes(other.read_bytes()[:-4] + b"\0\0\0\1")
        code, _, err = run_cli("export", saved, "--out", tmp_path / "out", "--code", "1:0", "--checkpoint", other)
        assert code == 2
        assert_one_line(err, "--checkpoint", "that of the report", "sha256")


class TestClip:
    """Figures of single clips over time."""

    def test_codes_need_the_report_alone_and_errors_checkpoint_and_clips(
        self, run_cli, saved, make_checkpoint, write_clips, tmp_path
    ):
        name = str(pd.read_parquet(saved / "clips.parquet")["clip"].iloc[1])
        only = ("--out", tmp_path / "out", "--figures", "", "--formats", "csv", "--clip", name)
        assert run_cli("export", saved, *only)[0] == 0
        assert [path.stem for path in (tmp_path / "out/figures").iterdir()] == [f"clip_2_{name}_tokens"]
        more = ("--checkpoint", make_checkpoint(), "--clips", write_clips(6))
        assert run_cli("export", saved, *only, *more)[0] == 0
        found = {path.stem for path in (tmp_path / "out/figures").iterdir()}
        assert found == {f"clip_2_{name}_tokens", f"clip_2_{name}_error"}

    def test_what_is_no_clip_and_a_folder_without_it_are_told(self, run_cli, saved, make_checkpoint, tmp_path):
        code, _, err = run_cli("export", saved, "--out", tmp_path / "out", "--clip", "nobody")
        assert code == 2
        assert_one_line(err, "a clip of the report", "nobody")
        np.save(tmp_path / "other.npy", np.zeros((64, 6), np.float32))
        name = str(pd.read_parquet(saved / "clips.parquet")["clip"].iloc[0])
        more = ("--checkpoint", make_checkpoint(), "--clips", tmp_path / "other.npy")
        code, _, err = run_cli("export", saved, "--out", tmp_path / "out", "--clip", name, *more)
        assert code == 2
        assert_one_line(err, "--clips", f"without {name}")


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


def test_a_place_that_cannot_be_written_is_told_before_figures_are_drawn(run_cli, saved, tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr("dashboard.export.build.export_files", lambda *given: drawn.append(given) or {"a": b"a"})
    (tmp_path / "file").write_text("no folder")
    code, text, err = run_cli("export", saved, "--out", tmp_path / "file/new/out", "--formats", "csv")
    assert (code, text, drawn) == (2, "", [])
    assert_one_line(err, "file/new/out", "a folder that can be written", "Not a directory")
    before = set(tmp_path.iterdir())
    assert run_cli("export", saved, "--out", tmp_path / "new/out", "--formats", "csv")[0] == 0
    assert len(drawn) == 1
    # Asking whether it can be written leaves nothing.
    assert set(tmp_path.iterdir()) - before == {tmp_path / "new"}
    assert [path.name for path in (tmp_path / "new").rglob("*")] == ["out", "a"]


def test_a_disk_that_is_really_full_is_told(saved, tmp_path):
    """Files may not grow beyond 512 bytes: the kernel refuses, as on a full disk."""
    line = f"ulimit -f 1; exec {sys.executable} -m rvq_core export {saved} --out {tmp_path}/out --formats html"
    # A measurement of coverage would write its own file there.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    done = subprocess.run(
        ["bash", "-c", f"trap '' XFSZ; {line}"], capture_output=True, text=True, cwd=ROOT, env=environment, check=False
    )
    assert done.returncode == 2
    assert_one_line(done.stderr, "room to write the export")
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith((".", "out"))) == []


@pytest.mark.parametrize(
    ("asked", "parts"),
    [
        (["--umap"], ["--umap", "--checkpoint CKPT"]),
        (["--density"], ["--density", "--checkpoint CKPT"]),
        (["--density", "--checkpoint", "CKPT"], ["--density", "--clips PATH"]),
        (["--over", "CKPT"], ["--over", "without a history"]),
    ],
    ids=lambda given: " ".join(given),
)
def test_what_further_figures_need_is_told(run_cli, saved, make_checkpoint, tmp_path, asked, parts):
    given = [make_checkpoint() if word == "CKPT" else word for word in asked]
    code, text, err = run_cli("export", saved, "--out", tmp_path / "out", *given)
    assert (code, text) == (2, "")
    assert_one_line(err, *parts)
    assert not (tmp_path / "out").exists()


def test_the_density_of_the_report_s_own_checkpoint_and_clips(run_cli, saved, make_checkpoint, write_clips, tmp_path):
    line = ("export", saved, "--out", tmp_path / "out", "--formats", "csv", "--figures", "", "--density")
    code, _, err = run_cli(*line, "--checkpoint", make_checkpoint(), "--clips", write_clips(6))
    assert (code, err) == (0, "")
    table = pd.read_csv(tmp_path / "out/figures/map_density.csv")
    codes = pd.read_parquet(saved / "codes.parquet")
    assert (table["what"] == "code").sum() == len(codes)
    tokens = pd.read_parquet(saved / "layers.parquet")["tokens"].sum()
    assert (table["what"] == "encoder").sum() == tokens


@pytest.fixture
def own_store(tmp_path, monkeypatch):
    monkeypatch.setenv(VARIABLE, str(tmp_path / "store"))
    return Store(tmp_path / "store")


@pytest.mark.slow
@pytest.mark.xdist_group("umap")  # compiling it takes the longest
def test_maps_by_umap_are_made_once_and_kept(run_cli, saved, make_checkpoint, own_store, tmp_path, monkeypatch):
    line = ("export", saved, "--out", tmp_path / "out", "--formats", "csv,svg", "--figures", "", "--umap", "--seed", 3)
    assert run_cli(*line, "--checkpoint", make_checkpoint())[0] == 0
    codes = pd.read_parquet(saved / "codes.parquet")
    table = pd.read_csv(tmp_path / "out/figures/umap_layer.csv")
    assert table[["layer", "code"]].to_numpy().tolist() == codes[["layer", "code"]].to_numpy().tolist()
    assert np.isfinite(table[["x", "y"]].to_numpy()).all()
    assert "<image" not in (tmp_path / "out/figures/umap_usage.svg").read_text()
    manifest = json.loads((tmp_path / "out/manifest.json").read_text())
    assert {figure["name"] for figure in manifest["figures"]} >= {"umap_usage", "umap_layer", "umap_norm"}
    assert all("seed = 3" in figure["caption"] and "Trustworthiness" in figure["caption"]
               for figure in manifest["figures"])  # fmt: skip
    settings = UmapSettings((1, 2, 3), seed=3)
    found = projection_store.find(own_store, settings, codebooks(load_checkpoint(make_checkpoint())))
    assert found is not None
    assert found.table[["x", "y"]].to_numpy() == pytest.approx(table[["x", "y"]].to_numpy())
    before = (tmp_path / "out/figures/umap_layer.csv").read_bytes()
    monkeypatch.setattr(projection_store, "compute", None)  # calling it would fail
    assert run_cli(*line, "--checkpoint", make_checkpoint())[0] == 0
    assert (tmp_path / "out/figures/umap_layer.csv").read_bytes() == before


def history(*errors: float) -> dict:
    steps = [{"iteration": i, "held_out_mpjpe": error, "losses": {"reconstruction": 1.0 / (i + 1)},
              "perplexity": [4.0 + i] * 3, "unseen": [2] * 3} for i, error in enumerate(errors)]  # fmt: skip
    return {"history": steps}


def test_training_of_others_is_laid_over(run_cli, make_checkpoint, write_clips, tmp_path):
    own = make_checkpoint("own", training=history(90.0, 60.0))
    other = make_checkpoint("other", training=history(80.0, 40.0, 20.0))
    for ckpt in (own, other):
        report = tmp_path / ckpt.stem
        assert run_cli("analyze", ckpt, write_clips(6), "--out", report, "--device", "cpu")[0] == 0
    line = ("export", tmp_path / "own", "--out", tmp_path / "out", "--formats", "csv,pdf", "--figures", "")
    code, _, err = run_cli(*line, "--over", other, "--over", tmp_path / "other")
    assert (code, err) == (0, "")
    table = pd.read_csv(tmp_path / "out/figures/runs_error.csv")
    found = {run: rows["value"].tolist() for run, rows in table.groupby("run", sort=False)}
    assert found == {"own": [90, 60], "other": [80, 40, 20], "other (2)": [80, 40, 20]}
    assert (tmp_path / "out/figures/runs_perplexity_3.pdf").read_bytes().startswith(b"%PDF")


def test_the_checkpoint_must_be_read_as_it_was_for_the_report(run_cli, make_checkpoint, write_clips, tmp_path):
    folder = write_clips(6)
    statistics = {"mean": np.zeros(330, np.float32), "std": np.ones(330, np.float32)}
    for name, values in statistics.items():
        np.save(tmp_path / f"{name}.npy", values)
    reading = ("--activation", "silu", "--mean", tmp_path / "mean.npy", "--std", tmp_path / "std.npy")
    assert run_cli("analyze", make_checkpoint(), folder, "--out", tmp_path / "report", *reading)[0] == 0
    asked = ("--clip", "c1", "--checkpoint", make_checkpoint(), "--clips", folder)
    line = ("export", tmp_path / "report", "--out", tmp_path / "out", "--formats", "csv", "--figures", "", *asked)
    code, _, err = run_cli(*line)
    assert code == 2
    assert_one_line(err, "--checkpoint", "activation silu", "activation relu", "mean and std", "--activation")
    assert run_cli(*line, *reading)[0] == 0
    assert (tmp_path / "out/figures/clip_2_c1_error.csv").is_file()


def test_a_split_names_the_clips_as_it_does_for_analyze(run_cli, make_checkpoint, write_clips, tmp_path):
    (tmp_path / "test.txt").write_text("c1\nc3\n")
    clips = (write_clips(6), "--split", tmp_path / "test.txt")
    assert run_cli("analyze", make_checkpoint(), *clips, "--out", tmp_path / "report", "--device", "cpu")[0] == 0
    line = ("export", tmp_path / "report", "--out", tmp_path / "out", "--formats", "csv", "--figures", "", "--density")
    assert run_cli(*line, "--checkpoint", make_checkpoint(), "--clips", *clips)[0] == 0
    table = pd.read_csv(tmp_path / "out/figures/map_density.csv")
    tokens = pd.read_parquet(tmp_path / "report/layers.parquet")["tokens"].sum()
    assert (table["what"] == "encoder").sum() == tokens
