"""How long it takes a new user to see something: a fresh clone, set up and opened by `make run`, step by step.

    python benchmarks/first_minutes.py [--index URL]

Clones this repository into a temporary folder and runs the README's own command there with an empty home, so that
nothing is cached: the environment, the packages, the server, the first chart in an installed Chromium, and the same
once more with all of it there. Packages come from the network, or from `--index`.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from bench_dashboard import DRAWN
from playwright.sync_api import Browser, sync_playwright
from served import PATIENCE, ROOT, chromium, free_port, wait_for


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description="What a new user waits for, step by step.")
    parser.add_argument("--index", help="package index in the place of pip's own")
    told = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as session:
        home, clone = Path(folder) / "home", Path(folder) / "rvq-lens"
        home.mkdir()
        environment = os.environ | {"HOME": str(home), "XDG_CACHE_HOME": str(home / "cache"), "PIP_NO_CACHE_DIR": "1"}
        if told.index is not None:
            environment["PIP_INDEX_URL"] = told.index
        browser = session.chromium.launch(executable_path=chromium(), args=["--no-sandbox", "--disable-gpu"])
        steps = {
            "git clone": timed(["git", "clone", "--quiet", str(ROOT), str(clone)], ROOT, environment),
            "the environment (python -m venv)": timed(["make", ".venv/bin/python"], clone, environment),
            "the packages (pip install)": timed(["make", "install"], clone, environment),
        }
        for which in ("first", "second"):
            answered, drawn = opened(browser, clone, environment)
            steps |= {f"{which} make run: its address answers": answered, f"{which} make run: its first chart": drawn}
        browser.close()
        size = sum(path.stat().st_size for path in (clone / ".venv").rglob("*") if not path.is_symlink())
    show(steps, size)


def timed(command: list[str], folder: Path, environment: dict[str, str]) -> float:
    """Seconds that a command takes; its last words where it fails."""
    begun = time.perf_counter()
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"first_minutes: {' '.join(command)}: {(done.stdout + done.stderr)[-2000:]}")
    return time.perf_counter() - begun


def opened(browser: Browser, clone: Path, environment: dict[str, str]) -> tuple[float, float]:
    """Seconds from `make run` until its address answers, and until a browser that is sent there has drawn a chart."""
    begun = time.perf_counter()
    with running(clone, environment) as port:
        answered = time.perf_counter() - begun
        page = browser.new_page()
        page.set_default_timeout(PATIENCE)
        page.goto(f"http://127.0.0.1:{port}")
        page.wait_for_function(DRAWN)
        drawn = time.perf_counter() - begun
        page.close()
    return answered, drawn


@contextmanager
def running(clone: Path, environment: dict[str, str]) -> Generator[int]:
    """The port of `make run`, once something answers there; make and its server end together."""
    port = free_port()
    process = subprocess.Popen(
        ["make", "run", f"PORT={port}"], cwd=clone, env=environment, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    try:
        wait_for(port, process, "first_minutes: make run")
        yield port
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGINT)
        process.wait(30)


def show(steps: dict[str, float], size: int) -> None:
    """Print the table."""
    print("| step | s |\n|---|---:|")
    for name, seconds in steps.items():
        print(f"| {name} | {seconds:.1f} |")
    print(f"\nThe environment takes {size / 1e9:.1f} GB.")


if __name__ == "__main__":
    main()
