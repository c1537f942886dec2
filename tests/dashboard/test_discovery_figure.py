import numpy as np
import pandas as pd

from dashboard import words
from dashboard.figures.discovery import discovery_figure
from rvq_core.stats.token_tables import token_tables


def tables(clips: int, layers: int = 2, codes: int = 30):
    rng = np.random.default_rng(0)
    tokens = [rng.integers(codes, size=(20, layers)) for _ in range(clips)]
    return token_tables(tokens, [codes] * layers, 0.1)["discovery"], pd.DataFrame(
        {"layer": range(1, layers + 1), "codes": codes}
    )


def test_curves_meet_where_the_data_ends_and_carry_their_band():
    discovery, layers = tables(6)
    figure = discovery_figure(discovery, layers)
    lines = [trace for trace in figure.data if trace.name]
    bands = [trace for trace in figure.data if trace.fill == "toself"]
    assert (len(lines), len(bands)) == (4, 2)
    for within, beyond in zip(lines[::2], lines[1::2], strict=True):
        assert within.x[-1] == beyond.x[0] == 120
        assert within.y[-1] == beyond.y[0]
        assert beyond.x[-1] == 240
        assert (within.line.dash, beyond.line.dash) == ("solid", "dot")
    first = discovery[(discovery["layer"] == 1) & ~discovery["extrapolated"]]
    np.testing.assert_allclose(lines[0].y, first["codes_expected"])
    assert next(shape.y0 for shape in figure.layout.shapes) == 30
    assert len(figure.layout.shapes) == 2


def test_without_an_interval_there_is_no_band():
    assert all(trace.fill is None for trace in discovery_figure(*tables(4)).data)


def test_one_token_and_none():
    discovery, layers = tables(1, 1)
    one = discovery[discovery["tokens"] == 1]
    assert len(discovery_figure(one, layers).data) == 2
    assert len(discovery_figure(discovery.iloc[:0], layers).data) == 0


def test_unseen_is_said_with_its_bound():
    layers = pd.DataFrame({"tokens": [600, 600], "unseen": [2, 1]})
    assert words.unseen_note(layers).startswith(
        "3 codes unseen in 600 tokens: the true share of each is below 3/N = 0.50%"
    )
    assert words.unseen_note(layers.assign(unseen=0)) is None
