"""Behind a proxy, the dashboard lives below a path: pages, links and charts work there."""

import pytest
from browser import another_tab, check, go_to, serving, settle

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def test_pages_and_links_below_a_path(page, tmp_path, checkpoints, clips):
    variables = {"STREAMLIT_SERVER_BASE_URL_PATH": "lab/rvq"}
    with serving(tmp_path, checkpoints, clips, variables) as (address, _):
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
        with another_tab(page) as colleague:
            colleague.goto(link)
            settle(colleague, None)
            colleague.get_by_role("heading", name="Training", exact=True).wait_for()
            check(colleague)
