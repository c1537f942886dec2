"""The Compare page, without a browser."""

import json

import pytest
from streamlit.testing.v1 import AppTest

from dashboard import watched_pair
from dashboard.launch import APP
from dashboard.player import unpack

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("own_places")]


def open_page(**query: str | list[str]) -> AppTest:
    at = AppTest.from_file(str(APP), default_timeout=120)
    for name, value in query.items():
        at.query_params[name] = value
    at.switch_page("app_pages/compare.py").run()
    assert not at.exception, at.exception
    return at


def table(at: AppTest, number: int = 0):
    return at.dataframe[number].value.set_index("checkpoint")


def test_the_baseline_and_another_side_by_side():
    at = open_page(checkpoint="a")
    assert not at.error
    rows = table(at)
    assert rows["in words"].to_dict() == {"a": "baseline", "b": "no interval"}  # three clips
    assert rows["delta"]["b"] == pytest.approx(rows["value"]["b"] - rows["value"]["a"])
    assert len(at.get("plotly_chart")) == 4
    assert all(chart.proto.alt for chart in at.get("plotly_chart"))
    settings = next(frame.value for frame in at.dataframe if "setting" in frame.value)
    assert settings.set_index("setting").loc["num_quantizers"].tolist() == ["2", "3"]
    assert any("at equal bits" in caption.value for caption in at.caption)
    # Raw features: there is nothing to watch, and the page says so.
    assert not at.main.get("bidi_component") and any("nothing to watch" in info.value for info in at.info)


def test_a_sweep_has_its_settings_as_columns_and_can_be_filtered(checkpoints, save_checkpoint):
    for name, depth in (("c", 4), ("d", 1)):
        save_checkpoint(checkpoints / f"{name}.safetensors", quantizers=depth)
    at = open_page(checkpoint="a", compare=["b", "c", "d"], codes_of="c")
    assert table(at)["num_quantizers"].to_dict() == {"a": 2, "b": 3, "c": 4, "d": 1}
    assert len(at.get("plotly_chart")) == 6
    (parallel,) = (spec for spec in map(figure, at.get("plotly_chart")) if spec["data"][0]["type"] == "parcoords")
    assert {"num_quantizers", "error"} <= {axis["label"] for axis in parallel["data"][0]["dimensions"]}
    at.text_input(key="filter").set_value("C").run()
    assert table(at).index.tolist() == ["c"]
    at.button(key="open_pair").click().run()
    assert at.multiselect(key="compare").value == ["c"]
    assert table(at).index.tolist() == ["a", "c"]


def test_more_settings_than_have_room_become_axes_by_choice(checkpoints, save_checkpoint):
    for name, depth, size in (("c", 3, 16), ("d", 1, 12)):
        settings = {"seed": depth, "batch_size": size, "iterations": 10 * size, "window": size, "warmup": depth}
        save_checkpoint(
            checkpoints / f"{name}.safetensors", quantizers=depth, size=size, training={"settings": settings}
        )
    at = open_page(checkpoint="a", compare=["b", "c", "d"])
    chosen = at.multiselect(key="axes")
    assert len(chosen.options) > 4 and chosen.value == chosen.options[:4]
    assert axes(at) == ["checkpoint", *chosen.options[:4], "perplexity", "unseen", "error"]
    last = chosen.options[-2:]
    chosen.set_value(last).run()
    assert axes(at) == ["checkpoint", *last, "perplexity", "unseen", "error"]
    # Compared with fewer, what no longer differs is no longer an axis.
    at.multiselect(key="compare").set_value(["b", "c"]).run()
    assert not at.exception and axes(at)[-1] == "error"
    assert set(at.multiselect(key="axes").value) <= set(at.multiselect(key="axes").options)


def axes(at: AppTest) -> list[str]:
    (parallel,) = (spec for spec in map(figure, at.get("plotly_chart")) if spec["data"][0]["type"] == "parcoords")
    return [axis["label"] for axis in parallel["data"][0]["dimensions"]]


