import math

import pandas as pd
import pytest

from rvq_core import load_checkpoint
from rvq_core.bundled import bundled_checkpoints
from rvq_core.training.curves import ERROR, curves, losses


def test_every_number_of_a_history_has_its_row():
    history = [
        {"iteration": 20, "velocity": 2, "reconstruction": 0.5, "unseen": [3, 4], "held_out_mpjpe": None},
        {"iteration": 10, "velocity": 1, "reconstruction": 0.7, "unseen": [5, 6], "held_out_mpjpe": 80.5},
    ]
    table = curves({"history": history})
    rows = [tuple(None if pd.isna(value) else value for value in row) for row in table.itertuples(index=False)]
    assert rows == [
        (10, "held_out_mpjpe", None, 80.5), (10, "reconstruction", None, 0.7), (20, "reconstruction", None, 0.5),
        (10, "unseen", 1, 5), (20, "unseen", 1, 3), (10, "unseen", 2, 6), (20, "unseen", 2, 4),
        (10, "velocity", None, 1), (20, "velocity", None, 2),
    ]  # fmt: skip
    assert losses(table) == ["reconstruction", "velocity"]


def test_losses_of_other_trainers_come_after_ours():
    table = curves({"history": [{"iteration": 1, "zeta": 1.0, "commit": 1.0, "alpha": 1.0, "reconstruction": 1.0}]})
    assert losses(table) == ["reconstruction", "commit", "alpha", "zeta"]


@pytest.mark.parametrize(
    "training",
    [{}, {"history": None}, {"history": "x"}, {"history": [1, None, {}]}, {"history": [{"reconstruction": 1.0}]},
     {"history": [{"iteration": True, "reconstruction": 1.0}]},
     {"history": [{"iteration": 5, "reconstruction": math.nan, "unseen": [None, "3"], "x": {"y": 1}}]}],
)  # fmt: skip
def test_what_is_no_history_gives_no_row(training):
    table = curves(training)
    assert table.empty and list(table.columns) == ["iteration", "series", "layer", "value"]
    assert losses(table) == []


def test_a_loss_that_is_zero_throughout_is_left_out():
    history = [{"iteration": n, "reconstruction": 0.0 if n == 1 else 0.5, "position": 0.0} for n in (1, 2)]
    table = curves({"history": history})
    assert set(table["series"]) == {"reconstruction", "position"}
    assert losses(table) == ["reconstruction"]


def test_the_bundled_checkpoint_tells_its_whole_run():
    training = load_checkpoint(bundled_checkpoints() / "healthy.safetensors").training
    table = curves(training)
    assert losses(table) == ["reconstruction", "velocity", "commit", "position"]
    assert len(table) == sum(4 + 1 + 6 + 6 for _ in training["history"])
    assert table.loc[table["series"] == ERROR, "value"].iloc[-1] == training["history"][-1]["held_out_mpjpe"]
