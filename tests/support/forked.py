"""Processes of their own that begin at once: forked off a server that has imported what they need."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from multiprocessing import forkserver
from multiprocessing.context import ForkServerContext
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest import mock

PRELOADED = (
    "rvq_core.cli", "rvq_core.analysis", "rvq_core.training", "pyarrow.parquet", "torch._dynamo",
    "torch.distributed.run", "ranks", "training_process",
)  # fmt: skip
"""What commands import, some of it when they first need it: seconds."""


def fork_context() -> ForkServerContext:
    """Of ``multiprocessing``, with one thread for torch; the server is the same for all tests of this process."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(PRELOADED))
    told = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "OMP_NUM_THREADS": "1"}
    with mock.patch.dict(os.environ, told):
        forkserver.ensure_running()  # which finds by it what is to be imported
    return context


def begin(context: ForkServerContext, target: Callable[..., object], *arguments: object) -> BaseProcess:
    """A process that calls ``target``."""
    process = context.Process(target=target, args=arguments)
    # It would begin with the main module of this process, where Streamlit's tests leave a page's script.
    with mock.patch.dict(sys.modules, {"__main__": ModuleType("__main__")}):
        process.start()
    return process


def completed(
    target: Callable[..., object], *arguments: object, cwd: Path, environment: Mapping[str, str], timeout: float = 240
) -> subprocess.CompletedProcess[str]:
    """What ``target`` did in a process of its own, as ``subprocess.run`` tells of a command. Raises TimeoutExpired."""
    with tempfile.TemporaryDirectory() as folder:
        told = [Path(folder) / name for name in ("stdout", "stderr")]
        process = begin(fork_context(), _told_to, told, cwd, dict(environment), target, arguments)
        process.join(timeout)
        if process.exitcode is None:
            _end_with_all_that_it_began(process)
            raise subprocess.TimeoutExpired(str(target), timeout, *(path.read_bytes() for path in told))
        out, err = (path.read_text(encoding="utf-8") for path in told)
    return subprocess.CompletedProcess([str(target), *map(str, arguments)], process.exitcode, out, err)


def _end_with_all_that_it_began(process: BaseProcess) -> None:
    assert process.pid is not None
    with suppress(ProcessLookupError):  # it is not the first of a group yet, nor has it begun anything
        os.killpg(process.pid, signal.SIGKILL)
    process.kill()
    process.join()


def _told_to(
    told: list[Path], cwd: Path, environment: dict[str, str], target: Callable[..., object], arguments: tuple[Any, ...]
) -> None:
    os.setsid()
    for number, path in enumerate(told, start=1):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), number)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environment)
    target(*arguments)
