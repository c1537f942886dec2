"""Many users at once: clients walk all pages of one server while a long job runs; what waits, what fails, what grows.

    python benchmarks/load.py [--clients 20] [--minutes 5] [--pause 10]

Each client is a web socket that asks for pages as Streamlit's own script in a browser does, and reads all that comes
back: what is measured is the server, without twenty browsers on its two cores. A page's time runs from the request to
the end of its run; then its reader looks at it for a while. After a fifth of the time one more client asks for an
analysis that nobody has made. On 127.0.0.1 only.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import os
import random
import statistics
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from memory import NOW, resident
from served import ROOT, serving
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.asyncio.client import connect

PAGES = ("", "usage", "codebook_map", "code", "reconstruction", "clip", "compare", "training", "export", "docs")
CHECKPOINTS = ("healthy", "shared", "collapsed")
HEAVY = "published-size"
SECONDS_EACH = 120.0


@dataclass
class Found:
    """What came of it: seconds by page, complaints, and the server's memory in MB by second."""

    spent: dict[str, list[float]] = field(default_factory=lambda: {page: [] for page in PAGES})
    complaints: Counter[str] = field(default_factory=Counter)
    memory: list[tuple[float, float]] = field(default_factory=list)
    heavy: float | None = None


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clients", type=int, default=20)
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--pause", type=float, default=10.0, help="seconds that a client looks at a page, on average")
    told = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["RVQ_LENS_STORE"] = str(Path(folder) / "store")
        with serving(ROOT / "dashboard" / "app.py", Path(folder)) as (address, process):
            found = asyncio.run(load(address.removeprefix("http://"), process.pid, told))
    show(found, told)
    sys.exit(1 if found.complaints else 0)


async def load(host: str, number: int, told: argparse.Namespace) -> Found:
    """All clients until the time is over."""
    found = Found()
    async with opened(host) as first:  # what all look at is analysed before the clock starts
        for name in CHECKPOINTS:
            await until_charts(first, name)
    end = time.monotonic() + 60 * told.minutes
    walks = [walk(host, seed, end, told.pause, found) for seed in range(told.clients)]
    await asyncio.gather(*walks, watch(number, end, found), analyse(host, end - 60 * told.minutes * 0.8, found))
    return found


def opened(host: str) -> Any:
    """A web socket as the page's script opens it."""
    return connect(f"ws://{host}/_stcore/stream", origin=f"http://{host}", subprotocols=["streamlit"], max_size=None)


async def ask(socket: Any, page: str, query: str) -> tuple[float, bool, str]:
    """Ask for a page: seconds until its run has ended, whether it has a chart, and what went wrong, if anything."""
    message = BackMsg()
    message.rerun_script.page_name = page
    message.rerun_script.query_string = query
    begun, charts, wrong = time.perf_counter(), False, ""
    await socket.send(message.SerializeToString())
    while True:
        answer = ForwardMsg.FromString(await asyncio.wait_for(socket.recv(), SECONDS_EACH))
        kind = answer.WhichOneof("type")
        element = answer.delta.new_element.WhichOneof("type") if kind == "delta" else None
        if element == "exception":
            wrong = answer.delta.new_element.exception.message
        charts |= element == "plotly_chart"
        if kind == "script_finished" and answer.script_finished in (
            ForwardMsg.FINISHED_SUCCESSFULLY, ForwardMsg.FINISHED_WITH_COMPILE_ERROR,
        ):  # fmt: skip
            if answer.script_finished != ForwardMsg.FINISHED_SUCCESSFULLY:
                wrong = "the run did not end well"
            return time.perf_counter() - begun, charts, wrong


async def until_charts(socket: Any, name: str) -> None:
    """Ask for the errors of a checkpoint until they are there."""
    while not (await ask(socket, "reconstruction", f"checkpoint={name}&clips=bundled"))[1]:
        await asyncio.sleep(1)


async def walk(host: str, seed: int, end: float, pause: float, found: Found) -> None:
    """One client: page after page of a checkpoint, in an order of its own; now and then it opens a new window."""
    drawn = random.Random(seed)
    while time.monotonic() < end:
        name = drawn.choice(CHECKPOINTS)
        pages = drawn.sample(PAGES, len(PAGES))
        try:
            async with opened(host) as socket:
                for page in itertools.takewhile(lambda _: time.monotonic() < end, pages):
                    spent, _, wrong = await ask(socket, page, f"checkpoint={name}&clips=bundled")
                    found.spent[page].append(spent)
                    if wrong:
                        found.complaints[f"{page or 'overview'}: {wrong}"] += 1
                    await asyncio.sleep(drawn.uniform(0, 2 * pause))
        except (OSError, TimeoutError) as error:
            found.complaints[f"{type(error).__name__}: {error}"] += 1


async def watch(number: int, end: float, found: Found) -> None:
    """The server's memory, once a second."""
    begun = time.monotonic()
    while time.monotonic() < end:
        found.memory.append((time.monotonic() - begun, resident(NOW, number) / 1e6))
        await asyncio.sleep(1)


async def analyse(host: str, begin: float, found: Found) -> None:
    """The long job beside all that."""
    await asyncio.sleep(max(0.0, begin - time.monotonic()))
    begun = time.monotonic()
    async with opened(host) as socket:
        await until_charts(socket, HEAVY)
    found.heavy = time.monotonic() - begun


def show(found: Found, told: argparse.Namespace) -> None:
    """Print what was measured."""
    spent = [seconds for page in found.spent.values() for seconds in page]
    print(f"{told.clients} clients, {told.minutes:g} minutes, a pause of {told.pause:g} s: {len(spent):,} pages")
    print("\n| page | opened | s, median | s, 95 % | slowest |\n|---|---:|---:|---:|---:|")
    for name, each in [*found.spent.items(), ("all", spent)]:
        if each:
            high = sorted(each)[int(0.95 * (len(each) - 1))]
            row = f"| {len(each):,} | {statistics.median(each):.2f} | {high:.2f} | {max(each):.2f} |"
            print(f"| {name or 'overview'} {row}")
    last = found.memory[-1][0]
    at = [min(found.memory, key=lambda one: abs(one[0] - share * last))[1] for share in (0, 0.2, 0.4, 0.6, 0.8, 1)]
    print("\nmemory of the server, MB, at fifths of the time: " + ", ".join(f"{size:.0f}" for size in at))
    print(f"an analysis begun after a fifth of the time took {found.heavy or float('nan'):.0f} s")
    print("complaints: " + (", ".join(f"{what} ({n})" for what, n in found.complaints.items()) or "none"))


if __name__ == "__main__":
    main()
