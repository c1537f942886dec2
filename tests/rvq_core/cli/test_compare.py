import json
from pathlib import Path

import numpy as np
import pytest
from commands import assert_one_line

from rvq_core.bundled import bundled_clips
from rvq_core.compare import Comparison

FIXTURES = Path(__file__).resolve().parents[4] / "shared" / "fixtures"
STEPS = {
    "momask": [f"t2m/rvq_nq4_dc32_nc64_noshare_qdp0.2/model/{name}.tar" for name in ("latest", "net_best_fid")],
    "t2mgpt": [f"VQVAE/{name}.pth" for name in ("net_last", "net_best_fid")],
}


def test_checkpoints_on_clips(run_cli, make_checkpoint, write_clips, tmp_path):
    paths = [make_checkpoint("one"), make_checkpoint("other", seed=1), make_checkpoint("small", num_quantizers=2)]
    out = tmp_path / "out"
    code, text, err = run_cli("compare", *paths, "--clips", write_clips(), "--out", out, "--device", "cpu")
    assert (code, err) == (0, "")
    assert text.startswith("baseline: one\nother: ")
    assert "config num_quantizers: one 3, other 3, small 2\n" in text
    assert "not compared: feature_mse of other: features are normalised by other means and stds\n" in text
    comparison = Comparison.load(out)
    assert comparison.names == ["one", "other", "small"]
    assert set(comparison.tables["metrics"]["checkpoint"]) == {"other", "small"}


def test_finished_reports_need_no_clips(run_cli, make_checkpoint, write_clips, tmp_path):
    folder = write_clips()
    paths = [make_checkpoint("one"), make_checkpoint("other", seed=1)]
    for path in paths:
        run_cli("analyze", path, folder, "--out", tmp_path / path.stem, "--device", "cpu")
    reports = [tmp_path / path.stem for path in paths]
    code, text, _ = run_cli("compare", *reports, "--json")
    assert code == 0
    by_reports = json.loads(text)
    code, text, _ = run_cli("compare", reports[0], paths[1], "--clips", folder, "--device", "cpu", "--json")
    assert code == 0
    for part in ("results", "summary", "refused", "notes", "clips"):
        assert by_reports[part] == json.loads(text)[part]


def test_a_checkpoint_with_itself(run_cli, make_checkpoint, write_clips):
    path = make_checkpoint()
    code, text, _ = run_cli("compare", path, path, "--clips", write_clips(), "--device", "cpu", "--json")
    assert code == 0
    told = json.loads(text)
    assert [each["name"] for each in told["checkpoints"]] == ["tiny", "tiny (2)"]
    assert {row["delta"] for part in ("metrics", "layers", "equal_rate") for row in told["results"][part]} == {0}


@pytest.mark.parametrize("project", STEPS)
def test_two_files_of_equal_weights(run_cli, project):
    """Public checkpoints of two steps that hold the same weights: all differences exactly 0."""
    paths = [FIXTURES / project / name for name in STEPS[project]]
    if not all(path.is_file() for path in paths):
        pytest.skip(f"{FIXTURES / project} is not there")
    code, text, _ = run_cli("compare", *paths, "--clips", bundled_clips(), "--device", "cpu", "--json")
    assert code == 0
    told = json.loads(text)
    rows = [row for part in ("metrics", "layers", "equal_rate") for row in told["results"][part]]
    assert rows
    assert {(row["delta"], row["words"]) for row in rows} == {(0, "no difference")}
    assert any("matched by number" in note for note in told["notes"])


def test_what_is_left_out_is_told_once(run_cli, make_checkpoint, write_clips, tmp_path):
    folder = write_clips(3)
    np.save(folder / "bad.npy", np.zeros((20, 17), dtype=np.float32))
    paths = [make_checkpoint("one"), make_checkpoint("other", seed=1)]
    code, _, err = run_cli("compare", *paths, "--clips", folder, "--out", tmp_path / "out", "--device", "cpu")
    assert code == 0
    assert err.count("\n") == 1
    assert "left out" in err


@pytest.mark.parametrize(
    ("given", "parts"),
    [
        (["CKPT", "CKPT", "--clips", "CLIPS"], ["--out DIR"]),
        (["CKPT", "CKPT", "--out", "OUT"], ["--clips"]),
        (["CKPT", "--clips", "CLIPS", "--out", "OUT"], ["two checkpoints or reports"]),
        (["CKPT", "nowhere.tar", "--clips", "CLIPS", "--out", "OUT"], ["nowhere.tar"]),
        (["CKPT", "CKPT", "--clips", "nowhere", "--out", "OUT"], ["nowhere"]),
        (["CKPT", "CKPT", "--clips", "CLIPS", "--out", "CLIPS"], ["other files"]),
        (["CKPT", "CKPT", "--clips", "CLIPS", "--json", "--seed", "-1"], ["seed", "-1"]),
        (["CKPT", "CKPT", "--clips", "CLIPS", "--json", "--device", "quantum"], ["quantum"]),
    ],
    ids=lambda given: " ".join(given),
)
def test_what_does_not_fit(run_cli, make_checkpoint, write_clips, tmp_path, given, parts):
    names = {"CKPT": make_checkpoint(), "CLIPS": write_clips(2), "OUT": tmp_path / "out"}
    code, text, err = run_cli("compare", *(names.get(part, part) for part in given))
    assert (code, text) == (2, "")
    assert_one_line(err, *parts)
    assert not (tmp_path / "out").exists()


def test_a_place_that_cannot_be_written_is_told_before_anything_is_measured(
    run_cli, make_checkpoint, write_clips, tmp_path, monkeypatch
):
    measured = []
    monkeypatch.setattr("rvq_core.compare.compare", lambda *given, **_: measured.append(given))
    (tmp_path / "file").write_text("no folder")
    paths = [make_checkpoint("one"), make_checkpoint("other", seed=1)]
    code, text, err = run_cli("compare", *paths, "--clips", write_clips(2), "--out", tmp_path / "file/new/out")
    assert (code, text, measured) == (2, "", [])
    assert_one_line(err, "file/new/out", "a folder that can be written", "Not a directory")
