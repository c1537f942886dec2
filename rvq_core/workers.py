"""Who computes: work shared out to threads, each of which computes alone, so results do not depend on how many.

Matrix products and convolutions round differently with each number of threads that share one of them. So a
computation gets one thread, and threads beside each other get different clips.
"""

from __future__ import annotations

import functools
import os
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
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


def shared_out(work: Callable[[Task], Result], tasks: Sequence[Task], workers: int) -> list[Result]:
    """What ``work`` makes of each task, by this thread and ``workers`` - 1 others; for tasks of milliseconds.

    The others stay for the next call, as those do that share torch's own computations. Where there are none to be had,
    or they are busy with another call, this thread does it all.
    """
    if workers == 1 or len(tasks) == 1:
        return [work(task) for task in tasks]
    left = deque(enumerate(tasks))
    done: dict[int, Result] = {}

    def take() -> None:
        torch.set_num_threads(1)
        while True:
            try:
                number, task = left.popleft()
            except IndexError:
                return
            try:
                done[number] = work(task)
            except BaseException:
                left.clear()  # nobody goes on
                raise

    before = torch.get_num_threads()
    others: list[Future[None]] = []
    try:
        with suppress(RuntimeError):  # no further thread: the program ends, or has as many as it may have
            for _ in range(min(workers, len(tasks)) - 1):
                others.append(_helpers(workers - 1).submit(take))
        take()
    finally:
        left.clear()
        begun = [other for other in others if not other.cancel()]
        try:
            wait(begun)
        finally:
            torch.set_num_threads(before)  # what others set is in part the whole process's
    for other in begun:
        other.result()
    return [done[number] for number in range(len(tasks))]


@functools.cache
def _helpers(threads: int) -> ThreadPoolExecutor:
    """Threads that stay: no more than that, though a pool makes one where those that it has have only just ended."""
    return ThreadPoolExecutor(threads, "helper")


if hasattr(os, "register_at_fork"):  # a process that was forked has none of the threads
    os.register_at_fork(after_in_child=_helpers.cache_clear)


def is_waited_for(device: torch.device) -> bool:
    """Whether this program waits for what a device computes; others go on by themselves, which to ask them ends."""
    return device.type == "cpu"
