"""Take a picture of every page of the dashboard, in the light theme and the dark.

    .venv/bin/python docs/screenshots.py [--out docs/images] [--checkpoint NAME] [--pages overview,usage]

It starts a dashboard of its own on the bundled checkpoints and clips, walks through it with an installed Chromium, and
writes PNG files of few colours, small enough to stand in a repository.
"""

from __future__ import annotations

import argparse
import io
import sys
import tempfile
import time
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

from served import PATIENCE, chromium, server  # noqa: E402 - found by the line above

WIDTH, HEIGHT = 1280, 900
COLOURS = 128
THEMES = ("light", "dark")
ADDITIONS = {"codebook_map": "map_layers=layer+2", "code": "layer=1"}
"""What the address of a page says beside the checkpoint."""

BUSY = ",".join(f'[data-testid="{part}"]' for part in ("stStatusWidget", "stProgress", "stSkeleton", "stSpinner"))
"""What a page shows while it, or an analysis that it waits for, is not done."""

QUIET = 4
"""Looks, half a second apart, in which nothing is going on: a page that waits runs again and again."""

DRAWN = "() => [...document.querySelectorAll('.js-plotly-plot')].every(plot => plot._fullData?.length)"


def main() -> None:
    """Take the pictures."""
    from dashboard.app import PAGES

    names = [file.removesuffix(".py") for file, *_ in PAGES]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "images")
    parser.add_argument("--checkpoint", default="healthy")
    parser.add_argument("--pages", default=",".join(names), help="names of pages, by comma")
    parser.add_argument("--height", type=int, default=HEIGHT)
    told = parser.parse_args()
    told.out.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as home,  # nothing of this machine shows
        server(ROOT / "dashboard" / "app.py", Path(home)) as address,
        sync_playwright() as session,
    ):
        browser = session.chromium.launch(executable_path=chromium(), args=["--no-sandbox", "--disable-gpu"])
        for theme in THEMES:
            window = {"width": WIDTH, "height": told.height}
            page = browser.new_context(viewport=window, color_scheme=theme, reduced_motion="reduce").new_page()
            page.set_default_timeout(PATIENCE)
            for name in told.pages.split(","):
                place = "" if name == names[0] else name
                addition = f"&{ADDITIONS[name]}" if name in ADDITIONS else ""
                page.goto(f"{address}/{place}?checkpoint={told.checkpoint}{addition}")
                settle(page)
                target = told.out / f"{name}_{theme}.png"
                save(page.screenshot(), target)
                print(f"{target}: {target.stat().st_size / 1000:.0f} kB")
        browser.close()


def settle(page: Page) -> None:
    """Wait until the page is drawn and the run behind it has ended."""
    page.get_by_role("heading", level=1).first.wait_for()
    page.wait_for_timeout(1500)
    wait_until_idle(page)
    page.wait_for_function(DRAWN)
    page.wait_for_timeout(1500)  # lines and fonts that come in slowly


def wait_until_idle(page: Page) -> None:
    """Wait until nothing is computed any more."""
    end, quiet = time.monotonic() + PATIENCE / 1000, 0
    while quiet < QUIET:
        if time.monotonic() > end:
            sys.exit(f"screenshots: {page.url} is still busy after {PATIENCE // 1000} s")
        quiet = 0 if page.locator(BUSY).count() else quiet + 1
        page.wait_for_timeout(500)


def save(picture: bytes, target: Path) -> None:
    """Write a picture with a palette: a page has few colours."""
    image = Image.open(io.BytesIO(picture)).convert("RGB")
    image.quantize(COLOURS, dither=Image.Dither.NONE).save(target, optimize=True)


if __name__ == "__main__":
    main()
