"""Codes between snapshots, against what was seen while they were trained."""

import numpy as np
import pytest
import torch
from training_process import random_walks, settings_of

from rvq_core import load_checkpoint
from rvq_core.errors import CheckpointError
from rvq_core.training import code_survival, snapshot_trends, survival_summary, train
from rvq_core.training.run import Run


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A run folder with snapshots after 20, 40 and 60 steps, and of each step which codes had died [Q, K]."""
    died = []
    step = Run.step

    def seen(self):
        losses = step(self)
        died.append([layer.code_count.numpy() < 1 for layer in self.model.quantizer.ema_layers()])
        return losses

    monkeypatch.setattr(Run, "step", seen)
    settings = settings_of(iterations=60, quantize_dropout_prob=0.0)
    train(random_walks(), tmp_path / "run", settings, quiet=True)
    return tmp_path / "run", np.array(died)


def codebooks(run, step) -> np.ndarray:
    return torch.stack(load_checkpoint(run / "snapshots" / f"{step:09}.safetensors").codebooks).double().numpy()


def test_resets_are_those_that_happened_between_the_two(run):
    folder, died = run
    table = code_survival(folder)
    assert table[["since", "iteration"]].drop_duplicates().to_numpy().tolist() == [[20, 40], [40, 60]]
    for (since, until), rows in table.groupby(["since", "iteration"]):
        wanted = died[since:until].sum(axis=0)
        np.testing.assert_array_equal(rows["resets"].to_numpy(dtype=int).reshape(3, 16), wanted)
    assert 0 < (table["resets"] > 0).sum() < len(table)


def test_how_far_they_moved(run):
    folder, _ = run
    before, after = codebooks(folder, 20), codebooks(folder, 40)
    rows = code_survival(folder).query("iteration == 40")
    moved = np.sqrt(((after - before) ** 2).sum(axis=2))
    np.testing.assert_allclose(rows["moved"].to_numpy().reshape(3, 16), moved, rtol=1e-6)
    for layer in range(3):
        distances = np.sqrt(((before[layer][:, None] - before[layer]) ** 2).sum(axis=2))
        np.fill_diagonal(distances, np.inf)
        spacing = np.median(distances.min(axis=1))
        found = rows.query("layer == @layer + 1")["spacings"]
        np.testing.assert_allclose(found, moved[layer] / spacing, rtol=1e-6)


def test_the_summary_counts_codes_and_takes_medians_of_those_that_stayed(run):
    table = code_survival(run[0])
    summary = survival_summary(table)
    assert len(summary) == 2 * 3
    for row in summary.to_dict("records"):
        rows = table[(table["iteration"] == row["iteration"]) & (table["layer"] == row["layer"])]
        stayed = rows[rows["resets"] == 0]
        assert row["reset"] == 16 - len(stayed)
        assert row["survived"] == pytest.approx(len(stayed) / 16)
        assert row["moved"] == pytest.approx(np.median(stayed["moved"]), nan_ok=True)


@pytest.fixture
def foreign(tmp_path):
    """Plain state dicts as other training loops save them: MoMask's layers under names with iterations."""
    torch.manual_seed(1)
    folder = tmp_path / "foreign"
    folder.mkdir()
    books = torch.randn(2, 8, 3)
    for step, offset in ((80_000, 2.0), (9_000, 0.0), (10_000, 1.0)):
        moved = {f"layers.{q}.codebook": books[q] + torch.tensor([offset, 0, 0]) for q in range(2)}
        torch.save(moved, folder / f"net_{step}.pth")
    (folder / "options.txt").write_text("123")
    return folder


def test_a_folder_of_foreign_snapshots_is_read_by_its_names(foreign):
    table = code_survival(foreign)
    assert table["resets"].isna().all()
    moved = table.groupby(["since", "iteration"])["moved"].agg(["min", "max"])
    assert moved.index.tolist() == [(9_000, 10_000), (10_000, 80_000)]
    np.testing.assert_allclose(moved, 1, rtol=1e-5)
    summary = survival_summary(table)
    assert summary["reset"].isna().all() and summary["survived"].isna().all()
    np.testing.assert_allclose(summary["moved"], 1, rtol=1e-5)


def test_trends_of_foreign_snapshots(foreign):
    table = snapshot_trends(foreign)
    assert table.columns.tolist() == ["iteration", "series", "layer", "value"]
    assert set(table["series"]) == {"norm", "spacing", "duplicates"}
    first = table[(table["iteration"] == 80_000) & (table["layer"] == 2)].set_index("series")["value"]
    codes = load_checkpoint(foreign / "net_80000.pth").codebooks[1].double().numpy()
    assert first["norm"] == pytest.approx(np.median(np.linalg.norm(codes, axis=1)))


def test_trends_with_clips_are_those_of_the_history(run):
    folder, _ = run
    trained = [random_walks()[0], random_walks()[2]]
    table = snapshot_trends(folder, trained, device="cpu").query("series == 'perplexity'")
    history = load_checkpoint(folder / "checkpoint.safetensors").training["history"]
    for row in history:
        if row["iteration"] in (20, 40, 60):
            found = table[table["iteration"] == row["iteration"]]["value"]
            np.testing.assert_allclose(found, row["perplexity"], atol=1e-3)


class TestRefusals:
    def test_no_snapshots(self, tmp_path):
        with pytest.raises(CheckpointError, match=r"expected a run folder with snapshots, .* found none"):
            code_survival(tmp_path)

    def test_one_snapshot(self, foreign):
        for step in (9_000, 10_000):
            (foreign / f"net_{step}.pth").unlink()
        with pytest.raises(CheckpointError, match="expected at least two snapshots, found one"):
            code_survival(foreign)

    def test_snapshots_of_two_models(self, foreign):
        torch.save({f"layers.{q}.codebook": torch.randn(5, 3) for q in range(2)}, foreign / "net_90000.pth")
        with pytest.raises(CheckpointError, match=r"net_90000\.pth: expected codebooks like those of net_80000\.pth"):
            code_survival(foreign)
