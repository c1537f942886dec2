"""Behind a proxy, the dashboard lives below a path: pages, links and charts work there."""

import pytest
from browser import another_browser, check, find_chromium, go_to, open_tab, serving, settle

from rvq_core.bundled import bundled_checkpoints, bundled_clips

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def test_pages_and_links_below_a_path(tmp_path):
    chromium = find_chromium()
    variables = {"STREAMLIT_SERVER_BASE_URL_PATH": "lab/rvq"}
    with (
        serving(tmp_path, bundled_checkpoints(), bundled_clips(), variables) as (address, _),
        open_tab(chromium) as page,
    ):
        page.goto(f"{address}/lab/rvq/")
        settle(page, None)
        go_to(page, "Training")
        settle(page, None)
        assert page.url.startswith(f"{address}/lab/rvq/training")
        page.context.grant_permissions(["clipboard-read", "clipboard-write"])
        page.get_by_role("button", name="Copy link to this view").click()
        page.get_by_role("button", name="Copied").wait_for()
        link = page.evaluate("navigator.clipboard.readText()")
        assert link.startswith(f"{address}/lab/rvq/training?") and "checkpoint=" in link
        check(page)
        with another_browser(page, chromium) as colleague:
            colleague.goto(link)
            settle(colleague, None)
            colleague.get_by_role("heading", name="Training", exact=True).wait_for()
            check(colleague)
