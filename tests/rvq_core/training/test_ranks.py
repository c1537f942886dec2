"""Training between several processes: one run, whatever happens to one of them."""

import json
import socket
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from forked import begin, fork_context
from ranks import on_forked_ranks, on_ranks
from safetensors.torch import load_file
from training_process import FAULTY, MODEL, RUN, random_walks, run_again_and_again

from rvq_core.training.run_folder import CHECKPOINT, HISTORY, STATE
from rvq_core.training.state_file import read_state

STEPS = 200

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("training_ranks")]


class Commands:
    """The command on the walks, with the settings of the tests changed as told."""

    def __init__(self, place: Path) -> None:
        self.place = place
        for clip in random_walks():
            (place / "clips").mkdir(exist_ok=True)
            np.save(place / "clips" / f"{clip.name}.npy", clip.features)
        (place / "faulty.py").write_text(FAULTY)

    def line(self, name: str, **changed: object) -> list[str]:
        (self.place / f"{name}.json").write_text(json.dumps(MODEL | RUN | changed))
        given = ["train", self.place / "clips", "--out", self.place / name, "--config", self.place / f"{name}.json"]
        return [*map(str, given), "--quiet", "--device", "cpu"]

    def on_ranks(self, count: int, name: str, fault: str = "none", restarts: int = 0, run=on_forked_ranks, **changed):
        seen = self.place / f"seen_{name}"
        seen.mkdir(exist_ok=True)
        told = {"FAULT": fault, "SEEN": str(seen)}
        line = self.line(name, **{"iterations": STEPS} | changed)
        return run(count, *line, program=self.place / "faulty.py", restarts=restarts, **told)

    def seen(self, count: int, name: str) -> list[dict[str, torch.Tensor]]:
        return [torch.load(self.place / f"seen_{name}" / f"rank{rank}.pt", weights_only=True) for rank in range(count)]


@pytest.fixture(scope="module")
def commands(tmp_path_factory) -> Commands:
    """Runs of 200 steps on 2 and on 4 ranks that nothing stopped, the first by torchrun; and how to start others."""
    commands = Commands(tmp_path_factory.mktemp("ranks"))
    for count, run in ((2, on_ranks), (4, on_forked_ranks)):
        done = commands.on_ranks(count, f"of_{count}", run=run)
        assert done.returncode == 0, done.stderr
        assert "FutureWarning" not in done.stderr
        assert done.stdout == f"checkpoint: {commands.place / f'of_{count}' / CHECKPOINT}\n"
    return commands


@pytest.mark.parametrize("count", [2, 4])
def test_after_200_steps_all_ranks_have_the_same_codebooks(commands, count):
    first, *others = commands.seen(count, f"of_{count}")
    for other in others:
        assert all(torch.equal(value, other[name]) for name, value in first.items())
    history = pd.read_parquet(commands.place / f"of_{count}" / HISTORY)
    assert history.query("series == 'resets'")["value"].sum() > 10
    written = load_file(commands.place / f"of_{count}" / CHECKPOINT)
    assert all(torch.equal(value, written[name]) for name, value in first.items())


@pytest.mark.parametrize("count", [2, 4])
def test_ranks_with_a_part_of_the_batch_follow_one_with_all_of_it(commands, run_cli, count):
    """Losses, resets and weights, over steps in which many codes are reset."""
    short = {"iterations": 12, "evaluate_every": 4, "snapshot_every": 0}
    code, _, err = run_cli(*commands.line("alone", batch_size=8, **short))
    assert (code, err) == (0, "")
    done = commands.on_ranks(count, f"short_{count}", batch_size=8 // count, **short)
    assert done.returncode == 0, done.stderr
    one, several = (pd.read_parquet(commands.place / name / HISTORY) for name in ("alone", f"short_{count}"))
    assert one.query("series == 'resets'")["value"].sum() > 20
    np.testing.assert_allclose(several["value"], one["value"], rtol=1e-3, atol=2e-6)
    wanted, found = (load_file(commands.place / name / CHECKPOINT) for name in ("alone", f"short_{count}"))
    for name, value in wanted.items():
        torch.testing.assert_close(
            found[name], value, rtol=1e-3, atol=1e-4, msg=lambda told, name=name: f"{name}: {told}"
        )


def test_every_run_ends(tmp_path):
    """What is freed as a process group ends must not wait for a thread that waits for Python's lock: one run in ten."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    context, count = fork_context(), 60
    processes = [begin(context, run_again_and_again, rank, port, tmp_path, count) for rank in range(2)]
    end = time.monotonic() + 120
    for process in processes:
        process.join(max(0, end - time.monotonic()))
    codes = [process.exitcode for process in processes]
    for process in processes:
        process.kill()
    assert codes == [0, 0]
    assert len([*tmp_path.glob(f"*/{CHECKPOINT}")]) == count


def told(stderr: str) -> list[str]:
    return [line for line in stderr.splitlines() if line.startswith("rvq-lens: ")]


class TestFaults:
    def test_a_rank_that_fails_stops_all_with_its_message_and_the_same_command_goes_on(self, commands):
        failed = commands.on_ranks(2, "raise", "raise")
        assert failed.returncode != 0
        assert told(failed.stderr) == [
            "rvq-lens: rank 1: c1: expected no fault, found one that was made; look at the test"
        ]
        assert read_state(commands.place / "raise" / STATE).told["iteration"] == 90
        again = commands.on_ranks(2, "raise")
        assert again.returncode == 0, again.stderr
        self.assert_whole(commands, "raise")

    def test_a_rank_that_is_killed_is_started_again_and_the_run_is_the_same(self, commands):
        done = commands.on_ranks(2, "kill", "kill", restarts=1)
        assert done.returncode == 0, done.stderr
        (line,) = told(done.stderr)
        assert line.startswith("rvq-lens: ranks: expected answers of all, found one that has ended")
        self.assert_whole(commands, "kill")

    def assert_whole(self, commands, name: str) -> None:
        found, wanted = (load_file(commands.place / run / CHECKPOINT) for run in (name, "of_2"))
        assert all(torch.equal(value, found[key]) for key, value in wanted.items())
        history = [(commands.place / run / HISTORY).read_bytes() for run in (name, "of_2")]
        assert history[0] == history[1]

    def test_another_number_of_ranks_is_refused(self, commands, run_cli):
        code, _, err = run_cli(*commands.line("of_2", iterations=STEPS))
        assert code == 2
        assert f"{STATE}: ranks: expected 2, found 1" in err

    def test_bad_settings_are_told_once(self, commands):
        done = commands.on_ranks(2, "bad", held_out=["nobody"])
        assert done.returncode != 0
        (line,) = told(done.stderr)
        assert "expected names of clips that were given" in line
