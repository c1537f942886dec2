"""The worker as the server sees it: started, spoken to, listened to, ended."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

WORKER = "dashboard.jobs.worker"

Heard = Callable[["Process", dict[str, Any]], None]
Exited = Callable[["Process"], None]

ROOT = Path(__file__).resolve().parents[2]


class Process:
    """A running worker. It shares nothing with the server but two pipes, and ends when the server's end closes."""

    def __init__(self, folder: Path, on_message: Heard, on_exit: Exited, *, module: str = WORKER) -> None:
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), *_search_path()]))}
        # As the command line does: threads that wait busily take the turn of the pages.
        environment.setdefault("OMP_WAIT_POLICY", "passive")
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, str(folder)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, text=True, encoding="utf-8",
            start_new_session=True,  # Ctrl-C is for the server, which then closes the pipe
        )  # fmt: skip
        self._listener = threading.Thread(
            target=self._listen, args=(on_message, on_exit), name="rvq-lens worker", daemon=True
        )
        self._listener.start()

    @property
    def number(self) -> int:
        """The system's number of the process."""
        return self._process.pid

    def send(self, message: dict[str, Any]) -> None:
        """Say something; to a worker that is gone, nothing: ``on_exit`` tells of that."""
        assert self._process.stdin is not None
        with contextlib.suppress(OSError, ValueError):
            self._process.stdin.write(json.dumps(message) + "\n")
            self._process.stdin.flush()

    def kill(self) -> None:
        """End it now; ``on_exit`` follows."""
        self._process.kill()

    def wait(self) -> None:
        """Wait until it has ended, and ``on_exit`` has been called."""
        self._listener.join()

    def ended_by(self) -> str | None:
        """The signal that ended it; None where it ended by itself."""
        code = self._process.wait()
        if code >= 0:
            return None
        try:
            return signal.Signals(-code).name
        except ValueError:
            return f"signal {-code}"

    def _listen(self, on_message: Heard, on_exit: Exited) -> None:
        assert self._process.stdin is not None and self._process.stdout is not None
        with self._process.stdout as lines:
            for line in lines:
                on_message(self, json.loads(line))
        with contextlib.suppress(OSError):  # what was said and not heard
            self._process.stdin.close()
        self._process.wait()
        on_exit(self)


def _search_path() -> list[str]:
    return os.environ.get("PYTHONPATH", "").split(os.pathsep)
