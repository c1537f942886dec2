"""How long each page takes, and what it sends, with large things: 8 x 8,192 codes on 5,000 clips, and 50 checkpoints.

    python benchmarks/large_data.py DATA
    python benchmarks/bench_large.py DATA [--store FOLDER] [--only large|sweep]

First all is analysed, which takes a while (FOLDER keeps it for the next time). Then every page is opened in a new tab
of a server that has the reports: seconds until all charts are drawn and the run has ended, and the bytes that came over
the page's socket. Needs an installed Chromium.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright
from served import PATIENCE, ROOT, chromium, server

PAGES = ("overview", "usage", "codebook_map", "code", "reconstruction", "clip", "compare", "training", "export")
ALL = "?checkpoint=run_00.safetensors&" + "&".join(f"compare=run_{number:02d}.safetensors" for number in range(1, 50))
SOME_HOURS = 4 * 3600 * 1000
READY = """() => {
    const plots = [...document.querySelectorAll('.js-plotly-plot')];
    const busy = document.querySelector('[data-testid="stStatusWidget"], [data-testid="stSkeleton"]');
    const titled = document.querySelector('h1');
    return titled && !busy && plots.every(plot => plot._fullData?.length);
}"""


def main() -> None:
    """Measure and print a table for each folder of data."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="what large_data.py wrote")
    parser.add_argument("--store", type=Path, help="where results are kept (default: a temporary folder)")
    parser.add_argument("--only", choices=("large", "sweep"))
    told = parser.parse_args()
    with sync_playwright() as session, tempfile.TemporaryDirectory() as folder:
        os.environ["RVQ_LENS_STORE"] = str((told.store or Path(folder) / "store").resolve())
        browser = session.chromium.launch(executable_path=chromium(), args=["--no-sandbox", "--disable-gpu"])
        for name in ("large", "sweep"):
            if told.only in (None, name):
                os.environ["RVQ_LENS_CHECKPOINTS"] = str((told.data / name).resolve())
                if name == "large":
                    os.environ["RVQ_LENS_CLIPS"] = str((told.data / "clips").resolve())
                else:
                    os.environ.pop("RVQ_LENS_CLIPS", None)
                measure(browser, name, Path(folder) / name)
        browser.close()


def measure(browser: Browser, name: str, home: Path) -> None:
    """Analyse, then open every page and print what it took."""
    pages = ("compare",) if name == "sweep" else PAGES
    with server(ROOT / "dashboard" / "app.py", home) as address:
        analyse(browser, address, sweep=name == "sweep")
        print(f"\n| {name} | s | MB |\n|---|---:|---:|")
        for page in pages:
            seconds, sent = open_page(browser, f"{address}/{page}{ALL if name == 'sweep' else ''}")
            print(f"| {page} | {seconds:.1f} | {sent / 1e6:.1f} |", flush=True)


def analyse(browser: Browser, address: str, *, sweep: bool) -> None:
    """Wait until the reports are there."""
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.set_default_timeout(SOME_HOURS)
    begun = time.perf_counter()
    page.goto(f"{address}/{'compare' if sweep else ''}")
    page.locator(".js-plotly-plot").nth(0 if sweep else 1).wait_for()  # one alone: what the checkpoint stores
    if sweep:
        page.get_by_role("button", name="All 49").click()
        page.get_by_text("Settings and figures, a line a checkpoint").wait_for()
    settle(page)
    print(f"analysed: {time.perf_counter() - begun:.0f} s")
    page.close()


def open_page(browser: Browser, address: str) -> tuple[float, int]:
    """Seconds until a page stands, and bytes that came over its socket."""
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.set_default_timeout(PATIENCE)
    sent = 0

    def count(payload: str | bytes) -> None:
        nonlocal sent
        sent += len(payload)

    page.on("websocket", lambda socket: socket.on("framereceived", count))
    begun = time.perf_counter()
    page.goto(address)
    spent = settle(page) - begun
    page.close()
    return spent, sent


def settle(page: Page) -> float:
    """The time at which the page stood still: a second of quiet follows it."""
    while True:
        page.wait_for_function(READY)
        at = time.perf_counter()
        page.wait_for_timeout(1000)
        if page.evaluate(READY):
            return at


if __name__ == "__main__":
    main()
