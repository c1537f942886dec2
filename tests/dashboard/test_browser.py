"""The dashboard in a real browser: every page draws, nothing complains, links restore what they name."""

from pathlib import Path

import numpy as np
import pytest
from browser import PATIENCE, check

from dashboard import app

pytestmark = [pytest.mark.browser, pytest.mark.slow]

WITHOUT_CHARTS = ("Clip", "Export", "Docs")
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
    page.locator('[data-testid="stSidebarNavLink"]', has_text=title).click()
    page.get_by_role("heading", name=title, exact=True).wait_for()


def test_all_pages_draw_without_complaint(server, page):
    page.goto(server)
    for _, title, _ in app.PAGES:
        go_to(page, title)
        settle(page, 0 if title in WITHOUT_CHARTS else None)
        check(page)
    # Nothing wider than the window: no sideways scrolling at 1280 pixels.
    assert page.evaluate("document.documentElement.scrollWidth") <= 1280


def test_the_health_table_fits_the_page(server, page):
    page.goto(server)
    settle(page, 2)
    wide, shown = page.locator(".dvn-scroller").first.evaluate("table => [table.scrollWidth, table.clientWidth]")
    assert wide <= shown


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
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name="Copy link to this view").click()
    page.get_by_role("button", name="Copied").wait_for()
    link = page.evaluate("navigator.clipboard.readText()")
    assert all(part in link for part in ("/codebook_map?", "checkpoint=b.safetensors", "colour=norm", "split=all"))

    fresh = page.context.browser.new_context().new_page()
    fresh.set_default_timeout(PATIENCE)
    fresh.goto(link)
    settle(fresh, 1)
    assert fresh.get_by_text("L2 norm").count() == 1
    assert fresh.get_by_test_id("stAlert").count() == 0  # nothing of the link was lost
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
