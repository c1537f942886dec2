"""A Streamlit server of one's own and the browser that looks at it, for what is measured or pictured there."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

PATIENCE = 180_000
"""Milliseconds that a page may take before it counts as stuck."""


@contextmanager
def server(app: Path, home: Path) -> Iterator[str]:
    """The address of a Streamlit server of ``app`` with a home of its own."""
    with serving(app, home) as (address, _):
        yield address


@contextmanager
def serving(app: Path, home: Path) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """As ``server``, and the process that serves."""
    home.mkdir(parents=True, exist_ok=True)
    port = free_port()
    environment = os.environ | {"HOME": str(home), "XDG_CACHE_HOME": str(home), "OMP_WAIT_POLICY": "passive"}
    command = [sys.executable, "-m", "streamlit", "run", str(app), "--server.port", str(port),
               "--server.headless", "true", "--server.fileWatcherType", "none"]  # fmt: skip
    process = subprocess.Popen(command, cwd=home, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for(port, process, f"the server of {app.name}")
        yield f"http://127.0.0.1:{port}", process
    finally:
        process.terminate()
        process.wait(20)


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(port: int, process: subprocess.Popen[bytes], what: str) -> None:
    """Wait until the port of ``process`` answers; ends the program where that, ``what``, has ended."""
    while process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.02)
    sys.exit(f"{what} ended with {process.returncode}")


def chromium() -> str:
    """Path of an installed Chromium."""
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    return found or sys.exit("expected an installed Chromium, found none; install the package chromium")
