"""A run that is killed, whenever that is, goes on as if nothing had been."""

import errno
import json
import os
import signal
from pathlib import Path
from unittest import mock

import numpy as np
import pandas as pd
import pytest
import torch
from filelock import FileLock
from killed import fork_only
from training_process import Trainings, random_walks, settings_of, stopped_at

from rvq_core import analyze, load_checkpoint
from rvq_core.errors import CheckpointError, SettingsError
from rvq_core.training import train
from rvq_core.training.corpus import split_corpus
from rvq_core.training.run import Run
from rvq_core.training.run_folder import CHECKPOINT, HISTORY, LOCK, SETTINGS, STATE
from rvq_core.training.snapshots import SNAPSHOTS, snapshots_of
from rvq_core.training.state_file import read_state

KILLS = 10
NAMES = ("reconstruction", "commit")


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@fork_only
def test_killed_ten_times_it_ends_with_the_same_bytes(tmp_path):
    settings = settings_of()
    Trainings(tmp_path / "whole", settings).whole()
    out, rng = tmp_path / "killed", np.random.default_rng(3)
    trainings = Trainings(out, settings)
    states = []
    for _ in range(KILLS):
        reached = trainings.killed(steps=rng.uniform(0, 35), seconds=rng.uniform(0, 0.02))
        assert reached < settings.iterations
        if (out / STATE).exists():
            states.append(read_state(out / STATE).told["iteration"])
            assert states[-1] >= reached - settings.evaluate_every  # of what was done, at most an interval is lost
        for checkpoint in (out / CHECKPOINT, *(out / SNAPSHOTS).glob("[0-9]*")):
            assert not checkpoint.exists() or load_checkpoint(checkpoint).training["iterations"] >= 10
        if (out / HISTORY).exists():
            assert len(pd.read_parquet(out / HISTORY))
    assert states == sorted(states)
    assert len(set(states)) > 2, "no kill found it in the middle"
    trainings.whole()
    assert content(out) == content(tmp_path / "whole")
    assert [one.path.stem for one in snapshots_of(out)] == ["000000260", "000000280", "000000300"]


@pytest.fixture
def stopped(tmp_path) -> Path:
    """A folder of a run that was stopped after its 47th step."""
    with stopped_at(47):
        go_on(tmp_path / "run")
    return tmp_path / "run"


def go_on(out, clips=None, **changed):
    return train(random_walks() if clips is None else clips, out, settings_of(iterations=100, **changed), quiet=True)


def test_stopped_by_ctrl_c_it_goes_on_from_its_last_interval(stopped, tmp_path):
    assert load_checkpoint(stopped / CHECKPOINT).training["iterations"] == 47
    assert read_state(stopped / STATE).told["iteration"] == 40
    torch.manual_seed(77)
    np.random.seed(77)  # noqa: NPY002 - what the process drew before must not matter
    go_on(stopped)
    go_on(tmp_path / "whole")
    assert content(stopped) == content(tmp_path / "whole")


def test_the_state_holds_all_draws(stopped):
    run = Run.begun(split_corpus(random_walks(), settings_of(iterations=100)), settings_of(iterations=100))
    state = read_state(stopped / STATE)
    run.restore(state, stopped / STATE)
    again = run.state()
    assert again.told.items() <= state.told.items()
    assert again.tensors.keys() == state.tensors.keys()
    assert all(torch.equal(tensor, state.tensors[name]) for name, tensor in again.tensors.items())
    first = torch.rand(3), np.random.rand(3), run.sampler.draw().features, run.sampler.noise(3, run._noise_generator)  # noqa: NPY002 - as above
    run.restore(state, stopped / STATE)
    then = torch.rand(3), np.random.rand(3), run.sampler.draw().features, run.sampler.noise(3, run._noise_generator)  # noqa: NPY002 - as above
    assert all(np.array_equal(a, b) for a, b in zip(first, then, strict=True))


def test_a_run_that_is_done_stays_as_it_is(stopped):
    go_on(stopped)
    before = {path: path.stat().st_mtime_ns for path in stopped.rglob("*")}
    assert go_on(stopped) == stopped / CHECKPOINT
    assert {path: path.stat().st_mtime_ns for path in stopped.rglob("*")} == before


