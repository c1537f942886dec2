"""The queue of jobs, one at a time in one worker; known by the keys of their results, so found again by any page."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

from dashboard.jobs import errors
from dashboard.jobs.process import WORKER, Process
from dashboard.jobs.requests import Request
from rvq_core.errors import RVQLensError

GRACE = 1.0
"""Seconds that a computation has to notice that it was cancelled, before its process is ended."""

KEPT = 200
"""Jobs that have ended and are remembered: why they failed, that they were cancelled."""


class State(Enum):
    """Where a job stands."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(slots=True, eq=False)
class Job:
    """One computation. ``done`` of ``total`` steps are behind it, ``what`` comes now."""

    key: str
    title: str
    request: Request
    number: int
    state: State = State.WAITING
    done: int = 0
    total: int = 0
    what: str = ""
    started: float | None = None
    error: RVQLensError | None = None
    cancelled: bool = False
    ended: threading.Event = field(default_factory=threading.Event)

    @property
    def seconds(self) -> float:
        """Seconds that it has been running."""
        return 0.0 if self.started is None else time.monotonic() - self.started

    @property
    def seconds_left(self) -> float | None:
        """Seconds that it will still take, if the rest is like what is done; None while nothing can be said."""
        if not 0 < self.done < self.total or self.seconds < 1:
            return None
        return self.seconds / self.done * (self.total - self.done)


class Jobs:
    """The queue and its worker, of all sessions of a server. Every method may be called from any thread."""

    def __init__(self, folder: Path, *, worker: str = WORKER) -> None:
        self._folder = folder
        self._module = worker
        self._lock = threading.RLock()
        self._jobs: OrderedDict[str, Job] = OrderedDict()
        self._waiting: list[Job] = []
        self._running: Job | None = None
        self._worker: Process | None = None
        self._closed = False
        self._count = 0

    def submit(self, key: str, title: str, request: Request) -> Job:
        """Ask for a result; joins the job that is already on its way to it."""
        with self._lock:
            job = self._jobs.get(key)
            if job is not None and not job.ended.is_set():
                return job
            self._count += 1
            job = self._jobs[key] = Job(key, title, request, self._count)
            self._jobs.move_to_end(key)
            self._waiting.append(job)
            self._next()
            return job

    def find(self, key: str) -> Job | None:
        """The job of this key, as long as it is remembered."""
        return self._jobs.get(key)

    def place(self, job: Job) -> int:
        """Jobs before it: 0 for the one that runs."""
        with self._lock:
            return self._waiting.index(job) + 1 if job in self._waiting else 0

    def cancel(self, key: str) -> None:
        """Stop a job, for everyone who waits for it; a computation that does not notice is ended with its process."""
        with self._lock:
            job = self._jobs.get(key)
            if job is None or job.ended.is_set():
                return
            job.cancelled = True
            if job in self._waiting:
                self._waiting.remove(job)
                self._end(job, State.CANCELLED)
            elif self._worker is not None:
                self._worker.send({"cancel": job.number})
                timer = threading.Timer(GRACE, self._kill_if_still, (job, self._worker))
                timer.daemon = True
                timer.start()

    def forget(self, key: str) -> None:
        """Forget a job that has ended, so that the next page asks for it anew."""
        with self._lock:
            job = self._jobs.get(key)
            if job is not None and job.ended.is_set():
                del self._jobs[key]

    def warm(self) -> None:
        """Have a worker ready."""
        with self._lock:
            if self._worker is None and not self._closed:
                self._worker = Process(self._folder, self._heard, self._exited, module=self._module)

    def close(self) -> None:
        """End the worker, and with it what it is doing."""
        with self._lock:
            self._closed = True
            worker = self._worker
        if worker is not None:
            worker.kill()
            worker.wait()

    @property
    def running(self) -> Job | None:
        """The job that is computed now."""
        return self._running

    @property
    def worker(self) -> int | None:
        """The system's number of the worker; None where there is none."""
        return None if self._worker is None else self._worker.number

    def _next(self) -> None:
        """Begin the job that waits longest, if none is running."""
        if self._running is not None or not self._waiting or self._closed:
            return
        self.warm()
        assert self._worker is not None
        job = self._running = self._waiting.pop(0)
        job.state, job.started = State.RUNNING, time.monotonic()
        self._worker.send({"job": job.number, "key": job.key, "title": job.title, "request": job.request.told})

    def _heard(self, worker: Process, message: dict[str, Any]) -> None:
        with self._lock:
            job = self._running
            if worker is not self._worker or job is None or message.get("job") != job.number:
                return
            if "progress" in message:
                job.done, job.total, job.what = message["progress"]
            elif "done" in message:
                self._end(job, State.DONE)
            elif "cancelled" in message:
                self._end(job, State.CANCELLED)
            else:
                job.error = errors.from_message(message)
                self._end(job, State.FAILED)

    def _exited(self, worker: Process) -> None:
        with self._lock:
            if worker is not self._worker:
                return
            self._worker = None
            job = self._running
            if job is None:
                return
            if job.cancelled:
                self.warm()  # for the next one
                self._end(job, State.CANCELLED)
            else:
                job.error = errors.ended(job.title, worker.ended_by())
                self._end(job, State.FAILED)

    def _kill_if_still(self, job: Job, worker: Process) -> None:
        with self._lock:
            if self._running is job and self._worker is worker:
                worker.kill()

    def _end(self, job: Job, state: State) -> None:
        job.state = state
        job.ended.set()
        if self._running is job:
            self._running = None
        ended = [key for key, one in self._jobs.items() if one.ended.is_set()]
        for key in ended[:-KEPT]:
            del self._jobs[key]
        self._next()
