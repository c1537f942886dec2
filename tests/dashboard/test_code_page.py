"""The page of a code in its states, without a browser."""

import json
from functools import partial

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from dashboard.code_windows import run_around
from dashboard.figures import usage_image
from dashboard.launch import APP
from dashboard.player import unpack

pytestmark = pytest.mark.usefixtures("own_places")


def open_code(**query: str) -> AppTest:
    at = AppTest.from_file(str(APP), default_timeout=200)
    for name, value in query.items():
        at.query_params[name] = value
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


def test_without_a_link_the_most_used_code_is_shown_and_with_one_that_of_the_link():
    at = open_code(layer="2")
    shown = at.number_input(key="code").value
    tokens = {}
    for code in range(16):
        at.number_input(key="code").set_value(code)
        tokens[code] = int(healthy(at.run()).metric[0].value)
    assert tokens[shown] == max(tokens.values())
    least = min(tokens, key=tokens.__getitem__)
    assert open_code(layer="2", code=str(least)).number_input(key="code").value == least


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
    assert any("stands for 4 codes" in caption.value for caption in at.caption)
    drawn = [json.loads(one.proto.spec) for one in at.get("plotly_chart")]
    image = next(one for one in drawn if any(trace["type"] == "heatmap" for trace in one["data"]))
    points = [point for trace in image["data"] if trace["type"] == "scatter" for point in trace["customdata"]]
    cell = next(point for point in points if point[:1] == [2] and point[2] == 4)
    at.session_state["image"] = {"selection": {"points": [{"customdata": cell}]}}
    healthy(at.run())
    assert at.title[0].value == "Usage"
    chosen = next(frame.value for frame in at.dataframe if list(frame.value) == ["code", "status", "count", "share"])
    assert len(chosen) == 4 and chosen["code"].iloc[0] == cell[1]
    at.session_state["cell_table"] = {"selection": {"rows": [1], "columns": [], "cells": []}}
    healthy(at.run())
    assert at.title[0].value == "Code"
    assert (at.selectbox(key="layer").value, at.number_input(key="code").value) == (2, chosen["code"].iloc[1])


def test_a_row_of_a_table_leads_to_its_code_whatever_the_link_named():
    at = AppTest.from_file(str(APP), default_timeout=200)
    for name, value in {"checkpoint": "b", "usage_layer": "2", "order": "code number"}.items():
        at.query_params[name] = value
    at.run()
    healthy(at.switch_page("app_pages/usage.py").run())
    codes = at.dataframe[-1].value["code"].tolist()
    at.session_state["codes_of_layer"] = {"selection": {"rows": [3], "columns": [], "cells": []}}
    healthy(at.run())
    assert at.title[0].value == "Code"
    assert at.selectbox(key="checkpoint").value == "b"
    assert (at.selectbox(key="layer").value, at.number_input(key="code").value) == (2, codes[3])


def played(at: AppTest) -> dict[str, tuple]:
    """What the players of the page are sent: the scenes by what they say they show, the clip's under its name."""
    sent = [unpack(one.proto.bytes) for one in at.get("bidi_component") if one.proto.bytes]
    return {one[0]["scene"]["alt"] if "scene" in one[0] else one[0]["clip"]["name"]: one for one in sent}


@pytest.fixture
def moving(smplx, save_motion):
    for seed, name in enumerate(("run", "walk")):
        save_motion(smplx / f"{name}.npz", 90, seed)


def used_code(at: AppTest, windows: int = 1) -> int:
    """The shown code, or the first other that has so many windows."""
    others = iter(range(16))
    while not any(len(one[0]["scene"]["places"]) >= windows for alt, one in played(at).items() if "nearest" in alt):
        at.number_input(key="code").set_value(next(others))
        healthy(at.run())
    return at.number_input(key="code").value


@pytest.mark.usefixtures("moving")
def test_a_code_moves_alone_in_context_in_its_windows_and_on_the_way_to_another():
    at = open_code(layer="2")
    code = used_code(at)
    sent = played(at)
    assert [next((name for name in sent if part in name), None) is not None for part in
            ("coming and going", "nearest to code", "of the way to code")] == [True] * 3  # fmt: skip
    held, arrays = next(both for name, both in sent.items() if "coming and going" in name)
    labels = [[actor["label"] for actor in place] for place in held["scene"]["places"]]
    assert labels == [["decoder on zeros", f"code {code} alone"],
                      ["their average", f"code {code} on the average of the other layers"]]  # fmt: skip
    assert arrays["joints"].shape == (4, 40, 55, 3)
    assert arrays["marked"].sum(axis=1).tolist() == [0, 24, 0, 24]
    # The code is all that differs, and the decoder sees a few tokens of it before it comes.
    apart = np.abs(arrays["joints"][2].astype(int) - arrays["joints"][3])
    assert apart[:2].max() < apart[20].max()

    windows, marked = next(both for name, both in sent.items() if "nearest to code" in name)
    middle = windows["clip"]["frames"] // 2
    assert marked["marked"][:, middle].all() and not marked["marked"].all()
    window = next(header for name, (header, _) in sent.items() if name in ("run", "walk"))
    assert window["beside"]["name"] == f"without code {code}"
    assert any("taken out of the sum" in caption.value and "mm without it" in caption.value for caption in at.caption)
    # All that the page sends to play is small.
    assert sum(len(one.proto.bytes) for one in at.get("bidi_component")) < 1_500_000


@pytest.mark.usefixtures("moving")
def test_the_way_between_two_clips_plays_and_a_link_restores_it():
    at = open_code(between="clips", from_clip="walk", from_second="1", to_clip="run")
    way, arrays = next(both for name, both in played(at).items() if "points on the way" in name)
    labels = [actor["label"] for place in way["scene"]["places"] for actor in place]
    assert labels == ["walk", "25% of the way", "50% of the way", "75% of the way", "run"]
    assert arrays["joints"].shape == (5, 60, 55, 3)  # 90 frames less a second
    assert at.number_input(key="from_second").value == 1
    assert not at.main.warning


@pytest.mark.usefixtures("moving")
def test_a_link_restores_window_and_view():
    at = open_code(layer="1")
    code = used_code(at, windows=2)
    gallery = next(one[0] for alt, one in played(at).items() if "nearest" in alt)
    label = gallery["scene"]["places"][1][0]["label"]
    linked = open_code(layer="1", code=str(code), window=label, n="0", layout="over")
    assert linked.session_state["window"] == label and not linked.main.warning
    header, _ = next(both for name, both in played(linked).items() if name in ("run", "walk"))
    assert header["clip"]["name"] == label.split(" at ")[0]
    assert (header["view"]["n"], header["view"]["layout"], header["view"]["tokens"]) == ("0", "over", "code")


def test_the_run_of_a_token_is_found_at_both_ends():
    tokens = np.array([3, 3, 5, 5, 5, 3])
    assert [run_around(tokens, token) for token in range(6)] == [(0, 2)] * 2 + [(2, 5)] * 3 + [(5, 6)]


def test_a_link_to_a_code_that_is_not_there_shows_the_most_used_and_says_so():
    shown = open_code(layer="2").number_input(key="code").value
    at = open_code(layer="2", code="999")
    assert at.number_input(key="code").value == shown
    assert any(
        f"The link asks for code `999`, which is not here; `{shown}` is shown" in box.value for box in at.warning
    )