def test_what_a_killed_process_left_goes(stopped):
    (stopped / f".{CHECKPOINT}.x1.safetensors").write_bytes(b"half")
    (stopped / "snapshots" / ".000000040.safetensors.x1.safetensors").write_bytes(b"half")
    for folder in (stopped, stopped / "snapshots"):
        (folder / ".tmpqQRrhL").write_bytes(b"half")  # of safetensors itself
    assert load_checkpoint(stopped).training["iterations"] == 47  # the folder still holds one checkpoint
    go_on(stopped)
    assert [path.name for path in stopped.rglob(".*")] == [LOCK]


class TestRefusals:
    @pytest.mark.parametrize(
        ("changed", "told"),
        [
            ({"batch_size": 5}, "training: batch_size: expected 4, found 5"),
            ({"seed": 1}, "training: seed: expected 0, found 1"),
            ({"held_out": ("c2",)}, r"training: held_out: expected \('c1',\), found \('c2',\)"),
            ({"snapshots": 4}, "training: snapshots: expected 3, found 4"),
        ],
    )
    def test_other_settings(self, stopped, changed, told):
        before = content(stopped)
        with pytest.raises(SettingsError, match=rf"run/{STATE}: {told}; give the same as before"):
            go_on(stopped, **changed)
        assert content(stopped) == before

    def test_another_model(self, stopped):
        other = settings_of(iterations=100).changed({"mu": 0.8}, "test")
        with pytest.raises(SettingsError, match=r"model config: mu: expected 0\.9, found 0\.8"):
            train(random_walks(), stopped, other, quiet=True)

    def test_other_clips(self, stopped):
        clips = random_walks()
        clips[1].features[3, 2] += 1e-3
        with pytest.raises(SettingsError, match=f"{STATE}: clips: expected 'fingerprint .*, found 'fingerprint"):
            go_on(stopped, clips)

    def test_a_checkpoint_of_a_run_that_left_no_state(self, stopped):
        (stopped / STATE).unlink()
        with pytest.raises(SettingsError, match=f"found a {CHECKPOINT} without its {STATE}"):
            go_on(stopped)

    def test_a_damaged_state(self, stopped):
        whole = (stopped / STATE).read_bytes()
        for damaged in (whole[:-100], b"", whole.replace(b"rvq-lens-state", b"rvq-lens-stale")):
            (stopped / STATE).write_bytes(damaged)
            with pytest.raises(CheckpointError, match=STATE):
                go_on(stopped)

    @pytest.mark.parametrize("more", [True, False])
    def test_a_state_of_other_tensors(self, stopped, more):
        state = read_state(stopped / STATE)
        if more:
            state.tensors["model.other"] = torch.zeros(2)
        else:
            del state.tensors["optimizer.encoder.model.0.weight.exp_avg"]
        run = Run.begun(split_corpus(random_walks(), settings_of()), settings_of())
        found = "a tensor 'model.other'" if more else "none"
        with pytest.raises(CheckpointError, match=f"{STATE}: expected .*found {found}"):
            run.restore(state, stopped / STATE)


@fork_only
class TestTwoProcesses:
    """On one folder: the second would write its own state beside the first one's checkpoint."""

    def test_the_second_is_refused_and_the_first_goes_on(self, tmp_path):
        settings = settings_of()
        with Trainings(tmp_path / "run", settings).under_way() as first:
            with pytest.raises(SettingsError, match="expected a run that no other process goes on with, found one"):
                train(random_walks(), tmp_path / "run", settings, quiet=True)
            os.kill(first.pid, signal.SIGCONT)
            first.join(120)
            assert first.exitcode == 0
        before = content(tmp_path / "run")
        train(random_walks(), tmp_path / "run", settings, quiet=True)  # which is done
        assert content(tmp_path / "run") == before

    def test_a_disk_without_locks_keeps_nobody_out(self, tmp_path):
        for error in (OSError(errno.ENOLCK, "No locks available"), NotImplementedError("no flock")):
            with mock.patch.object(FileLock, "acquire", side_effect=error):
                train(random_walks(), tmp_path / type(error).__name__, settings_of(iterations=10), quiet=True)

    def test_a_lock_that_fails_otherwise_is_told(self, tmp_path):
        broken = OSError(errno.EIO, "Input/output error")
        with mock.patch.object(FileLock, "acquire", side_effect=broken), pytest.raises(OSError, match="Input/output"):
            train(random_walks(), tmp_path / "run", settings_of(), quiet=True)


