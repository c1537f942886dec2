"""Jobs that are done the moment they are asked for, in the test's own process: pages without a worker."""

import time
from pathlib import Path

from dashboard.jobs import Job, State, errors
from dashboard.jobs.perform import Performer
from dashboard.jobs.requests import request_of
from dashboard.jobs.worker import told
from dashboard.store import Store
from rvq_core.errors import RVQLensError


class JobsAtOnce:
    """As ``dashboard.jobs.Jobs``; requests pass through JSON's values as they would on their way to the worker."""

    running = None
    all_cancelled = False
    """Whether whatever is asked for is cancelled at once."""

    def __init__(self, folder: Path) -> None:
        self._performer = Performer(Store(folder))
        self._jobs: dict[str, Job] = {}

    def submit(self, key: str, title: str, request) -> Job:
        job = self._jobs[key] = Job(key, title, request, len(self._jobs), started=time.monotonic())
        job.state = State.CANCELLED if self.all_cancelled else State.DONE
        try:
            if not self.all_cancelled:
                self._performer.perform(request_of(request.told), key, lambda *_: None)
        except Exception as error:
            job.state, job.error = State.FAILED, self._as_on_the_page(error, title)
        job.ended.set()
        return job

    def _as_on_the_page(self, error: Exception, title: str) -> RVQLensError:
        return errors.from_message(errors.to_message(told(error, title)))

    def find(self, key: str) -> Job | None:
        return self._jobs.get(key)

    def forget(self, key: str) -> None:
        self._jobs.pop(key, None)

    def cancel(self, key: str) -> None:
        """Nothing is ever on its way."""

    def warm(self) -> None:
        """Nothing has to be."""
