"""The dashboard in a real browser: every page draws, nothing complains, links restore what they name."""

import re
from pathlib import Path

import numpy as np
import published
import pytest
import torch
from browser import PATIENCE, another_tab, check, go_to, playwright, settle

from dashboard import app
from rvq_core.clips.representations.humanml3d import humanml3d_features
from rvq_core.clips.smplx import PARENTS, canonical_skeleton

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.xdist_group("browser")]

WITHOUT_CHARTS = ("Clip", "Export", "Docs")
BODY = 22
UNKNOWN_STATISTICS = "No mean and std are known for this checkpoint"
ALONE = """plot => {
    const { xaxis, yaxis } = plot._fullLayout;
    const dots = plot._fullData.filter(trace => trace.customdata).flatMap(trace => Array.from(trace.x, (x, i) =>
        [xaxis._offset + xaxis.d2p(x), yaxis._offset + yaxis.d2p(trace.y[i]), !trace.name.includes('unseen')]));
    const nearest = dots.map(([x, y, seen], i) => !seen ? 0 :
        Math.min(...dots.map(([u, v], k) => i === k ? Infinity : Math.hypot(x - u, y - v))));
    return dots[nearest.indexOf(Math.max(...nearest))];
}"""
"""Place in a chart, in pixels, of the code seen that lies farthest from all others."""
USED = """() => [...document.querySelectorAll('.js-plotly-plot')].some(
    plot => plot._fullData?.some(trace => trace.name?.includes('seen')))"""

UNDER_TOOLBARS = """() => [...document.querySelectorAll('.js-plotly-plot')].flatMap(plot => {
    const bar = plot.querySelector('.modebar').getBoundingClientRect();
    const texts = plot.querySelectorAll('.legendtext, .annotation-text, .xtick text, .ytick text');
    return [...texts].filter(text => {
        const box = text.getBoundingClientRect();
        return box.left < bar.right && box.right > bar.left && box.top < bar.bottom && box.bottom > bar.top;
    }).map(text => text.textContent);
})"""
"""Texts of charts that their toolbars, which appear under the pointer, would hide."""
BEHIND_TOOLBARS = """() => [...document.querySelectorAll('.js-plotly-plot .modebar-group')].map(
    group => getComputedStyle(group).backgroundColor)"""


def choose_checkpoint(page, name: str) -> None:
    page.get_by_test_id("stSelectbox").filter(has_text="Checkpoint").locator("input").click()
    page.get_by_role("option", name=name).click()


def test_all_pages_draw_without_complaint(server, page):
    page.goto(server)
    for _, title, _ in app.PAGES:
        go_to(page, title)
        settle(page, 0 if title in WITHOUT_CHARTS else None)
        check(page)
        assert page.evaluate(UNDER_TOOLBARS) == [], title
        assert set(page.evaluate(BEHIND_TOOLBARS)) <= {"rgba(0, 0, 0, 0)"}, title
    # Nothing wider than the window: no sideways scrolling at 1280 pixels.
    assert page.evaluate("document.documentElement.scrollWidth") <= 1280


def test_the_health_table_fits_the_page(server, page):
    page.goto(server)
    settle(page, 2)
    wide, shown = page.locator(".dvn-scroller").first.evaluate("table => [table.scrollWidth, table.clientWidth]")
    assert wide <= shown


def test_a_copied_link_opened_in_a_new_browser_shows_the_same(server, page):
    page.goto(server)
    settle(page, 2)
    choose_checkpoint(page, "b.safetensors")
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

    with another_tab(page) as fresh:
        fresh.goto(link)
        settle(fresh, 1)
        assert fresh.get_by_text("L2 norm").count() == 1
        assert fresh.get_by_test_id("stAlert").count() == 0  # nothing of the link was lost
        assert "checkpoint=b.safetensors" in fresh.url
        check(fresh)


def test_a_code_clicked_on_the_map_opens_its_page(server, page):
    page.goto(server)
    go_to(page, "Codebook map")
    page.wait_for_function(USED)  # until the clips are analysed the map has no usage, and is then drawn anew
    settle(page, 1)
    plot = page.locator(".js-plotly-plot")
    x, y, _ = plot.evaluate(ALONE)
    plot.hover(position={"x": x, "y": y})
    told = page.locator(".hoverlayer .hovertext").text_content()
    layer, code = re.match(r"layer (\d+), code (\d+):", told).groups()
    plot.click(position={"x": x, "y": y})
    page.get_by_role("button", name=f"Open the page of layer {layer}, code {code}").click()
    page.get_by_role("heading", name="Code", exact=True).wait_for()
    playwright.expect(page.get_by_role("combobox", name="Layer", exact=True)).to_have_value(layer, timeout=PATIENCE)
    playwright.expect(page.get_by_role("spinbutton", name="Code", exact=True)).to_have_value(code, timeout=PATIENCE)
    settle(page, None)
    check(page)


