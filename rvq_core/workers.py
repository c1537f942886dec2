"""Work shared out to threads, each of which computes alone: results do not depend on how many there are.

Matrix products and convolutions round differently with each number of threads that share one of them. So a
computation gets one thread, and threads beside each other get different clips.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import torch
from threadpoolctl import threadpool_limits

MOST_WORKERS = 8
"""Clips in work at once, however many cores there are: each takes memory."""

Task = TypeVar("Task")
Result = TypeVar("Result")


@contextmanager
def one_thread_each() -> Generator[int]:
    """One thread for each computation, in torch and in numpy's and scipy's linear algebra, until the block ends.

    Gives how many workers may compute beside each other: as many threads as torch had before.
    """
    before = torch.get_num_threads()
    with threadpool_limits(limits=1):
        torch.set_num_threads(1)
        try:
            yield min(before, MOST_WORKERS)
        finally:
            torch.set_num_threads(before)


def in_order(work: Callable[[Task], Result], tasks: Iterable[Task], workers: int) -> Iterator[tuple[Task, Result]]:
    """Each task and what ``work`` makes of it, in the order of the tasks; a few more than ``workers`` are begun."""
    if workers == 1:
        for task in tasks:
            yield task, work(task)
        return
    # A new thread would take as many threads of its own as the machine has, whatever was said in this one.
    with ThreadPoolExecutor(workers, "clips", initializer=lambda: torch.set_num_threads(1)) as pool:
        begun: deque[tuple[Task, Future[Result]]] = deque()
        try:
            for task in tasks:
                begun.append((task, pool.submit(work, task)))
                if len(begun) > workers:
                    first, future = begun.popleft()
                    yield first, future.result()
            for first, future in begun:
                yield first, future.result()
        finally:
            for _, future in begun:
                future.cancel()


def side_by_side(work: Callable[[Task], Result], tasks: Iterable[Task], workers: int) -> Iterator[tuple[Task, Result]]:
    """``in_order`` where this thread goes on afterwards with as many threads for one computation as before."""
    before = torch.get_num_threads()
    try:
        yield from in_order(work, tasks, workers)
    finally:
        if workers > 1:
            torch.set_num_threads(before)  # what its threads set is in part the whole process's
