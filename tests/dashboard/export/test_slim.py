import base64

import numpy as np
import plotly.graph_objects as go

from dashboard.export.slim import slim


def test_numbers_keep_seven_digits_and_all_else_stays():
    x = np.array([1 / 3, 1e9 + 1])
    mixed = np.array([[1, 2 / 3, "name", None]], dtype=object)
    figure = go.Figure(go.Scatter(x=x, y=np.array([1, 2]), customdata=mixed, name="a", marker_size=7))
    figure.update_layout(xaxis_range=[0.1234567891, 2])
    (trace,), layout = (slim(figure)[part] for part in ("data", "layout"))
    assert trace["x"]["dtype"] == "f4"
    np.testing.assert_allclose(np.frombuffer(base64.b64decode(trace["x"]["bdata"]), "<f4"), x, rtol=1e-7)
    assert trace["y"] == figure.to_plotly_json()["data"][0]["y"]  # integers, in few bytes already
    assert trace["customdata"] == [[1, 0.6666667, "name", None]]
    assert (trace["name"], trace["marker"]["size"]) == ("a", 7)
    assert layout["xaxis"]["range"] == [0.1234568, 2]
    assert figure.data[0].x[0] == 1 / 3  # the figure that was given stays as it was
