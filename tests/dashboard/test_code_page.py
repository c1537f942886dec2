"""The page of a code in its states, without a browser."""

import json
from functools import partial

import pytest
from streamlit.testing.v1 import AppTest

from dashboard.figures import usage_image
from dashboard.launch import APP
from dashboard.player import unpack

pytestmark = pytest.mark.usefixtures("own_places")


def open_code(**query: str) -> AppTest:
    at = AppTest.from_file(str(APP), default_timeout=200)
    for name, value in query.items():
        at.query_params[name] = value
    at.run()
    return healthy(at.switch_page("app_pages/code.py").run())


def healthy(at: AppTest) -> AppTest:
    assert not at.exception, at.exception
    assert not at.error, [box.value for box in at.error]
    return at


def text(at: AppTest) -> str:
    return " ".join(element.value for element in [*at.markdown, *at.info])


def test_a_link_restores_layer_and_code():
    at = open_code(layer="2", code="5")
    assert at.selectbox(key="layer").value == 2
    assert at.number_input(key="code").value == 5
    assert "The link asks for" not in " ".join(box.value for box in at.warning)


def test_every_code_has_a_page_and_only_seen_ones_a_player():
    at = open_code()
    played = 0
    for code in range(16):
        at.number_input(key="code").set_value(code)
        healthy(at.run())
        tokens = int(at.metric[0].value)
        players = at.get("bidi_component")
        shown = [
            header for header, _ in (unpack(one.proto.bytes) for one in players if one.proto.bytes) if "clip" in header
        ]
        assert (len(shown) == 1) == (tokens > 0) == ("Unseen in all of these clips" not in text(at))
        played += tokens > 0
    assert 0 < played <= 16


def test_the_window_played_holds_the_code():
    at = open_code(layer="1")
    for code in range(16):
        at.number_input(key="code").set_value(code)
        at.run()
        if int(at.metric[0].value):
            break
    players = [unpack(one.proto.bytes) for one in at.get("bidi_component") if one.proto.bytes]
    ((header, arrays),) = (one for one in players if "clip" in one[0])
    assert code in arrays["tokens"][:, 0]
    assert header["clip"]["frames"] < header["clip"]["total"]


def test_features_without_joints_say_so():
    assert "do not tell joint positions" in text(open_code())


def test_a_code_beyond_a_smaller_codebook_is_told(save_checkpoint, checkpoints):
    save_checkpoint(checkpoints / "c.safetensors", quantizers=1, size=4)
    at = open_code(layer="1", code="9")
    at.selectbox(key="checkpoint").select("c")
    healthy(at.run())
    assert at.number_input(key="code").value == 3
    assert "This is the first layer." in text(at) and "This is the last layer." in text(at)


def test_one_code_has_no_neighbour(save_checkpoint, checkpoints):
    save_checkpoint(checkpoints / "c.safetensors", quantizers=1, size=1)
    at = open_code(checkpoint="c")
    assert text(at).count("The layer has no other code.") == 2


def test_a_click_on_a_cell_of_the_usage_image_leads_to_its_code():
    at = AppTest.from_file(str(APP), default_timeout=200)
    at.run()
    healthy(at.switch_page("app_pages/usage.py").run())
    at.session_state["image"] = {"selection": {"points": [{"customdata": [2, 7, 0, 0, 3, 1.5, 0]}]}}
    healthy(at.run())
    assert at.title[0].value == "Code"
    assert at.selectbox(key="layer").value == 2
    assert at.number_input(key="code").value == 7
    (link,) = [json.loads(one.proto.json) for one in at.get("bidi_component") if "checkpoint" in one.proto.json]
    assert (link["layer"], link["code"]) == ("2", "7")


def test_a_cell_of_several_codes_lets_choose_among_them(monkeypatch):
    monkeypatch.setattr(usage_image, "usage_grid", partial(usage_image.usage_grid, max_columns=8))
    at = AppTest.from_file(str(APP), default_timeout=200)
    at.run()
    healthy(at.switch_page("app_pages/usage.py").run())
    assert any("stands for 2 codes" in caption.value for caption in at.caption)
    drawn = [json.loads(one.proto.spec) for one in at.get("plotly_chart")]
    image = next(one for one in drawn if any(trace["type"] == "heatmap" for trace in one["data"]))
    points = [point for trace in image["data"] if trace["type"] == "scatter" for point in trace["customdata"]]
    cell = next(point for point in points if point[:1] == [2] and point[2] == 4)
    at.session_state["image"] = {"selection": {"points": [{"customdata": cell}]}}
    healthy(at.run())
    assert at.title[0].value == "Usage"
    chosen = next(frame.value for frame in at.dataframe if list(frame.value) == ["code", "status", "count", "share"])
    assert len(chosen) == 2 and chosen["code"].iloc[0] == cell[1]
    at.session_state["cell_table"] = {"selection": {"rows": [1], "columns": [], "cells": []}}
    healthy(at.run())
    assert at.title[0].value == "Code"
    assert (at.selectbox(key="layer").value, at.number_input(key="code").value) == (2, chosen["code"].iloc[1])


def test_a_row_of_a_table_leads_to_its_code_whatever_the_link_named():
    at = AppTest.from_file(str(APP), default_timeout=200)
    for name, value in {"checkpoint": "b", "layer": "2", "order": "code number"}.items():
        at.query_params[name] = value
    at.run()
    healthy(at.switch_page("app_pages/usage.py").run())
    codes = at.dataframe[-1].value["code"].tolist()
    at.session_state["codes_of_layer"] = {"selection": {"rows": [3], "columns": [], "cells": []}}
    healthy(at.run())
    assert at.title[0].value == "Code"
    assert at.selectbox(key="checkpoint").value == "b"
    assert (at.selectbox(key="layer").value, at.number_input(key="code").value) == (2, codes[3])
