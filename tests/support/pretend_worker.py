"""The worker with computations that do as they are told, without torch: what they do stands in the request's clips."""

import os
import time

from dashboard.jobs.worker import serve
from rvq_core.errors import ClipError


def perform(request, key, progress) -> None:
    what, *arguments = request.clips
    for step in range(int(arguments[0]) if arguments else 1):
        progress(step, int(arguments[0]) if arguments else 1, f"step {step}")
        if what == "steps":
            time.sleep(0.02)
    if what == "deaf":  # to cancelling: it tells no progress
        time.sleep(600)
    if what == "refuse":
        raise ClipError("walk.npy", expected="motion", found="poetry", do="give motion")
    if what == "mistake":
        raise ZeroDivisionError("secret detail")
    if what == "memory":
        raise MemoryError
    if what == "leave":
        os._exit(3)
    if what == "print":
        os.write(1, b'{"job": 1, "done": true}\n')
        raise ClipError("printed", expected="nothing", found="a line", do="nothing")


if __name__ == "__main__":
    serve(lambda: perform)
