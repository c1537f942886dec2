"""The Training page on a run folder, and on a folder of other people's snapshots, without a browser."""

import json
from base64 import b64decode
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from streamlit.testing.v1 import AppTest
from training_process import random_walks, settings_of, stopped_at

from dashboard import live_run, sources
from dashboard.launch import APP
from rvq_core.training import train
from rvq_core.training.curves import read_history
from rvq_core.training.run_folder import RunFolder

pytestmark = pytest.mark.usefixtures("own_places")


@pytest.fixture
def runs(tmp_path, monkeypatch):
    """The folder of runs, which is given at start."""
    monkeypatch.setenv(sources.CHECKPOINTS_VARIABLE, str(tmp_path / "runs"))
    return tmp_path / "runs"


def open_page(checkpoint: str) -> AppTest:
    at = AppTest.from_file(str(APP), default_timeout=60)
    at.query_params["checkpoint"] = checkpoint
    at.switch_page("app_pages/training.py").run()
    assert not at.exception and not at.error, [box.value for box in at.error]
    return at


def titles(at: AppTest) -> list[str]:
    """What stands at the vertical axes of all charts."""
    specs = [json.loads(chart.proto.spec) for chart in at.get("plotly_chart")]
    return [spec["layout"]["yaxis"]["title"]["text"] for spec in specs]


def go(runs, **changed) -> None:
    train(random_walks(), runs / "mine", settings_of(iterations=60, **changed), quiet=True)


def test_a_run_that_goes_on_is_followed_and_one_that_is_done_is_shown_whole(runs):
    with stopped_at(45):
        go(runs)
    at = open_page("checkpoint.safetensors")
    assert any(caption.value == "Step 40 of 60; this page follows the run." for caption in at.caption)
    folder = RunFolder(runs / "mine")
    assert not live_run._is_done(folder, read_history(folder.history))
    go(runs)
    at = open_page("checkpoint.safetensors")
    assert any(caption.value == "Step 60 of 60." for caption in at.caption)
    shown = titles(at)
    assert {"perplexity (codes)", "unseen codes", "codes reset since the point before"} <= set(shown)
    assert {"codes reset between snapshots", "median move (neighbour distances)"} <= set(shown)


def damaged(history: Path) -> str:
    history.write_bytes(b"PAR1 no table")
    return "a Parquet table"


def of_another_kind(history: Path) -> str:
    pd.DataFrame({"iteration": ["first"], "series": ["commit"], "layer": [1.0], "value": [0.5]}).to_parquet(history)
    return "a column of numbers"


@pytest.mark.parametrize("change", [damaged, of_another_kind])
def test_a_history_that_cannot_be_read_is_told_in_one_box(runs, change):
    go(runs)
    expected = change(runs / "mine" / "history.parquet")
    at = AppTest.from_file(str(APP), default_timeout=60)
    at.query_params["checkpoint"] = "checkpoint.safetensors"
    at.run()
    at.switch_page("app_pages/training.py").run()
    assert not at.exception
    (box,) = at.error
    assert "history.parquet" in box.value
    assert expected in box.value
    assert "rvq-lens train" in box.value


def test_a_run_without_a_step_is_followed_from_nought(runs):
    with stopped_at(45):
        go(runs)
    history = runs / "mine" / "history.parquet"
    pd.read_parquet(history).head(0).to_parquet(history)
    at = open_page("checkpoint.safetensors")
    assert any(caption.value == "Step 0 of 60; this page follows the run." for caption in at.caption)


def test_a_snapshot_shows_the_run_that_it_is_of(runs):
    go(runs)
    at = open_page("snapshots/000000040.safetensors")
    assert any(caption.value == "Step 60 of 60." for caption in at.caption)


def test_a_run_without_snapshots_says_nothing_of_them(runs):
    go(runs, snapshot_every=0)
    assert "codes reset between snapshots" not in titles(open_page("mine/checkpoint.safetensors"))


def test_other_peoples_snapshots_become_trends(runs):
    runs.mkdir()
    rng = np.random.default_rng(0)
    for step in (1000, 2000, 3000):
        books = {f"layers.{q}.codebook": torch.from_numpy(rng.normal(size=(8, 3)).astype("f4")) for q in range(2)}
        torch.save(books, runs / f"net_{step}.pth")
    at = open_page("net_2000.pth")
    assert {"median norm of codes", "median distance to the nearest code", "duplicate codes"} <= set(titles(at))
    figure = next(chart for chart in at.get("plotly_chart") if "norm" in chart.proto.alt)
    x = json.loads(figure.proto.spec)["data"][0]["x"]
    assert np.frombuffer(b64decode(x["bdata"]), dtype=x["dtype"]).tolist() == [1000, 2000, 3000]
