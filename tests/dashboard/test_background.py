import threading

from dashboard.background import BackgroundJobs


def test_a_job_is_begun_once_and_found_by_its_name():
    jobs, gate, calls = BackgroundJobs(), threading.Event(), []
    job = jobs.start("one", lambda: (calls.append(1), gate.wait(5)))
    assert jobs.start("one", lambda: calls.append(2)) is job
    gate.set()
    assert job.done.wait(5)
    assert calls == [1]
    assert jobs.get("one") is job
    assert jobs.get("two") is None


def test_an_error_is_kept_and_the_job_can_be_begun_again():
    jobs = BackgroundJobs()
    failed = jobs.start("one", lambda: 1 / 0)
    assert failed.done.wait(5)
    assert isinstance(failed.error, ZeroDivisionError)
    again = jobs.start("one", lambda: None)
    assert again.done.wait(5)
    assert again.error is None


def test_jobs_run_one_at_a_time():
    jobs, running, most = BackgroundJobs(), [0], [0]
    pause = threading.Event()

    def work() -> None:
        running[0] += 1
        most[0] = max(most[0], running[0])
        pause.wait(0.02)
        running[0] -= 1

    started = [jobs.start(str(number), work) for number in range(5)]
    assert all(job.done.wait(5) for job in started)
    assert most == [1]
