"""Faults put into functions of a module that is imported already: a try takes as long as the tests that reach it."""

from __future__ import annotations

import gc
import inspect
import json
import os
import signal
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import CodeType, FrameType, FunctionType
from typing import Any

import pytest
from mutants import Mutant

SLOWER, PATIENCE = 4, 10.0
"""A mutant is killed when one test takes so many times as long as without it, and so many seconds more."""

InProcess = Callable[..., bool]
"""Runs work in a process of its own, for so many seconds at most: whether it said yes."""


class InPlace:
    """A plugin of pytest: for each mutant a fork of the process that has collected the tests.

    It runs those tests that reach the mutant's function, the quickest of those that reach its line first.
    """

    def __init__(
        self, file: Path, mutants: list[Mutant], in_process: InProcess, killed: Callable[[int], object]
    ) -> None:
        self.file, self.mutants, self.in_process, self.killed = str(file), mutants, in_process, killed

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """In the place of pytest's own."""
        lines, seconds = self.reached(session)
        functions = [one for one in gc.get_objects() if type(one) is FunctionType and self.is_of(one.__code__)]
        gc.freeze()  # else each fork copies all pages when it looks for garbage
        for number, mutant in enumerate(self.mutants):
            near = [item for item in session.items if is_near(lines[item.nodeid], mutant)]
            order = {item: (mutant.line not in lines[item.nodeid], seconds[item.nodeid]) for item in near}
            near.sort(key=order.__getitem__)
            most = {item: SLOWER * seconds[item.nodeid] + PATIENCE for item in near}
            if near and not self.in_process(partial(self.unseen, functions, mutant, session, most), sum(most.values())):
                self.killed(number)
        return True

    def unseen(
        self, functions: list[FunctionType], mutant: Mutant, session: pytest.Session, most: dict[Any, float]
    ) -> bool:
        """Whether these tests pass on a mutant, each within its seconds, or it cannot be put in place."""
        if not put(functions, self.file, mutant):
            return True
        for item, following in zip(most, [*list(most)[1:], None], strict=True):
            signal.alarm(int(most[item]))
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            if session.testsfailed:
                return False
        return True

    def is_of(self, code: CodeType) -> bool:
        """Whether a function stands in the module."""
        return code.co_filename == self.file

    def reached(self, session: pytest.Session) -> tuple[dict[str, set[int]], dict[str, float]]:
        """The lines of the module's functions that each test runs, and how long it takes, by its id."""
        reading, writing = os.pipe()

        def work() -> bool:
            os.close(reading)
            with os.fdopen(writing, "w") as told:
                json.dump(list(self.traced(session)), told)
            return not session.testsfailed

        found: list[Any] = []

        def listen() -> None:
            os.close(writing)
            with os.fdopen(reading) as told:
                found.extend(json.load(told))

        if not self.in_process(work, 3600.0, listen):
            raise RuntimeError("tests fail on the module as it is")
        return {name: set(lines) for name, lines, _ in found}, {name: taken for name, _, taken in found}

    def traced(self, session: pytest.Session) -> Iterator[tuple[str, list[int], float]]:
        """Id, lines and seconds of each test; threads are followed, other processes are not."""
        lines: set[int] = set()

        def follow(frame: FrameType, event: str, _: object) -> Any:
            if event == "line":
                lines.add(frame.f_lineno)
            return follow

        def enter(frame: FrameType, *_: object) -> Any:
            return follow if self.is_of(frame.f_code) and frame.f_code.co_flags & inspect.CO_OPTIMIZED else None

        for item, following in zip(session.items, [*session.items[1:], None], strict=True):
            lines.clear()
            begun = time.perf_counter()
            threading.settrace(enter)
            sys.settrace(enter)
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            sys.settrace(None)
            yield item.nodeid, sorted(lines), time.perf_counter() - begun


def is_near(lines: set[int], mutant: Mutant) -> bool:
    """Whether a test that runs these lines runs the function that the mutant lies in."""
    return mutant.function is not None and any(mutant.function[0] <= line <= mutant.function[1] for line in lines)


def put(functions: list[FunctionType], file: str, mutant: Mutant) -> bool:
    """Give the functions of a module the mutant's code; False where they cannot be told apart, or need other names."""
    before = codes(compile(Path(file).read_text(encoding="utf-8"), file, "exec"))
    after = codes(compile(mutant.tree, file, "exec"))
    for function in functions:
        key = named(function.__code__)
        if after[key] == before[key]:
            continue
        if len(after[key]) != 1 or after[key][0].co_freevars != function.__code__.co_freevars:
            return False
        function.__code__ = after[key][0]
    return True


def codes(code: CodeType) -> dict[tuple[str, int], list[CodeType]]:
    """Code of all functions in a module, by name and line."""
    found: dict[tuple[str, int], list[CodeType]] = defaultdict(list)
    waiting = [code]
    while waiting:
        one = waiting.pop()
        found[named(one)].append(one)
        waiting += [inner for inner in one.co_consts if isinstance(inner, CodeType)]
    return found


def named(code: CodeType) -> tuple[str, int]:
    """What a function is known by."""
    return code.co_qualname, code.co_firstlineno
