import pandas as pd
import pytest

from dashboard.figures import training
from rvq_core.training.curves import curves


def run(name: str, *, scale: float = 1.0, steps: int = 4) -> pd.DataFrame:
    history = [
        {"iteration": 10 * n, "reconstruction": scale / n, "commit": 0.0, "perplexity": [n, 2 * n], "unseen": [9, 1],
         "held_out_mpjpe": scale * error}
        for n, error in zip(range(1, steps + 1), (80.0, 50.0, 60.0, 70.0), strict=False)
    ]  # fmt: skip
    return curves({"history": history}).assign(run=name)


def series(table: pd.DataFrame, name: str) -> pd.DataFrame:
    return table[table["series"] == name]


def test_the_lowest_error_of_each_run_has_a_star():
    table = pd.concat([run("a"), run("b", scale=2.0)])
    figure = training.error_over_training(series(table, "held_out_mpjpe"))
    stars = [trace for trace in figure.data if trace.marker.symbol == "star"]
    assert [(star.x[0], star.y[0]) for star in stars] == [(20, 50.0), (20, 100.0)]
    assert [trace.name for trace in figure.data if trace.mode == "lines+markers"] == ["a", "b"]
    assert figure.layout.yaxis.title.text.endswith("(mm)") and figure.layout.showlegend


def test_each_loss_has_its_own_logarithmic_axes_and_zero_is_left_out():
    figure = training.losses_over_training(run("a"), ["reconstruction", "commit"])
    first, second = figure.data
    assert list(first.y) == [1.0, 0.5, pytest.approx(1 / 3), 0.25] and len(second.y) == 0
    assert (first.xaxis, second.xaxis) == ("x", "x2")
    assert figure.layout.yaxis.type == figure.layout.yaxis2.type == "log"
    assert figure.layout.xaxis2.title.text == training.ITERATION
    assert "0.5" in figure.layout.yaxis.ticktext
    assert [title.text for title in figure.layout.annotations] == ["reconstruction", "commit"]


def test_usage_of_one_run_is_by_layer_and_of_several_by_run():
    alone = training.usage_over_training(series(run("a"), "perplexity"), "perplexity")
    assert [trace.name for trace in alone.data] == ["layer 1", "layer 2"]
    table = pd.concat([run("a"), run("b")])
    rows = series(table[table["layer"] == 2], "unseen")
    assert [trace.name for trace in training.usage_over_training(rows, "unseen").data] == ["a", "b"]
