import threading
import time

import pytest
import torch

from rvq_core.workers import in_order, one_thread_each


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
