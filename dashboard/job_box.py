"""What a page shows of jobs: progress, place in the queue, time left, a button that stops them; how they ended."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import streamlit as st

from dashboard import components, data
from dashboard.jobs import Job, JobError, State

BETWEEN = 0.4
"""Seconds between two looks at a job."""

AT_ONCE = 0.3
"""Seconds that a page waits for a job before it shows that it waits: short ones do not flicker."""


def show(jobs: Sequence[Job], stopped: str, failed: Callable[[Job], None] | None = None) -> None:
    """Show how jobs stand; when the last one ends, the page begins again.

    ``stopped`` says what is missing where jobs were cancelled, and stands beside the button that takes them up again.
    ``failed`` tells of one that failed; a box with its error, where it is not given.
    """
    going = [job for job in jobs if not job.ended.is_set()]
    if going:
        going[-1].ended.wait(AT_ONCE)
    if any(not job.ended.is_set() for job in going):
        _watch([job.key for job in jobs])
        return
    for job in jobs:
        if job.state is State.FAILED:
            (failed or tell_failed)(job)
    cancelled = [job.key for job in jobs if job.state is State.CANCELLED]
    if cancelled:
        st.info(stopped, icon=":material/block:")
        key = f"after_all_{cancelled[0]}"  # several may be cancelled on one page
        st.button("Analyse after all", key=key, on_click=_again, args=(cancelled,), type="primary")


def tell_failed(job: Job) -> None:
    """The error in its box; a button to try again where the files are not to blame."""
    assert job.error is not None
    components.error_box(job.error)
    if isinstance(job.error, JobError):  # no fault of the files: it may go well the next time
        st.button("Try again", key=f"again_{job.key}", on_click=_again, args=([job.key],), icon=":material/refresh:")


@st.fragment(run_every=BETWEEN)
def _watch(keys: list[str]) -> None:
    """Draw progress, again and again by itself; the rest of the page is not run."""
    known = [job for job in map(data.jobs().find, keys) if job is not None]
    going = [job for job in known if not job.ended.is_set()]
    if not going:
        st.rerun()
    done = len(keys) - len(going)
    now = next((job for job in going if job.state is State.RUNNING), None)
    share = (done + (now.done / max(now.total, 1) if now else 0)) / len(keys)
    st.progress(min(share, 1.0), text=told(known, now))
    st.button("Cancel" if len(going) == 1 else "Cancel all", key=f"cancel_{keys[0]}", on_click=_cancel, args=(keys,))


def told(jobs: Sequence[Job], now: Job | None) -> str:
    """What is going on, in a line: ``now`` is the one of ``jobs`` that runs, if any of them does."""
    if now is None:
        before = min((data.jobs().place(job) for job in jobs if not job.ended.is_set()), default=1)
        running = data.jobs().running
        other = f"; now: {components.escaped(running.title)}" if running is not None else ""
        return f"Waiting for {before} other{'s' if before > 1 else ''}{other}"
    parts = [components.escaped(now.title)]
    if len(jobs) > 1:
        ended = sum(job.ended.is_set() for job in jobs)
        parts.insert(0, f"{ended} of {len(jobs)} done")
    if now.total > 1 and now.done < now.total:
        parts.append(f"{components.escaped(now.what)}, {now.done} of {now.total}")
    elif now.total > 1:
        parts.append("putting the tables together")
    elif now.started is not None:
        parts.append(f"{now.seconds:.0f} s so far")
    left = seconds_left(jobs)
    if left is not None:
        parts.append(f"about {duration(left)} left")
    return " · ".join(parts)


def seconds_left(jobs: Sequence[Job]) -> float | None:
    """Seconds until all of them have ended, if the rest goes as what is done; None while nothing can be said."""
    begun = [job for job in jobs if job.started is not None]
    spent = max((job.seconds for job in begun), default=0.0)
    shares = [1.0 if job.ended.is_set() else job.done / max(job.total, 1) for job in begun]
    share = sum(shares) / len(jobs)
    if spent < 1 or not 0 < share < 1:
        return None
    return spent / share * (1 - share)


def duration(seconds: float) -> str:
    """Seconds, or minutes, in words."""
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"


def _cancel(keys: list[str]) -> None:
    for key in keys:
        data.jobs().cancel(key)


def _again(keys: list[str]) -> None:
    for key in keys:
        data.jobs().forget(key)
