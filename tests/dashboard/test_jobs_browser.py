"""A long analysis in one window while another goes on, in a real browser; and the server killed in the middle."""

import os
import re
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from browser import PATIENCE, another_tab, check, serve, serving

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.xdist_group("jobs_browser"), pytest.mark.timeout(900)]

MANY, FRAMES = 800, 1000
FURTHER = f"before => {{ const t = document.body.innerText.match(/([0-9]+) of {MANY}/); return t && t[1] > before }}"


@pytest.fixture
def many_clips(tmp_path: Path) -> Path:
    """So many clips, and so long, that their analysis lasts longer than what is clicked while it goes on."""
    folder = tmp_path / "many"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(MANY):
        np.save(folder / f"{number:04d}.npy", rng.normal(size=(FRAMES, 12)).astype(np.float32))
    return folder


def progress(page):
    return page.get_by_text(re.compile(rf"Analysis of a · \d{{4}}, \d+ of {MANY}"))


def clips_done(page) -> int:
    return int(re.search(rf"(\d+) of {MANY}", progress(page).inner_text())[1])


def test_one_window_runs_a_long_job_and_another_goes_on(page, tmp_path: Path, checkpoints: Path, many_clips):
    with serving(tmp_path, checkpoints, many_clips) as (address, process):
        page.goto(address)
        progress(page).wait_for()
        with another_tab(page) as other:
            with standing_still(child_of(process.pid)):
                check(page)
                before = clips_done(page)
                other.goto(f"{address}/codebook_map", timeout=2.5 * PATIENCE)
                other.locator(".js-plotly-plot").wait_for()
                other.get_by_text("norm", exact=True).click()
                other.wait_for_url("**colour=norm**")
                other.get_by_text("L2 norm").first.wait_for()
                progress(other).wait_for()  # the same job: found, not begun again
                page.reload()
                progress(page).wait_for()
                assert clips_done(page) >= before
            page.wait_for_function(FURTHER, arg=clips_done(page))
            page.get_by_role("button", name="Cancel").click()
            page.get_by_text("The analysis was cancelled").wait_for()
            other.get_by_text("The analysis was cancelled").wait_for()
            assert other.locator(".js-plotly-plot").count() == 1
        page.get_by_role("button", name="Analyse after all").click()
        progress(page).wait_for()
        check(page)


OUTERMOST = """plot => {
    const { xaxis, yaxis } = plot._fullLayout;
    const trace = plot._fullData.find(trace => trace.customdata);
    const at = trace.x.indexOf(Math.max(...trace.x));
    return [xaxis._offset + xaxis.d2p(trace.x[at]), yaxis._offset + yaxis.d2p(trace.y[at]), ...trace.customdata[at]];
}"""
"""Place in a map, in pixels, of the code farthest to the right, and which code it is."""


def test_a_code_clicked_while_its_usage_is_not_yet_known_stays_selected_when_it_is(page, tmp_path, checkpoints):
    folder = tmp_path / "several"
    folder.mkdir()
    for number, motion in enumerate(np.random.default_rng(0).normal(size=(200, 400, 12)).astype(np.float32)):
        np.save(folder / f"{number:04d}.npy", motion)
    with serving(tmp_path, checkpoints, folder) as (address, process):
        page.goto(f"{address}/codebook_map")
        page.locator(".js-plotly-plot").wait_for()
        with standing_still(child_of(process.pid)):
            page.get_by_text("Until clips can be run").wait_for()
            plot = page.locator(".js-plotly-plot")
            x, y, layer, code = plot.evaluate(OUTERMOST)[:4]
            plot.click(position={"x": x, "y": y})
            chosen = page.get_by_role("button", name=f"layer {layer}, code {code}", exact=True)
            chosen.wait_for()
        page.get_by_text("Measured on").wait_for()
        page.get_by_text("of 200 clips").wait_for()
        page.get_by_text("1 selected").wait_for()
        assert chosen.count() == 1 and f"selected_codes={layer}%3A{code}" in page.url
        check(page)


def test_a_server_killed_in_the_middle_starts_clean(page, tmp_path: Path, checkpoints: Path, many_clips, clips):
    with serving(tmp_path, checkpoints, many_clips) as (address, process):
        page.goto(address)
        progress(page).wait_for()
        worker = child_of(process.pid)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        until(lambda: not is_alive(worker))
    page.goto("about:blank")
    page.complaints.clear()
    with serve(tmp_path, checkpoints, clips) as address:
        page.goto(address)
        page.locator(".js-plotly-plot").nth(1).wait_for()
        check(page)
        store = tmp_path / "cache" / "rvq-lens" / "store"
        kept = [path.name for path in (store / "reports").iterdir()]
        assert len(kept) == 1 and not kept[0].startswith(".")


@contextmanager
def standing_still(worker: int) -> Iterator[None]:
    """The worker does not get on, so that its job surely lasts longer than what is done meanwhile."""
    os.kill(worker, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(worker, signal.SIGCONT)


def child_of(process: int) -> int:
    """The worker that a server has started."""
    (child,) = Path(f"/proc/{process}/task/{process}/children").read_text().split() or threads_children(process)
    return int(child)


def threads_children(process: int) -> list[str]:
    return [
        child for task in Path(f"/proc/{process}/task").iterdir() for child in (task / "children").read_text().split()
    ]


def is_alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def until(condition) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)
