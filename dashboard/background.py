"""Long computations behind the pages: one at a time, each under a name, found again by any run of the page."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(slots=True, eq=False)
class Job:
    """One computation. It calls nothing of Streamlit: its thread belongs to no session."""

    started: float = field(default_factory=time.monotonic)
    done: threading.Event = field(default_factory=threading.Event)
    error: Exception | None = None

    @property
    def seconds(self) -> float:
        """Seconds since it was asked for."""
        return time.monotonic() - self.started


class BackgroundJobs:
    """Jobs by name. Numba's threads do not bear two computations at once, so each waits for the one before."""

    def __init__(self) -> None:
        self._jobs: dict[str, Job] = {}
        self._one_at_a_time = threading.Lock()

    def start(self, name: str, compute: Callable[[], object]) -> Job:
        """Begin ``compute`` unless a job of this name is going on."""
        job = self._jobs.get(name)
        if job is None or job.done.is_set():
            job = self._jobs[name] = Job()
            # A daemon: Ctrl-C ends the dashboard without waiting for it.
            threading.Thread(target=self._run, args=(job, compute), name=f"rvq-lens {name[:8]}", daemon=True).start()
        return job

    def get(self, name: str) -> Job | None:
        """Job of this name, going on or done, or None."""
        return self._jobs.get(name)

    def _run(self, job: Job, compute: Callable[[], object]) -> None:
        try:
            with self._one_at_a_time:
                compute()
        except Exception as error:  # whatever it is, the page that waits must hear of it
            job.error = error
        finally:
            job.done.set()