def test_before_the_first_file_too(tmp_path):
    """Killed as it had made the folder: what lies in it is hidden."""
    out = tmp_path / "run"
    out.mkdir()
    (out / LOCK).touch()
    (out / f".{SETTINGS}.ab12.json").write_text("{")
    train(random_walks(), out, settings_of(iterations=10), quiet=True)
    assert (out / CHECKPOINT).is_file()
    assert not (out / f".{SETTINGS}.ab12.json").exists()


def test_before_the_first_state_a_folder_may_begin_anew(tmp_path):
    """Killed as soon as its settings were written, a run has nothing that other settings could spoil."""
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / SETTINGS).write_text("{}")
    go_on(tmp_path / "run", seed=4)
    assert json.loads((tmp_path / "run" / SETTINGS).read_text())["seed"] == 4


def test_snapshots_open_as_checkpoints(stopped):
    go_on(stopped)
    paths = [one.path for one in snapshots_of(stopped)]
    assert [load_checkpoint(path).training["iterations"] for path in paths] == [60, 80, 100]
    report = analyze(load_checkpoint(paths[0]), random_walks(), device="cpu")
    assert report.layers["tokens"].tolist() == [45 + 20 + 32] * 3


class TestHistory:
    @pytest.fixture
    def run(self, tmp_path, monkeypatch):
        """A run's history, and what was counted beside it."""
        counted = {"resets": [], "moved": [], "losses": []}
        step = Run.step

        def counting(self):
            layers = self.model.quantizer.ema_layers()
            losses = step(self)
            counted["losses"].append(
                {name: float(getattr(losses, name).detach()) for name in ("reconstruction", "commit")}
            )
            counted["resets"].append([int((layer.code_count.numpy() < 1).sum()) for layer in layers])
            means = [layer.code_sum.numpy() / layer.code_count.numpy()[:, None] for layer in layers]
            moved = [(layer.codebook.numpy() != mean).any(axis=1) for layer, mean in zip(layers, means, strict=True)]
            counted["moved"].append([int(rows.sum()) for rows in moved])
            return losses

        monkeypatch.setattr(Run, "step", counting)
        settings = settings_of(iterations=50).changed({"quantize_dropout_prob": 0.0}, "test")
        path = train(random_walks(), tmp_path / "run", settings, quiet=True)
        return pd.read_parquet(tmp_path / "run" / HISTORY), counted, load_checkpoint(path)

    def test_it_is_tidy(self, run):
        table = run[0]
        assert table.columns.tolist() == ["iteration", "series", "layer", "value"]
        assert set(table["iteration"]) == {10, 20, 30, 40, 50}
        assert set(table["series"]) == {
            "reconstruction",
            "velocity",
            "commit",
            "position",
            "perplexity",
            "unseen",
            "resets",
        }

    def test_resets_are_those_of_codes_that_were_replaced(self, run):
        table, counted, _ = run
        resets = table[table["series"] == "resets"].pivot(index="iteration", columns="layer", values="value")
        spans = [(start, start + 10) for start in range(0, 50, 10)]
        wanted = np.array([np.sum(counted["resets"][a:b], axis=0) for a, b in spans])
        np.testing.assert_array_equal(resets.to_numpy(), wanted)
        # A code that is no mean of its tokens was replaced; now and then one by a token that is its mean.
        moved = np.sum(counted["moved"], axis=0)
        assert (moved <= wanted.sum(axis=0)).all()
        assert (moved > 0.8 * wanted.sum(axis=0)).all()

    def test_losses_are_means_since_the_row_before(self, run):
        table, counted, _ = run
        for name in NAMES:
            values = table[table["series"] == name].set_index("iteration")["value"]
            assert values[50] == pytest.approx(np.mean([one[name] for one in counted["losses"][40:]]), abs=1e-6)

    def test_usage_is_that_of_analyze(self, run):
        table, _, checkpoint = run
        report = analyze(checkpoint, [random_walks()[0], random_walks()[2]], device="cpu")
        last = table[table["iteration"] == 50].set_index(["series", "layer"])["value"]
        for layer, row in report.layers.set_index("layer").iterrows():
            assert last["unseen", layer] == row["unseen"]
            assert last["perplexity", layer] == pytest.approx(row["perplexity"], abs=1e-3)

    def test_the_history_in_the_checkpoint_is_as_it_was(self, run):
        rows = run[2].training["history"]
        assert [row["iteration"] for row in rows] == [10, 20, 30, 40, 50]
        assert all("resets" not in row and "perplexity" in row for row in rows)
