"""The dashboard in a real browser: every page draws, nothing complains, links restore what they name."""

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from dashboard.launch import APP
from dashboard.sources import CHECKPOINTS_VARIABLE, CLIPS_VARIABLE

REQUIRED = os.environ.get("RVQ_LENS_REQUIRE_BROWSER") == "1"
if REQUIRED:  # then a missing Playwright is an error, not a reason to skip
    import playwright.sync_api as playwright
else:
    playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")

pytestmark = [pytest.mark.browser, pytest.mark.slow]

PAGES = {"Overview": 2, "Usage": 3, "Codebook map": 1, "Reconstruction": 4, "Clip": 0}
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-quic", "--no-first-run",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
DRAWN = "() => [...document.querySelectorAll('.js-plotly-plot')].filter(plot => plot._fullData?.length).length"
PATIENCE = 60_000


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="module")
def chromium() -> str:
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if found is None and REQUIRED:
        pytest.fail("RVQ_LENS_REQUIRE_BROWSER=1, and no Chromium is installed")
    if found is None:
        pytest.skip("no Chromium is installed")
    return found


@pytest.fixture
def server(tmp_path: Path, checkpoints: Path, clips: Path) -> Iterator[str]:
    port = free_port()
    environment = os.environ | {
        CHECKPOINTS_VARIABLE: str(checkpoints), CLIPS_VARIABLE: str(clips), "XDG_CACHE_HOME": str(tmp_path / "cache"),
        "HOME": str(tmp_path), "NUMBA_CACHE_DIR": str(tmp_path / "numba"),
    }  # fmt: skip
    environment.pop("PYTHONWARNINGS", None)
    command = [
        sys.executable,
        "-m",
        "streamlit",
        "run",
        str(APP),
        "--server.port",
        str(port),
        "--server.headless",
        "true",
    ]
    log = (tmp_path / "server.log").open("wb")
    process = subprocess.Popen(command, cwd=APP.parent.parent, env=environment, stdout=log, stderr=subprocess.STDOUT)
    try:
        wait_for(port, process, tmp_path / "server.log")
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        log.close()


def wait_for(port: int, process: subprocess.Popen, log: Path) -> None:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        assert process.poll() is None, log.read_text()
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.2)
    pytest.fail("the server did not answer:\n" + log.read_text())


@pytest.fixture
def page(chromium: str):
    with playwright.sync_playwright() as session:
        browser = session.chromium.launch(executable_path=chromium, args=FLAGS)
        tab = browser.new_page(viewport={"width": 1280, "height": 900})
        tab.set_default_timeout(PATIENCE)
        tab.complaints = []
        tab.on("console", lambda message: message.type == "error" and tab.complaints.append(told(message)))
        tab.on("pageerror", lambda error: tab.complaints.append(str(error)))
        tab.on("requestfailed", lambda request: tab.complaints.append(f"failed: {request.url}"))
        yield tab
        browser.close()


def told(message) -> str:
    return f"{message.text} {message.location.get('url', '')}"


def settle(page, charts: int) -> None:
    """Wait until the page has drawn its charts and the run behind it has ended."""
    page.wait_for_function(f"count => ({DRAWN})() === count", arg=charts)
    page.wait_for_selector('[data-testid="stStatusWidget"]', state="detached")


def check(page) -> None:
    assert page.locator('[data-testid="stException"]').count() == 0
    assert page.locator('[data-testid="stAlert"]').all_inner_texts() == []
    # A page opened by its own address first asks for the server below that address, by Streamlit's design.
    assert [line for line in page.complaints if "/_stcore/" not in line] == []


def go_to(page, title: str) -> None:
    page.locator('[data-testid="stSidebarNavLink"]', has_text=title).click()
    page.get_by_role("heading", name=title, exact=True).wait_for()


def test_all_pages_draw_without_complaint(server, page):
    page.goto(server)
    for title, charts in PAGES.items():
        go_to(page, title)
        settle(page, charts)
        check(page)
    # Nothing wider than the window: no sideways scrolling at 1280 pixels.
    assert page.evaluate("document.documentElement.scrollWidth") <= 1280


def test_another_checkpoint_and_a_copied_link(server, page):
    page.goto(server)
    settle(page, 2)
    page.get_by_test_id("stSelectbox").filter(has_text="Checkpoint").locator("input").click()
    page.get_by_role("option", name="b.safetensors").click()
    page.get_by_text("3 × 16 codes").wait_for()
    settle(page, 2)
    go_to(page, "Codebook map")
    page.get_by_role("radio", name="norm").click()
    page.wait_for_url("**colour=norm**")
    settle(page, 1)
    check(page)
    link = page.url
    assert "checkpoint=b.safetensors" in link

    fresh = page.context.browser.new_context().new_page()
    fresh.set_default_timeout(PATIENCE)
    fresh.goto(link)
    settle(fresh, 1)
    assert fresh.get_by_text("L2 norm").count() == 1
    assert "checkpoint=b.safetensors" in fresh.url
    fresh.close()


def test_uploads_are_analysed_and_bad_ones_told(server, page, tmp_path: Path, save_checkpoint):
    mine = save_checkpoint(tmp_path / "mine.safetensors", quantizers=4)
    np.save(tmp_path / "waves.npy", np.sin(np.arange(600).reshape(50, 12) / 20).astype(np.float32))
    page.goto(server)
    settle(page, 2)
    page.get_by_text("Your own files").click()
    page.locator('input[type="file"]').nth(0).set_input_files(mine)
    page.get_by_text("4 × 16 codes").wait_for()
    page.locator('input[type="file"]').nth(1).set_input_files(tmp_path / "waves.npy")
    page.get_by_text("25 tokens").first.wait_for()
    settle(page, 2)
    check(page)

    (tmp_path / "broken.safetensors").write_bytes(b"not a checkpoint" * 10)
    page.locator('input[type="file"]').nth(0).set_input_files(tmp_path / "broken.safetensors")
    box = page.locator('[data-testid="stAlert"]')
    box.wait_for()
    page.wait_for_selector('[data-testid="stStatusWidget"]', state="detached")
    assert "broken.safetensors" in box.inner_text() and "/tmp" not in box.inner_text()
    assert page.locator('[data-testid="stException"]').count() == 0
