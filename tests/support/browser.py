"""The dashboard in a server of its own, and a Chromium that looks at it and keeps every complaint."""

import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from dashboard.launch import APP
from dashboard.sources import CHECKPOINTS_VARIABLE, CLIPS_VARIABLE
from dashboard.store import VARIABLE as STORE_VARIABLE

REQUIRED = os.environ.get("RVQ_LENS_REQUIRE_BROWSER") == "1"
if REQUIRED:  # then a missing Playwright is an error, not a reason to skip
    import playwright.sync_api as playwright
else:
    playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")

FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-quic", "--no-first-run",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
PATIENCE = 120_000
SIZE: "playwright.ViewportSize" = {"width": 1280, "height": 900}

KEPT_BY_PAGES = "cookies,local_storage,indexeddb,service_workers,file_systems"
"""What the browser keeps for a page, but for its scripts."""

PROBE = re.compile(r"404 .* http://127\.0\.0\.1:\d+/(\w+/)+_stcore/(health|host-config)$")
"""A page opened by its own address first asks for the server below that address, by Streamlit's design."""


def find_chromium() -> str:
    """Path of an installed Chromium; skips the test where there is none, or fails it where one is required."""
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if found is None and REQUIRED:
        pytest.fail("RVQ_LENS_REQUIRE_BROWSER=1, and no Chromium is installed")
    if found is None:
        pytest.skip("no Chromium is installed")
    return found


@contextmanager
def serve(folder: Path, checkpoints: Path, clips: Path) -> Iterator[str]:
    """The dashboard's address, with these folders given at start and its caches in ``folder``."""
    with serving(folder, checkpoints, clips) as (address, _):
        yield address


@contextmanager
def serving(
    folder: Path, checkpoints: Path, clips: Path, variables: Mapping[str, str] | None = None
) -> Iterator[tuple[str, subprocess.Popen]]:
    """As ``serve``, and the process that serves; ``variables`` of its environment beside these."""
    port = _free_port()
    environment = os.environ | {
        CHECKPOINTS_VARIABLE: str(checkpoints), CLIPS_VARIABLE: str(clips), "XDG_CACHE_HOME": str(folder / "cache"),
        "HOME": str(folder), **(variables or {}),
    }  # fmt: skip
    for variable in ("PYTHONWARNINGS", STORE_VARIABLE):
        environment.pop(variable, None)
    options = ["--server.port", str(port), "--server.headless", "true"]
    command = [sys.executable, "-m", "streamlit", "run", str(APP), *options]
    log = (folder / "server.log").open("wb")
    process = subprocess.Popen(command, cwd=APP.parent.parent, env=environment, stdout=log, stderr=subprocess.STDOUT)
    try:
        _wait_for(port, process, folder / "server.log")
        yield f"http://127.0.0.1:{port}", process
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        log.close()


@contextmanager
def launched(chromium: str) -> Iterator["playwright.Browser"]:
    """A running Chromium, for several tests: its tabs know nothing of each other."""
    with playwright.sync_playwright() as session:
        browser = session.chromium.launch(executable_path=chromium, args=FLAGS)
        yield browser
        browser.close()


@contextmanager
def open_tab(browser: "playwright.Browser") -> Iterator["playwright.Page"]:
    """A tab of 1280 x 900 pixels with cookies, storage and permissions of its own, as in a browser just installed.

    ``tab.complaints`` lists those of its console, its scripts and its requests.
    """
    with opened(browser) as context:
        yield _watched(context.new_page())


@contextmanager
def opened(browser: "playwright.Browser") -> Iterator["playwright.BrowserContext"]:
    """Cookies, storage, permissions and downloads of their own, for several tabs."""
    context = browser.new_context(viewport=SIZE)
    yield context
    context.close()


@contextmanager
def open_emptied_tab(context: "playwright.BrowserContext") -> Iterator["playwright.Page"]:
    """As ``open_tab``, but that the scripts of pages are not loaded again: afterwards nothing else is kept."""
    tab = _watched(context.new_page())
    origins: set[str] = set()
    tab.on("framenavigated", lambda frame: origins.add("/".join(frame.url.split("/")[:3])))
    yield tab
    storage = context.new_cdp_session(tab)
    for origin in filter(re.compile("http").match, origins):
        storage.send("Storage.clearDataForOrigin", {"origin": origin, "storageTypes": KEPT_BY_PAGES})
    context.clear_cookies()
    context.clear_permissions()
    tab.close()


def another_tab(tab: "playwright.Page"):
    """A tab as ``open_tab`` gives, which knows nothing of ``tab``."""
    return open_tab(tab.context.browser)


def _watched(tab):
    tab.set_default_timeout(PATIENCE)
    tab.complaints = []
    tab.on("console", lambda message: message.type == "error" and tab.complaints.append(_told(message)))
    tab.on("pageerror", lambda error: tab.complaints.append(str(error)))
    tab.on("requestfailed", lambda request: tab.complaints.append(f"{request.failure}: {request.url}"))
    return tab


def check(tab, warned: list[str] | None = None) -> None:
    """Nothing on the page or behind it complains, but for warnings with the texts of ``warned``."""
    assert tab.locator('[data-testid="stException"]').count() == 0
    assert tab.locator('[data-testid="stAlertContentError"]').all_inner_texts() == []
    # A page whose rerun has not reached them shows its warnings a moment later.
    warnings = [re.compile(re.escape(text)) for text in warned or []]
    playwright.expect(tab.locator('[data-testid="stAlertContentWarning"]')).to_have_text(warnings, timeout=PATIENCE)
    assert [line for line in tab.complaints if not PROBE.search(line)] == []


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _wait_for(port: int, process: subprocess.Popen, log: Path) -> None:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        assert process.poll() is None, log.read_text()
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.2)
    pytest.fail("the server did not answer:\n" + log.read_text())


def _told(message) -> str:
    return f"{message.text} {message.location.get('url', '')}"


DRAWN = "() => [...document.querySelectorAll('.js-plotly-plot')].filter(plot => plot._fullData?.length).length"
ALL = "() => document.querySelectorAll('.js-plotly-plot').length"


def settle(page, charts: int | None) -> None:
    """Wait until the charts are drawn (all there are, where no number is given) and the run has ended."""
    if charts is None:
        page.wait_for_function(f"() => {{ const drawn = ({DRAWN})(); return drawn > 0 && drawn === ({ALL})(); }}")
    else:
        page.wait_for_function(f"count => ({DRAWN})() === count", arg=charts)
    page.wait_for_selector('[data-testid="stStatusWidget"]', state="detached")


def go_to(page, title: str) -> None:
    page.get_by_test_id("stSidebarNav").get_by_role("link", name=title, exact=True).click()
    page.get_by_role("heading", name=title, exact=True).wait_for()
