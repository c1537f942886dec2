"""What a page shows while it waits: with jobs that stand still, as the test has them."""

import pytest
from streamlit.testing.v1 import AppTest

from dashboard import data, job_box
from dashboard.jobs import Analysis, Job, JobError, Source, State
from rvq_core.errors import ClipError

NOW = 1000.0
REQUEST = Analysis(Source("m"), ())


class StillJobs:
    """Jobs that stand as they are put in."""

    def __init__(self, *jobs: Job) -> None:
        self.jobs = {job.key: job for job in jobs}
        self.cancelled: list[str] = []

    def find(self, key: str) -> Job | None:
        return self.jobs.get(key)

    def place(self, job: Job) -> int:
        return list(self.jobs.values()).index(job)

    @property
    def running(self) -> Job | None:
        return next((job for job in self.jobs.values() if job.state is State.RUNNING), None)

    def cancel(self, key: str) -> None:
        self.cancelled.append(key)
        self.jobs[key].state = State.CANCELLED
        self.jobs[key].ended.set()

    def forget(self, key: str) -> None:
        del self.jobs[key]


def job(key: str, state: State, *, spent: float = 0, done: int = 0, total: int = 0, error=None) -> Job:
    one = Job(key, f"Analysis of {key}", REQUEST, 1, state=state, done=done, total=total, what="a_walk", error=error)
    one.started = NOW - spent if spent else None
    if state not in (State.WAITING, State.RUNNING):
        one.ended.set()
    return one


@pytest.fixture
def still(monkeypatch):
    monkeypatch.setattr(Job, "seconds", property(lambda job: 0.0 if job.started is None else NOW - job.started))

    def put(*jobs: Job) -> StillJobs:
        kept = StillJobs(*jobs)
        monkeypatch.setattr(data, "jobs", lambda: kept)
        return kept

    return put


def page() -> None:
    import streamlit as st

    from dashboard import data, job_box

    job_box.show([data.jobs().find(key) for key in st.session_state["keys"]], "It was cancelled.")


def open_page(*keys: str) -> AppTest:
    at = AppTest.from_function(page)
    at.session_state["keys"] = list(keys)
    return at.run()


def test_progress_tells_what_how_much_and_how_long_and_can_be_cancelled(still):
    jobs = still(job("b_1", State.RUNNING, spent=10, done=5, total=20))
    at = open_page("b_1")
    (bar,) = at.get("progress")
    assert bar.proto.text == r"Analysis of b\_1 · a\_walk, 5 of 20 · about 30 s left" and bar.proto.value == 25
    (button,) = at.button
    assert button.label == "Cancel"
    button.click().run()
    assert jobs.cancelled == ["b_1"]
    assert [info.value for info in at.info] == ["It was cancelled."]


def test_a_sweep_tells_how_many_are_done(still):
    still(job("a", State.DONE, spent=40), job("b", State.RUNNING, spent=10, done=1, total=2), job("c", State.WAITING))
    at = open_page("a", "b", "c")
    (bar,) = at.get("progress")
    assert bar.proto.text == r"1 of 3 done · Analysis of b · a\_walk, 1 of 2 · about 40 s left"
    assert at.button[0].label == "Cancel all"


def test_a_waiting_job_tells_its_place_and_what_is_before_it(still):
    still(job("other", State.RUNNING, spent=3), job("mine", State.WAITING))
    (bar,) = open_page("mine").get("progress")
    assert bar.proto.text == "Waiting for 1 other; now: Analysis of other"


def test_a_failure_is_a_box_and_only_what_may_go_well_can_be_tried_again(still):
    error = {"expected": "motion", "found": "poetry", "do": "give motion"}
    jobs = still(
        job("user", State.FAILED, error=ClipError("walk.npy", **error)),
        job("killed", State.FAILED, error=JobError("Analysis", **error)),
    )
    at = open_page("user")
    assert "poetry" in at.error[0].value and not at.button
    at = open_page("killed")
    assert "poetry" in at.error[0].value
    at.session_state["keys"] = []
    at.button[0].click().run()
    assert jobs.find("killed") is None


def test_a_cancelled_job_can_be_taken_up_again(still):
    jobs = still(job("a", State.CANCELLED))
    at = open_page("a")
    assert at.info[0].value == "It was cancelled."
    at.session_state["keys"] = []
    at.button[0].click().run()
    assert jobs.find("a") is None


@pytest.mark.parametrize(("seconds", "words"), [(3.4, "3 s"), (89, "89 s"), (150, "2 min"), (3600, "60 min")])
def test_durations(seconds, words):
    assert job_box.duration(seconds) == words
