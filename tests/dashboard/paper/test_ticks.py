from itertools import pairwise

import numpy as np
import plotly.graph_objects as go
import pytest
from plotly.subplots import make_subplots

from dashboard.paper.draw import draw
from dashboard.paper.style import PRESETS, drawing
from dashboard.paper.ticks import labelled


@pytest.mark.parametrize("columns", [1, 2, 3])
def test_numbers_along_an_axis_stand_at_even_steps_and_apart(columns):
    figure = make_subplots(1, columns)
    for column in range(1, columns + 1):
        figure.add_trace(go.Scatter(x=[500, 16_000], y=[1.0, 2.0]), row=1, col=column)
    with drawing(PRESETS["double"]):
        drawn = draw(figure, PRESETS["double"])
    for axes in drawn.axes:
        shown = labelled(axes, "x")
        assert len(shown) >= 3
        assert len(set(np.diff([tick for tick, _ in shown]))) == 1
        boxes = [label.get_window_extent() for _, label in shown]
        assert all(a.x1 < b.x0 for a, b in pairwise(boxes))
        assert boxes[-1].x1 <= drawn.bbox.width
