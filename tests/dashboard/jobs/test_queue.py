"""The queue with a worker that computes nothing: a real process, real pipes, real signals."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from dashboard.jobs import Analysis, Job, JobError, Jobs, Source, State, queue
from rvq_core.errors import ClipError

SUPPORT = Path(__file__).resolve().parents[2] / "support"


@pytest.fixture
def jobs(tmp_path: Path, monkeypatch) -> Iterator[Jobs]:
    monkeypatch.setenv("PYTHONPATH", str(SUPPORT))
    running = Jobs(tmp_path, worker="pretend_worker")
    yield running
    running.close()


def ask(jobs: Jobs, *what: str, key: str = "") -> Job:
    return jobs.submit(key or " ".join(what), f"job {what[0]}", Analysis(Source("model.pt"), what))


def wait(job: Job) -> State:
    assert job.ended.wait(60), job
    return job.state


def until(condition) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_job_is_done_and_tells_how_far_it_is(jobs):
    job = ask(jobs, "steps", "100")
    until(lambda: job.state is State.RUNNING and job.done > 0)
    assert job.total == 100 and job.what.startswith("step ")
    assert jobs.running is job and jobs.place(job) == 0
    assert wait(job) is State.DONE
    assert jobs.running is None


def test_who_asks_for_the_same_joins_the_job_on_its_way(jobs):
    job = ask(jobs, "steps", "30")
    assert ask(jobs, "steps", "30") is job and jobs.find("steps 30") is job
    assert wait(job) is State.DONE
    assert ask(jobs, "steps", "30") is not job


def test_jobs_are_done_in_the_order_that_they_were_asked_for(jobs):
    first, second, third = (ask(jobs, "steps", "20", key=key) for key in "abc")
    assert [jobs.place(job) for job in (first, second, third)] == [0, 1, 2]
    assert wait(second) is State.DONE
    assert first.ended.is_set() and jobs.place(third) == 0
    assert wait(third) is State.DONE


def test_a_waiting_job_is_cancelled_and_the_others_go_on(jobs):
    first, second, third = (ask(jobs, "steps", "20", key=key) for key in "abc")
    jobs.cancel("b")
    assert wait(second) is State.CANCELLED
    assert jobs.place(third) == 1
    assert wait(first) is State.DONE and wait(third) is State.DONE


def test_a_running_job_that_tells_progress_is_cancelled_without_a_new_worker(jobs):
    job = ask(jobs, "steps", "100000")
    until(lambda: job.done > 0)
    worker = jobs.worker
    jobs.cancel(job.key)
    assert wait(job) is State.CANCELLED
    assert wait(ask(jobs, "steps", "1")) is State.DONE
    assert jobs.worker == worker


def test_a_computation_that_does_not_notice_is_really_stopped(jobs, monkeypatch):
    monkeypatch.setattr(queue, "GRACE", 0.1)
    job, following = ask(jobs, "deaf"), ask(jobs, "steps", "1")
    until(lambda: job.total == 1)
    worker = jobs.worker
    jobs.cancel(job.key)
    assert wait(job) is State.CANCELLED
    until(lambda: not is_alive(worker))
    assert wait(following) is State.DONE
    assert jobs.worker not in (None, worker)


def test_a_killed_worker_is_told_as_such_and_the_next_job_gets_a_new_one(jobs):
    job, following = ask(jobs, "deaf"), ask(jobs, "steps", "1")
    until(lambda: job.total == 1)
    os.kill(jobs.worker, signal.SIGKILL)
    assert wait(job) is State.FAILED
    assert isinstance(job.error, JobError)
    assert all(word in str(job.error) for word in ("job deaf", "SIGKILL", "memory"))
    assert wait(following) is State.DONE


def test_an_idle_worker_that_is_killed_is_replaced(jobs):
    assert wait(ask(jobs, "steps", "1")) is State.DONE
    os.kill(jobs.worker, signal.SIGKILL)
    until(lambda: jobs.worker is None)
    assert wait(ask(jobs, "steps", "2")) is State.DONE


def test_a_worker_that_leaves_is_not_said_to_lack_memory(jobs):
    job = ask(jobs, "leave")
    assert wait(job) is State.FAILED
    assert "stopped" in str(job.error) and "memory" not in str(job.error)


def test_an_error_of_the_user_arrives_whole(jobs):
    job = ask(jobs, "refuse")
    assert wait(job) is State.FAILED
    assert type(job.error) is ClipError
    assert str(job.error) == "walk.npy: expected motion, found poetry; give motion"


def test_a_mistake_of_ours_arrives_without_its_details(jobs, capfd):
    job = ask(jobs, "mistake")
    assert wait(job) is State.FAILED
    assert isinstance(job.error, JobError)
    assert "ZeroDivisionError" in str(job.error) and "secret" not in str(job.error)
    assert "secret detail" in capfd.readouterr().err


def test_too_little_memory_is_told(jobs):
    job = ask(jobs, "memory")
    assert wait(job) is State.FAILED
    assert "expected enough memory" in str(job.error)


def test_what_a_computation_prints_is_no_message(jobs):
    job = ask(jobs, "print")
    assert wait(job) is State.FAILED
    assert job.error is not None and job.error.where == "printed"


def test_an_ended_job_is_remembered_until_it_is_forgotten(jobs):
    job = ask(jobs, "refuse")
    wait(job)
    assert jobs.find("refuse") is job
    jobs.forget("refuse")
    assert jobs.find("refuse") is None


def test_only_so_many_ended_jobs_are_remembered(jobs, monkeypatch):
    monkeypatch.setattr(queue, "KEPT", 3)
    for number in range(6):
        wait(ask(jobs, "steps", "1", key=str(number)))
    assert [jobs.find(str(number)) is not None for number in range(6)] == [False] * 3 + [True] * 3


def test_time_left_is_told_once_something_is_done():
    job = Job("k", "t", Analysis(Source("m"), ()), 1)
    assert job.seconds == 0 and job.seconds_left is None
    job.started, job.done, job.total = time.monotonic() - 10, 5, 20
    assert job.seconds_left == pytest.approx(30, abs=0.5)


@pytest.mark.parametrize("busy", [False, True])
def test_the_worker_dies_with_its_server(tmp_path: Path, busy):
    script = textwrap.dedent(
        f"""
        import os, signal, sys, time
        from pathlib import Path
        from dashboard.jobs import Analysis, Jobs, Source
        jobs = Jobs(Path({str(tmp_path)!r}), worker="pretend_worker")
        jobs.warm()
        if {busy}:
            job = jobs.submit("k", "t", Analysis(Source("m"), ("deaf",)))
            while not job.total:
                time.sleep(0.01)
        print(jobs.worker, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
        """
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(SUPPORT), str(SUPPORT.parents[1])])}
    done = subprocess.run([sys.executable, "-c", script], env=environment, stdout=subprocess.PIPE, timeout=60)
    worker = int(done.stdout)
    until(lambda: not is_alive(worker))


def is_alive(process: int) -> bool:
    """Whether it runs: one that has ended and whose parent did not ask yet does not."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False
