"""Training runs in processes of their own, which can be killed at any moment."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Generator
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch
from forked import begin, fork_context
from torch.distributed import PrefixStore, TCPStore

from rvq_core.clips.clip import Clip
from rvq_core.ranks import Ranks
from rvq_core.training import TrainSettings, train
from rvq_core.training.run import Run

MODEL = {
    "input_dim": 6, "width": 8, "code_dim": 4, "nb_code": 16, "num_quantizers": 3, "depth": 1, "mu": 0.9,
    "quantize_dropout_prob": 0.5,
}  # fmt: skip
RUN = {
    "iterations": 300, "batch_size": 4, "window": 16, "warm_up": 5, "evaluate_every": 10, "snapshot_every": 20,
    "snapshots": 3, "held_out": ("c1",),
}  # fmt: skip


def settings_of(**changed: Any) -> TrainSettings:
    """A tiny run whose codes are reset often and whose layers are dropped often."""
    return TrainSettings().changed(MODEL | RUN | changed, "a test")


def random_walks() -> list[Clip]:
    """Three clips of motion without a skeleton."""
    rng = np.random.default_rng(5)
    walks = [rng.normal(size=(frames, 6)).cumsum(axis=0).astype(np.float32) for frames in (90, 41, 64)]
    return [Clip(f"c{number}", 30.0, walk, "raw") for number, walk in enumerate(walks)]


@contextmanager
def stopped_at(iteration: int) -> Generator[None]:
    """In the block runs are stopped as by Ctrl-C, after so many steps."""
    step = Run.step

    def stop(self: Run):
        if self.iteration == iteration:
            raise KeyboardInterrupt
        return step(self)

    with mock.patch.object(Run, "step", stop), pytest.raises(KeyboardInterrupt):
        yield


def _run(out: Path, settings: TrainSettings, ready: Any, reached: Any) -> None:
    torch.set_num_threads(1)
    step = Run.step

    def told(self: Run):
        losses = step(self)
        reached.value = self.iteration
        return losses

    Run.step = told  # this process does nothing else
    ready.set()
    train(random_walks(), out, settings, quiet=True)


class Trainings:
    """Starts runs of ``settings`` in ``out``; a server that has imported everything starts them at once."""

    def __init__(self, out: Path, settings: TrainSettings) -> None:
        self._context = fork_context()
        self._arguments = (out, settings)

    def whole(self) -> None:
        """One run to its end."""
        process, _ = self._started()
        process.join(120)
        assert process.exitcode == 0

    def killed(self, steps: float, seconds: float) -> int:
        """A run that is killed ``seconds`` after it did so many ``steps``; the step that it had reached, 0 for none."""
        process, reached = self._started()
        first, end = 0, time.monotonic() + 60
        while reached.value - first < steps and process.is_alive() and time.monotonic() < end:
            first = first or max(0, reached.value - 1)
            time.sleep(0.0005)
        time.sleep(seconds)
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
        process.join(60)
        assert process.exitcode == -signal.SIGKILL, "it ended by itself"
        return reached.value

    @contextmanager
    def under_way(self) -> Generator[BaseProcess]:
        """A run that is stopped after its first steps, until it is sent SIGCONT; it is gone after the block."""
        process, reached = self._started()
        try:
            end = time.monotonic() + 60
            while not reached.value and process.is_alive() and time.monotonic() < end:
                time.sleep(0.0005)
            assert process.pid is not None
            os.kill(process.pid, signal.SIGSTOP)
            yield process
        finally:
            process.kill()
            process.join()

    def _started(self) -> tuple[BaseProcess, Any]:
        ready, reached = self._context.Event(), self._context.RawValue("q", 0)
        process = begin(self._context, _run, *self._arguments, ready, reached)
        assert ready.wait(60)
        return process, reached


def run_again_and_again(rank: int, port: int, place: Path, count: int) -> None:
    """As one of two ranks, which meet at ``port``, ``count`` runs of two steps."""
    torch.set_num_threads(1)
    store = TCPStore("127.0.0.1", port, 2, is_master=rank == 0)
    settings = settings_of(iterations=2, evaluate_every=2, snapshot_every=0)
    for number in range(count):
        ranks = Ranks(PrefixStore(str(number), store), rank, 2)
        train(random_walks(), place / str(number), settings, quiet=True, device="cpu", ranks=ranks)


FAULTY = """
import os, signal, sys
from pathlib import Path

import torch

from rvq_core.cli import main
from rvq_core.errors import ClipError
from rvq_core.training.run import Run

step, rank, fault, seen = Run.step, os.environ.get("RANK", "0"), os.environ["FAULT"], Path(os.environ["SEEN"])


def stepped(self):
    if rank == "1" and self.iteration == 95 and os.environ.get("TORCHELASTIC_RESTART_COUNT", "0") == "0":
        if fault == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if fault == "raise":
            raise ClipError("c1", expected="no fault", found="one that was made", do="look at the test")
    losses = step(self)
    if self.iteration == self.settings.iterations:
        torch.save(self.model.state_dict(), seen / f"rank{rank}.pt")
    return losses


Run.step = stepped
main(sys.argv[1:])
"""
"""The command, leaving what each rank has at the end in SEEN; rank 1 ends by FAULT in the 96th step."""