def test_two_checkpoints_are_compared(server, page):
    page.goto(server)
    settle(page, 2)
    choose_checkpoint(page, "b.safetensors")
    page.get_by_text("3 × 16 codes").wait_for()
    go_to(page, "Compare")
    page.get_by_text("Differences are to b.safetensors").wait_for()
    settle(page, None)
    check(page)


def momask_file(path: Path) -> Path:
    """A tiny checkpoint as MoMask writes them, of HumanML3D's features."""
    torch.manual_seed(0)
    state = published.with_layers(published.family_state(dim=263), published.codebooks(layers=4))
    torch.save({"vq_model": state, "ep": 3, "total_it": 9}, path)
    return path


def humanml3d_file(path: Path, frames: int = 80) -> Path:
    """A body that walks and sways, as features of HumanML3D."""
    joints = np.zeros((frames, BODY, 3))
    offsets, times = canonical_skeleton().offsets, np.arange(frames) / 20
    for joint in range(1, BODY):
        joints[:, joint] = joints[:, PARENTS[joint]] + offsets[joint]
        joints[:, joint, 2] += 0.02 * np.sin(3 * times + joint)
    joints[..., 2] += times[:, None]
    np.save(path, humanml3d_features(joints))
    return path


def test_a_foreign_checkpoint_and_a_clip_are_uploaded_and_played(server, page, tmp_path: Path):
    page.goto(server)
    settle(page, 2)
    page.get_by_text("Your own files").click()
    page.locator('input[type="file"]').nth(1).set_input_files(humanml3d_file(tmp_path / "walk.npy"))
    clips = page.get_by_role("combobox", name="Clips", exact=True)
    playwright.expect(clips).to_have_value("uploaded (1)", timeout=PATIENCE)
    page.locator('input[type="file"]').nth(0).set_input_files(momask_file(tmp_path / "latest.tar"))
    page.get_by_text("4 × 10 codes").wait_for()
    page.get_by_text("of 1 clip ").first.wait_for()
    settle(page, 2)
    check(page, [UNKNOWN_STATISTICS])

    go_to(page, "Clip")
    readout = page.locator(".player .readout")
    page.locator(".player .play[aria-label=Pause]").click()
    still = readout.inner_text()
    assert re.search(r"frame \d+ / \d\d", still)
    page.locator(".player .play[aria-label=Play]").click()
    playwright.expect(readout).not_to_have_text(still, timeout=PATIENCE)
    check(page, [UNKNOWN_STATISTICS])


def test_a_file_over_the_limit_is_refused_before_it_is_sent(server, page, tmp_path: Path):
    page.goto(server)
    settle(page, 2)
    page.get_by_text("Your own files").click()
    assert page.get_by_text("Up to 1 GB a file").is_visible()
    with (tmp_path / "large.npy").open("wb") as file:
        file.truncate(1_100_000_000)  # takes no room on disk
    page.locator('input[type="file"]').nth(1).set_input_files(tmp_path / "large.npy")
    page.get_by_text("File must be 1.1GB or smaller").wait_for()
    assert page.get_by_role("combobox", name="Clips", exact=True).input_value() == "folder given at start"
    check(page)


def test_an_uploaded_file_that_cannot_be_read_is_told(server, page, tmp_path: Path):
    page.goto(server)
    settle(page, 2)
    page.get_by_text("Your own files").click()
    (tmp_path / "broken.safetensors").write_bytes(b"not a checkpoint" * 10)
    page.locator('input[type="file"]').nth(0).set_input_files(tmp_path / "broken.safetensors")
    box = page.locator('[data-testid="stAlert"]')
    box.wait_for()
    page.wait_for_selector('[data-testid="stStatusWidget"]', state="detached")
    assert "broken.safetensors" in box.inner_text() and "/tmp" not in box.inner_text()
    assert page.locator('[data-testid="stException"]').count() == 0
