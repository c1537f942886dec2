"""The process that computes: requests come in as lines of JSON, progress and ends go out; it dies with its server.

Started by ``process.Process`` as ``python -m dashboard.jobs.worker FOLDER``; torch is imported before it says that it
is ready.
"""

from __future__ import annotations

import json
import os
import queue
import sys
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

from dashboard.jobs import errors
from dashboard.jobs.requests import Request, request_of
from rvq_core.errors import RVQLensError

BETWEEN = 0.1
"""Seconds between two messages on progress."""

NICENESS = 5
"""Pages come first where both want the processor."""

Send = Callable[[dict[str, Any]], None]
Progress = Callable[[int, int, str], None]
Perform = Callable[[Request, str, Progress], None]


class Cancelled(Exception):  # noqa: N818 - a decision, not an error
    """The server no longer wants the result."""


class Desk:
    """What has come in: requests in a queue, and the number of the job that was cancelled last."""

    def __init__(self) -> None:
        self.requests: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self.cancelled = -1

    def listen(self, lines: TextIO) -> None:
        """Take in what the server says; when it is gone, so is this process, whatever it is doing."""
        for line in lines:
            message = json.loads(line)
            if "cancel" in message:
                self.cancelled = message["cancel"]
            else:
                self.requests.put(message)
        os._exit(0)


def main() -> None:
    """Serve requests of the dashboard, whose store is the folder that the command line names."""
    serve(_performer)


def _performer() -> Perform:
    from dashboard.jobs.perform import Performer  # imports torch
    from dashboard.store import Store

    return Performer(Store(Path(sys.argv[1]))).perform


def serve(prepare: Callable[[], Perform]) -> None:
    """Do what the server asks, one request after another, until it goes; ``prepare`` gives what does it."""
    send = _take_output()
    desk = Desk()
    threading.Thread(target=desk.listen, args=(sys.stdin,), daemon=True).start()
    if hasattr(os, "nice"):
        os.nice(NICENESS)
    perform = prepare()
    send({"ready": True})
    while True:
        message = desk.requests.get()
        number = message["job"]
        progress = _progress(send, number, lambda number=number: desk.cancelled == number)
        send({"job": number, **_outcome(perform, message, progress)})


def _outcome(perform: Perform, message: dict[str, Any], progress: Progress) -> dict[str, Any]:
    """How a job ended."""
    title = message["title"]
    try:
        perform(request_of(message["request"]), message["key"], progress)
    except Cancelled:
        return {"cancelled": True}
    except Exception as error:  # whatever it is, the page that waits must hear of it
        return errors.to_message(told(error, title))
    return {"done": True}


def told(error: Exception, title: str) -> RVQLensError:
    """An error as a page can show it; a mistake of ours goes to the terminal with the place where it happened."""
    if isinstance(error, RVQLensError):
        return error
    if isinstance(error, MemoryError) or "allocate memory" in str(error):  # the second is torch's
        return errors.out_of_memory(title)
    if isinstance(error, OSError):
        return errors.no_room(title, error)
    traceback.print_exception(error)
    return errors.unknown(title, error)


def _progress(send: Send, number: int, is_cancelled: Callable[[], bool]) -> Progress:
    """Progress that goes to the server, not too often, and ends the job where that was asked for."""
    sent = -BETWEEN

    def tell(done: int, total: int, what: str) -> None:
        nonlocal sent
        if is_cancelled():
            raise Cancelled
        now = time.monotonic()
        if now - sent >= BETWEEN or done == total:
            sent = now
            send({"job": number, "progress": [done, total, what]})

    return tell


def _take_output() -> Send:
    """Keep the standard output for messages alone: what anything prints goes to the terminal with the errors."""
    messages = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())

    def send(message: dict[str, Any]) -> None:
        messages.write(json.dumps(message) + "\n")
        messages.flush()

    return send


if __name__ == "__main__":
    main()
