"""An analysis between several processes: the report is that of one, to the last byte, whatever happens on the way."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from ranks import FAULTY, ROOT, content, on_forked_ranks, on_ranks

from rvq_core import Report
from rvq_core.cli import run

CLIPS, FRAMES = 10, 700


@pytest.fixture(scope="module")
def checkpoint(checkpoints_in, tmp_path_factory) -> Path:
    return checkpoints_in(tmp_path_factory.mktemp("checkpoint"))()


@pytest.fixture(scope="module")
def motion(clips_in, tmp_path_factory) -> Path:
    """Clips for some blocks, one at another rate, one that fits no checkpoint, one that cannot be read."""
    write_clip = clips_in(tmp_path_factory.mktemp("motion") / "clips")
    for number in range(CLIPS):
        write_clip(f"c{number}", FRAMES + 10 * number, seed=number, fps=60.0 if number == 3 else 30.0)
    folder = write_clip("short", 1).parent
    (folder / "broken.npz").write_bytes(b"nothing")
    return folder


def alone(*arguments: object, threads: int) -> None:
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": str(threads)}
    line = [sys.executable, "-m", "rvq_core", *map(str, arguments)]
    subprocess.run(line, check=True, capture_output=True, env=environment, timeout=120)


def test_the_report_of_two_and_four_ranks_is_that_of_one(checkpoint, motion, tmp_path):
    groups = tmp_path / "groups.csv"
    groups.write_text("clip,group\n" + "".join(f"c{i},{'ab'[i % 2]}\n" for i in range(CLIPS)))
    given = ["analyze", checkpoint, motion, "--device", "cpu", "--seed", 3, "--groups", groups]
    given += ["--max-frames", 6000, "--detail-frames", 900, "--error-clips", 7]
    alone(*given, "--out", tmp_path / "one", threads=2)
    wanted = content(tmp_path / "one")
    assert {Path(left["clip"]).name for left in wanted["report.json"]["left_out"]} == {"broken.npz", "short.npz"}
    for count, started in ((2, on_ranks), (4, on_forked_ranks)):
        out = tmp_path / f"of_{count}"
        done = started(count, *given, "--out", out)
        assert done.returncode == 0, done.stderr
        assert done.stdout.count("report: ") == 1
        assert [line.split(":")[0] for line in done.stderr.splitlines() if "left out" in line] == ["rvq-lens"] * 2
        assert content(out) == wanted
        assert not out.with_name(f"{out.name}.shards").exists()


def test_the_number_of_threads_does_not_show(make_checkpoint, write_clips, tmp_path):
    given = ["analyze", make_checkpoint(width=64), write_clips(6), "--device", "cpu"]
    for threads in (1, 2, 3):
        alone(*given, "--out", tmp_path / f"of_{threads}", threads=threads)
    one, two, three = (content(tmp_path / f"of_{threads}") for threads in (1, 2, 3))
    assert one == three
    assert two == three


@pytest.mark.xdist_group("analysis_faults")
class TestFaults:
    @pytest.fixture(scope="class")
    @classmethod
    def given(cls, checkpoint, motion) -> list[object]:
        return ["analyze", checkpoint, motion, "--device", "cpu", "--detail-frames", 0]

    @pytest.fixture(scope="class")
    @classmethod
    def wanted(cls, given, tmp_path_factory) -> dict[str, object]:
        """The report without a fault."""
        out = tmp_path_factory.mktemp("wanted") / "one"
        assert run([*map(str, given), "--out", str(out)]) == 0
        return content(out)

    @pytest.fixture
    def faulty(self, given, wanted, tmp_path):
        """The command with a fault in rank 1: how it ended, and what of its report and its shards is there."""
        program = tmp_path / "faulty.py"
        program.write_text(FAULTY)
        self.wanted = wanted
        self.out, self.shards, self.log = tmp_path / "out", tmp_path / "out.shards", tmp_path / "log"

        def run(fault: str, restarts: int = 0):
            told = {"FAULT": fault, "LOG": str(self.log), "SHARDS": str(self.shards)}
            return on_forked_ranks(2, *given, "--out", self.out, program=program, restarts=restarts, **told)

        return run

    def test_a_rank_that_fails_stops_all_with_its_message_and_the_same_command_goes_on(self, faulty):
        failed = faulty("raise")
        assert failed.returncode != 0
        told = [line for line in failed.stderr.splitlines() if line.startswith("rvq-lens: ") and "left out" not in line]
        assert len(told) == 1
        assert told[0].startswith("rvq-lens: rank 1: c")
        assert "expected no fault, found one that was made" in told[0]
        assert not self.out.exists()
        kept = [*self.shards.glob("block_*.npz")]
        assert kept
        clips_kept = sum(len(np.load(path)["lengths"]) for path in kept)
        self.log.unlink(missing_ok=True)
        again = faulty("none")
        assert again.returncode == 0, again.stderr
        assert len(self.log.read_text().split()) == CLIPS - clips_kept  # what was kept is not measured again
        assert content(self.out) == self.wanted
        assert not self.shards.exists()

    def test_a_rank_that_is_killed_is_started_again_and_the_report_is_the_same(self, faulty):
        done = faulty("kill", restarts=1)
        assert self.log.with_name("killed").exists()
        assert done.returncode == 0, done.stderr
        assert content(self.out) == self.wanted

    def test_a_damaged_shard_is_computed_again(self, faulty):
        failed = faulty("raise")
        assert "found one that was made" in failed.stderr, failed.stderr
        kept = sorted(self.shards.glob("block_*.npz"))[0]
        kept.write_bytes(kept.read_bytes()[:-200])
        assert faulty("none").returncode == 0
        assert content(self.out) == self.wanted


def test_bad_input_is_told_once(make_checkpoint, tmp_path):
    (tmp_path / "empty").mkdir()
    given = ["analyze", make_checkpoint(), tmp_path / "empty", "--out", tmp_path / "out", "--device", "cpu"]
    done = on_forked_ranks(2, *given)
    assert done.returncode != 0
    told = [line for line in done.stderr.splitlines() if line.startswith("rvq-lens: ")]
    assert len(told) == 1
    assert "expected motion files" in told[0]


def test_tokens_are_those_of_each_clip(checkpoint, motion, tmp_path):
    done = on_forked_ranks(2, "analyze", checkpoint, motion, "--out", tmp_path / "out", "--device", "cpu")
    assert done.returncode == 0, done.stderr
    report = Report.load(tmp_path / "out")
    assert [len(tokens) for tokens in report.tokens] == report.clips["tokens"].tolist()
    assert report.layers["tokens"].tolist() == [report.clips["tokens"].sum()] * 3
