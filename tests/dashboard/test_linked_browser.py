"""Linked views in a real browser: a click in one chart is marked in the others, on other pages and behind a link."""

import pytest
from browser import another_tab, check, go_to, settle

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.xdist_group("browser")]

CHOSEN = """() => [...document.querySelectorAll('.js-plotly-plot')].flatMap(plot => plot._fullData
    .filter(trace => trace.selectedpoints).map(trace => trace.selectedpoints.length))"""
BAR = """plot => {
    const { xaxis, yaxis } = plot._fullLayout, bars = plot._fullData.find(trace => trace.type === 'bar');
    return [xaxis._offset + xaxis.d2p(2), yaxis._offset + yaxis.d2p(bars.y[1] / 2)];
}"""
"""Place in a chart, in pixels, of the middle of the second layer's bar."""
CLIP = """plot => {
    const { xaxis, yaxis } = plot._fullLayout;
    const marks = plot._fullData.find(trace => trace.customdata && trace.mode === 'markers');
    return [xaxis._offset + xaxis.d2p(marks.x[0]), yaxis._offset + yaxis.d2p(marks.y[0]), marks.y[0]];
}"""


def chip(page, name: str):
    return page.get_by_role("button", name=name)


def test_a_layer_clicked_on_the_overview_is_marked_everywhere_until_it_is_cleared(server, page):
    page.goto(server)
    settle(page, 2)
    plot = page.locator(".js-plotly-plot").first
    plot.scroll_into_view_if_needed()
    x, y = plot.evaluate(BAR)
    plot.click(position={"x": x, "y": y})
    chip(page, "layer 2").wait_for()
    page.wait_for_function(f"() => ({CHOSEN})().length >= 2")
    page.wait_for_url("**selected_layers=2**")
    go_to(page, "Codebook map")
    settle(page, 1)
    chip(page, "layer 2").wait_for()
    page.wait_for_url("**selected_layers=2**")
    check(page)
    with another_tab(page) as fresh:
        fresh.goto(page.url)
        settle(fresh, 1)
        chip(fresh, "layer 2").wait_for()
        assert sum(fresh.evaluate(CHOSEN)) > 0
    chip(page, "layer 2").click()
    chip(page, "layer 2").wait_for(state="detached")
    page.wait_for_function(f"() => ({CHOSEN})().length === 0")
    assert "selected" not in page.url
    check(page)


def test_a_clip_clicked_on_reconstruction_has_its_own_error_and_is_the_one_that_plays(server, page):
    page.goto(server)
    settle(page, 2)
    go_to(page, "Reconstruction")
    page.get_by_text("Error of each clip, all quantizers").wait_for()
    settle(page, None)
    plot = page.locator(".js-plotly-plot").last
    plot.scroll_into_view_if_needed()
    x, y, name = plot.evaluate(CLIP)
    plot.click(position={"x": x, "y": y})
    chip(page, f"clip {name}").wait_for()
    page.wait_for_function(
        "() => [...document.querySelectorAll('.js-plotly-plot')].some("
        "plot => plot._fullData?.some(trace => trace.name === 'selected clips (1)'))"
    )
    check(page)
    go_to(page, "Clip")
    page.wait_for_url(f"**clip={name}**")  # not the first of the list: the one that was selected
    check(page)
