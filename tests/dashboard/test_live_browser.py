"""The Training page follows a run in a real browser, without being reloaded."""

import subprocess
import sys
import time

import pytest
from browser import check, serve, settle
from ranks import ROOT

pytestmark = [pytest.mark.browser, pytest.mark.slow]

SLOW = """
import sys, time
from pathlib import Path

from training_process import random_walks, settings_of

from rvq_core.training import train
from rvq_core.training.run import Run

out, go_on = Path(sys.argv[1]), Path(sys.argv[2])
step = Run.step


def waiting(self):
    while self.iteration >= 40 and not go_on.exists():
        time.sleep(0.1)
    return step(self)


Run.step = waiting
train(random_walks(), out, settings_of(iterations=80), quiet=True)
"""
"""A run that waits at its 40th step until a file is there."""


def test_new_points_come_without_a_reload_until_the_run_is_done(tmp_path, clips, page):
    (tmp_path / "slow.py").write_text(SLOW)
    runs, go_on = tmp_path / "runs", tmp_path / "go_on"
    process = subprocess.Popen(
        [sys.executable, str(tmp_path / "slow.py"), str(runs / "mine"), str(go_on)],
        cwd=ROOT, env={"PYTHONPATH": f"{ROOT}:{ROOT / 'tests' / 'support'}", "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    try:
        end = time.monotonic() + 120
        while not (runs / "mine" / "snapshots" / "000000040.safetensors").exists():
            assert process.poll() is None and time.monotonic() < end
            time.sleep(0.1)
        with serve(tmp_path, runs, clips) as address:
            page.goto(f"{address}/training?checkpoint=checkpoint.safetensors")
            page.get_by_text("Step 40 of 80; this page follows the run.").wait_for()
            settle(page, None)
            page.evaluate("() => { window.neverReloaded = true; }")
            go_on.touch()
            page.get_by_text("Step 80 of 80.").wait_for()
            settle(page, None)
            points = "() => document.querySelectorAll('.js-plotly-plot')[0]._fullData[0].x.at(-1)"
            page.wait_for_function(f"() => ({points})() === 80")
            assert page.evaluate("() => window.neverReloaded") is True
            check(page)
        assert process.wait(60) == 0
    finally:
        process.kill()