def test_all_can_be_compared_and_a_row_becomes_the_baseline_or_a_pair(checkpoints, save_checkpoint):
    for name, depth in (("c", 4), ("d", 1)):
        save_checkpoint(checkpoints / f"{name}.safetensors", quantizers=depth)
    at = open_page(checkpoint="a")
    at.button(key="compare_all").click().run()
    assert at.multiselect(key="compare").value == ["b", "c", "d"]
    assert not [button for button in at.button if button.key == "compare_all"]
    rows = table(at).index.tolist()
    at.session_state["compared"] = {"selection": {"rows": [rows.index("c")], "columns": []}}
    at.run()
    at.button(key="new_baseline").click().run()
    assert at.selectbox(key="checkpoint").value == "c"
    assert at.multiselect(key="compare").value == ["a", "b", "d"]
    assert table(at)["in words"]["c"] == "baseline"
    rows = table(at).index.tolist()
    at.session_state["compared"] = {"selection": {"rows": [rows.index("d")], "columns": []}}
    at.run()
    at.button(key="picked_pair").click().run()
    assert table(at).index.tolist() == ["c", "d"]
    assert not at.exception and not at.error


def figure(chart) -> dict:
    return json.loads(chart.proto.spec)


def test_a_link_restores_the_page():
    at = open_page(checkpoint="b", compare=["a"], against="nominal bits/s", matching_layer="2")
    assert at.multiselect(key="compare").value == ["a"]
    titles = [figure(chart)["layout"].get("xaxis", {}).get("title", {}).get("text") for chart in at.get("plotly_chart")]
    assert "nominal bits per second (log2 K a layer)" in titles
    assert not at.main.warning


def test_the_same_file_twice_differs_by_exactly_nothing(checkpoints):
    (checkpoints / "same.safetensors").write_bytes((checkpoints / "a.safetensors").read_bytes())
    at = open_page(checkpoint="a", compare=["same"])
    row = table(at).loc["same"]
    assert (row["delta"], row["in words"]) == (0, "no difference")
    assert any("by number" in caption.value for caption in at.caption)
    assert any("all settings are the same" in box.value for box in at.info)


def test_what_cannot_be_compared_is_told(checkpoints):
    (checkpoints / "bad.safetensors").write_bytes(b"not a checkpoint" * 40)
    at = open_page(checkpoint="a", compare=["b", "bad"])
    (box,) = at.main.warning
    assert "**bad** is left out" in box.value
    assert "expected" in box.value
    assert not at.error
    assert table(at).index.tolist() == ["a", "b"]


def test_nothing_to_compare_with(checkpoints):
    (checkpoints / "b.safetensors").unlink()
    assert "only one checkpoint" in open_page().info[0].value


def test_what_becomes_the_baseline_is_no_longer_compared_and_the_page_is_not_empty(checkpoints, save_checkpoint):
    save_checkpoint(checkpoints / "c.safetensors", quantizers=1)
    at = open_page(checkpoint="a", compare=["b"])
    at.selectbox(key="checkpoint").select("b").run()
    assert not at.exception and not at.error
    assert at.multiselect(key="compare").value == ["a"]
    assert table(at).index.tolist() == ["b", "a"]
    at.multiselect(key="compare").set_value(["c", "a"]).run()
    at.selectbox(key="checkpoint").select("c").run()
    assert at.multiselect(key="compare").value == ["a"]
    # Taken away by hand, it stays away.
    at.multiselect(key="compare").set_value([]).run()
    assert "at least one" in at.info[0].value


def test_none_chosen(checkpoints):
    at = open_page(checkpoint="a")
    at.multiselect(key="compare").set_value([]).run()
    assert "at least one" in at.info[0].value
    assert not at.get("plotly_chart")


def pair(at: AppTest):
    return unpack(at.main.get("bidi_component")[0].proto.bytes)


def test_a_link_restores_what_was_chosen_in_the_player_of_both(smplx, save_motion):
    for name in ("run", "walk"):
        save_motion(smplx / f"{name}.npz", 30)
    at = open_page(watched_clip="walk", n="1", layout="over", paint="error")
    header, _ = pair(at)
    assert header["clip"]["name"] == "walk" and header["beside"]["other"] == "other.safetensors"
    assert header["view"] == {"n": "1", "layout": "over", "paint": "error", "place": "own", "tokens": "share"}
    assert not at.main.warning


def test_a_long_clip_of_both_has_a_slider_for_its_start(smplx, save_motion, monkeypatch):
    monkeypatch.setattr(watched_pair, "MOST_BYTES", 60_000)
    save_motion(smplx / "walk.npz", 150)
    at = open_page()
    header, _ = pair(at)
    assert header["clip"]["frames"] < header["clip"]["total"] == 150 and header["clip"]["start"] == 0
    at.slider(key="start").set_value(2).run()
    header, arrays = pair(at)
    assert header["clip"]["start"] == 60
    assert arrays["joints"].shape[:2] == (6, header["clip"]["frames"])
    assert pair(open_page(start="2"))[0]["id"] == header["id"]
