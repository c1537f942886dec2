import multiprocessing
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from rvq_core.workers import in_order, is_waited_for, one_thread_each, shared_out


def test_results_come_in_the_order_of_the_tasks():
    def work(number: int) -> int:
        time.sleep(0.02 * (number % 3))
        return number * number

    for workers in (1, 3):
        assert list(in_order(work, iter(range(9)), workers)) == [(n, n * n) for n in range(9)]


def test_few_tasks_are_begun_before_their_results_are_taken():
    asked: list[int] = []

    def tasks():
        for number in range(20):
            asked.append(number)
            yield number

    found = in_order(lambda number: number, tasks(), 2)
    next(found)
    assert len(asked) <= 4
    found.close()


def test_an_error_of_a_task_is_raised():
    def work(number: int) -> int:
        if number == 2:
            raise ValueError("two")
        return number

    for workers in (1, 2):
        with pytest.raises(ValueError, match="two"):
            list(in_order(work, range(5), workers))


def test_every_worker_computes_with_one_thread_and_afterwards_all_is_as_before():
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        with one_thread_each() as workers:
            assert workers == 3
            found = list(in_order(lambda _: (torch.get_num_threads(), threading.get_ident()), range(6), workers))
            assert {threads for _, (threads, _) in found} == {1}
            assert threading.get_ident() not in {where for _, (_, where) in found}
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


@pytest.fixture
def three_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    assert torch.get_num_threads() == 3
    torch.set_num_threads(before)


@pytest.mark.usefixtures("three_threads")
class TestSharedOut:
    def test_results_stand_in_the_order_of_the_tasks(self):
        def work(number: int) -> int:
            time.sleep(0.01 * (number % 3))
            return number * number

        for workers in (1, 3, 20):
            assert shared_out(work, range(9), workers) == [number * number for number in range(9)]
        assert shared_out(work, [], 3) == []

    def test_as_many_threads_as_were_asked_for_compute_alone_and_stay(self):
        together = threading.Barrier(3)

        def work(_: int) -> int:
            together.wait(10)  # three are at work at once
            assert torch.get_num_threads() == 1
            return threading.get_ident()

        seen = [set(shared_out(work, range(3), 3)) for _ in range(3)]
        assert all(len(threads) == 3 and threading.get_ident() in threads for threads in seen)
        assert len(set.union(*seen)) == 3  # the same ones each time

    def test_this_thread_does_it_all_where_the_others_are_busy(self, monkeypatch):
        with ThreadPoolExecutor(1) as pool:
            monkeypatch.setattr("rvq_core.workers._helpers", lambda _: pool)
            done = threading.Event()
            pool.submit(done.wait, 30)
            found = shared_out(lambda _: threading.get_ident(), range(5), 2)
            done.set()
        assert set(found) == {threading.get_ident()}

    @pytest.mark.parametrize("where", ["here", "elsewhere"])
    def test_an_error_is_raised_and_what_was_begun_ends_first(self, where):
        here, ended = threading.get_ident(), []
        together = threading.Barrier(2)

        def work(number: int) -> None:
            together.wait(10)
            if (threading.get_ident() == here) == (where == "here"):
                raise ValueError("no")
            time.sleep(0.1)
            ended.append(number)

        with pytest.raises(ValueError, match="no"):
            shared_out(work, range(2), 2)
        assert len(ended) == 1
        assert shared_out(lambda number: number, range(4), 2) == [0, 1, 2, 3]

    def test_after_an_error_nobody_goes_on(self):
        together, done = threading.Barrier(2), []

        def work(number: int) -> None:
            if number < 2:
                together.wait(10)
            if number == 1:
                raise ValueError("no")
            time.sleep(0.1)
            done.append(number)

        with pytest.raises(ValueError, match="no"):
            shared_out(work, range(40), 2)
        assert done == [0]

    def test_without_further_threads_this_one_does_it_all(self, monkeypatch):
        pool = ThreadPoolExecutor(1)
        pool.shutdown()
        monkeypatch.setattr("rvq_core.workers._helpers", lambda _: pool)
        assert shared_out(lambda number: (number, threading.get_ident()), range(3), 2) == [
            (number, threading.get_ident()) for number in range(3)
        ]

    def test_a_forked_process_has_threads_of_its_own(self):
        shared_out(lambda number: number, range(4), 2)
        receive, send = multiprocessing.Pipe(duplex=False)
        child = multiprocessing.get_context("fork").Process(target=_both_at_work, args=(send,))
        child.start()
        try:
            assert receive.poll(30) and receive.recv() == 2
        finally:
            child.kill()
            child.join()


def _both_at_work(send) -> None:
    together = threading.Barrier(2)

    def work(_: int) -> int:
        together.wait(20)
        return threading.get_ident()

    send.send(len(set(shared_out(work, range(2), 2))))


def test_a_cpu_is_waited_for_and_a_gpu_is_not():
    assert is_waited_for(torch.device("cpu"))
    assert not any(is_waited_for(torch.device(name)) for name in ("cuda", "mps"))
