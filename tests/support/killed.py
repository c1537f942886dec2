"""A process that writes the same thing again and again until it is killed."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

fork_only = pytest.mark.skipif(not hasattr(os, "fork") or sys.platform == "darwin", reason="needs a safe fork")


def kill_while_writing(write: Callable[[int], object], folder: Path, seed: int) -> None:
    """Call ``write`` with 0, 1, 2, ... in another process; kill -9 at a random moment after the first is written."""
    child = os.fork()
    if child == 0:
        try:
            for number in range(10**6):
                write(number)
                if number == 0:
                    (folder / "written").touch()
        finally:
            os._exit(1)
    end = time.monotonic() + 60
    while not (folder / "written").exists():
        assert time.monotonic() < end and os.waitpid(child, os.WNOHANG) == (0, 0)
        time.sleep(0.001)
    time.sleep(float(np.random.default_rng(seed).uniform(0, 0.15)))
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status), "it ended by itself: what it writes cannot be written"
    (folder / "written").unlink()
