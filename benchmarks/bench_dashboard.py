"""How fast the dashboard feels, in a real browser: from start to the first chart, and how long a change takes.

    python benchmarks/bench_dashboard.py [--pairs 3] [--changes 9] [--json FILE]

The start is held against a bare Streamlit app that imports torch and draws one chart, both started anew and in turn in
the same run, each with its own fresh home: `first` is the very first start (all is computed), `again` a later one. A
change is timed from the click until the chart that it changes has been drawn anew. Needs an installed Chromium.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright
from served import PATIENCE, ROOT, chromium, server

BARE = """
import plotly.graph_objects as go
import streamlit as st
import torch

st.title("Bare")
st.plotly_chart(go.Figure(go.Bar(y=torch.arange(5).tolist())))
"""

DRAWN = "() => [...document.querySelectorAll('.js-plotly-plot')].some(plot => plot._fullData?.length)"

CHANGES = (
    ("codebook_map", "Colour: norm, usage", (("norm", "L2 norm"), ("usage", "share of"))),
    ("usage", "Codes in the order of: number, use", (("code number", "code number"), ("most used first", "(rank)"))),
    ("compare", "Against: bits/s, quantizers", (("nominal bits/s", "bits"), ("quantizers", "active quantizers"))),
)
"""Page, what is changed, and two choices that are clicked in turn, each with a title that only the new chart has."""

REDRAWN = """([choice, title]) => new Promise((resolve, reject) => {
    const titles = plot => [plot._fullLayout?.xaxis?.title?.text, ...(plot._fullData ?? []).map(
        trace => trace.marker?.colorbar?.title?.text)].join();
    const drawn = () => [...document.querySelectorAll('.js-plotly-plot')].some(plot => titles(plot).includes(title));
    if (drawn()) return reject(new Error(`a chart is called ${title} before the click`));
    const begun = performance.now();
    const look = () => drawn() ? resolve((performance.now() - begun) / 1000)
        : performance.now() - begun > 60000 ? reject(new Error(`no chart became ${title}`)) : setTimeout(look, 5);
    choice.click();
    look();
})"""
"""Seconds from a click until Plotly has drawn a chart with the new title."""


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=3, help="starts of each kind")
    parser.add_argument("--changes", type=int, default=9, help="clicks on each page")
    parser.add_argument("--json", type=Path, help="write all figures there")
    told = parser.parse_args()
    with sync_playwright() as session, tempfile.TemporaryDirectory() as folder:
        browser = session.chromium.launch(executable_path=chromium(), args=["--no-sandbox", "--disable-gpu"])
        starts = measure_starts(browser, Path(folder), told.pairs)
        changes = measure_changes(browser, Path(folder) / "ours-0", told.changes)
        browser.close()
    show(starts, changes)
    if told.json is not None:
        told.json.write_text(json.dumps({"starts": starts, "changes": changes}, indent=2) + "\n", encoding="utf-8")


def measure_starts(browser: Browser, folder: Path, pairs: int) -> dict[str, list[float]]:
    """Seconds to the first chart of each kind, in turn."""
    (folder / "bare.py").write_text(BARE)
    found: dict[str, list[float]] = {"bare": [], "first": [], "again": []}
    start_to_chart(browser, folder / "bare.py", folder / "warm-up")  # files come from the disk but once
    for number in range(pairs):
        home = folder / f"ours-{number}"
        found["bare"].append(start_to_chart(browser, folder / "bare.py", folder / f"bare-{number}"))
        found["first"].append(start_to_chart(browser, ROOT / "dashboard" / "app.py", home))
        found["again"].append(start_to_chart(browser, ROOT / "dashboard" / "app.py", home))
    return found


def start_to_chart(browser: Browser, app: Path, home: Path) -> float:
    """Seconds from the start of the server's process until the browser has drawn a chart."""
    begun = time.perf_counter()
    with server(app, home) as address:
        page = browser.new_page()
        page.set_default_timeout(PATIENCE)
        page.goto(address)
        page.wait_for_function(DRAWN)
        spent = time.perf_counter() - begun
        page.close()
    return spent


def measure_changes(browser: Browser, home: Path, clicks: int) -> dict[str, list[float]]:
    """Seconds from a click to the chart drawn anew, with all that is analysed in the store."""
    found: dict[str, list[float]] = {}
    with server(ROOT / "dashboard" / "app.py", home) as address:
        for name, what, choices in CHANGES:
            page = browser.new_page(viewport={"width": 1280, "height": 1800})
            page.set_default_timeout(PATIENCE)
            page.goto(f"{address}/{name}")
            page.get_by_role("radio", name=choices[0][0], exact=True).first.wait_for()
            settle(page)
            found[f"{name}, {what}"] = [change(page, *choices[click % 2]) for click in range(clicks + 2)][2:]
            page.close()
    return found


def change(page: Page, choice: str, title: str) -> float:
    """Click a choice, and wait until the chart is drawn and the run behind it has ended."""
    button = page.get_by_role("radio", name=choice, exact=True).first.element_handle()
    spent = float(page.evaluate(REDRAWN, [button, title]))
    settle(page)
    return spent


def settle(page: Page) -> None:
    """Wait until the run has ended and all charts are drawn."""
    page.wait_for_function("() => [...document.querySelectorAll('.js-plotly-plot')].every(plot => plot._fullData)")
    page.wait_for_timeout(400)
    page.wait_for_selector('[data-testid="stStatusWidget"]', state="detached")


def show(starts: dict[str, list[float]], changes: dict[str, Any]) -> None:
    """Print medians, ratios of the same run, and the targets."""
    bare = statistics.median(starts["bare"])
    print("| start to first chart | s, median | against bare | at most |\n|---|---:|---:|---:|")
    for name, spent in starts.items():
        ratios = [own / other for own, other in zip(spent, starts["bare"], strict=True)]
        least = "1.5x" if name == "again" else ""
        print(f"| {name} | {statistics.median(spent):.2f} | {statistics.median(ratios):.2f}x | {least} |")
    print(f"\nbare: {bare:.2f} s\n\n| change | s, median | slowest | at most |\n|---|---:|---:|---:|")
    for name, spent in changes.items():
        print(f"| {name} | {statistics.median(spent):.2f} | {max(spent):.2f} | 0.5 |")


if __name__ == "__main__":
    main()
