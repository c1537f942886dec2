import plotly.graph_objects as go
from plotly.subplots import make_subplots

from dashboard.paper import PRESETS, figure_files
from dashboard.paper.draw import draw
from dashboard.paper.style import drawing


def four() -> go.Figure:
    """Small charts a, b, c in two rows, one line each; the second with a logarithmic axis of its own."""
    figure = make_subplots(2, 2, subplot_titles=["a", "b", "c"])
    for number, (row, column) in enumerate([(1, 1), (1, 2), (2, 1)], start=1):
        line = go.Scatter(x=[1, 2], y=[number, 10 * number], name="run", mode="lines", showlegend=number == 1)
        figure.add_trace(line, row=row, col=column)
        figure.update_yaxes(title=f"unit {number}", row=row, col=column)
    return figure.update_yaxes(type="log", row=1, col=2)


def test_each_small_chart_has_its_place_its_line_its_title_and_its_axes():
    with drawing(PRESETS["double"]):
        drawn = draw(four(), PRESETS["double"])
    found = {axes.get_title(): axes for axes in drawn.axes}
    assert list(found) == ["a", "b", "c"]
    assert [axes.lines[0].get_ydata().tolist() for axes in drawn.axes] == [[1, 10], [2, 20], [3, 30]]
    assert [axes.get_ylabel() for axes in drawn.axes] == ["unit 1", "unit 2", "unit 3"]
    assert [axes.get_yscale() for axes in drawn.axes] == ["linear", "log", "linear"]
    a, b, c = (axes.get_position() for axes in drawn.axes)
    assert a.x1 < b.x0
    assert c.y1 < a.y0
    assert abs(a.x0 - c.x0) < 1e-6


def test_a_run_stands_in_the_legend_once_and_titles_are_drawn_once():
    svg = figure_files(four().update_layout(showlegend=True), ("svg",), title="Losses")["svg"].decode()
    assert svg.count(">run<") == 1
    assert svg.count(">Losses<") == 1
    assert all(svg.count(f">{name}<") == 1 for name in "abc")


def test_a_title_without_a_legend_stands_above_all_charts():
    with drawing(PRESETS["single"]):
        drawn = draw(four().update_layout(showlegend=False), PRESETS["single"], "Losses")
    assert drawn.get_suptitle() == "Losses"
    top = max(axes.get_tightbbox().y1 for axes in drawn.axes)
    assert drawn._suptitle.get_window_extent().y0 >= top
