"""Selections that all views share: what an address means, what pages mark of it, how it is told and cleared."""

import json
from pathlib import Path

import numpy as np
import pytest
from plots import values
from streamlit.testing.v1 import AppTest

from dashboard import breadcrumb, linked, sources
from dashboard.launch import APP
from dashboard.linked import Linked
from dashboard.player import unpack
from rvq_core import analyze, load_checkpoint, load_clips


@pytest.fixture(autouse=True)
def given_at_start(own_places, tmp_path: Path, monkeypatch, checkpoints: Path, clips: Path):
    monkeypatch.setattr(sources, "bundled_checkpoints", lambda: tmp_path / "none")
    monkeypatch.setenv(sources.CHECKPOINTS_VARIABLE, str(checkpoints))
    monkeypatch.setenv(sources.CLIPS_VARIABLE, str(clips))


@pytest.fixture
def measured(checkpoints: Path, clips: Path):
    return analyze(load_checkpoint(checkpoints / "a.safetensors"), load_clips([clips]))


def open_page(page: str = "overview", **query: str | list[str]) -> AppTest:
    at = AppTest.from_file(str(APP), default_timeout=60)
    for name, value in query.items():
        at.query_params[name] = value
    return healthy(at.switch_page(f"app_pages/{page}.py").run())


def healthy(at: AppTest) -> AppTest:
    assert not at.exception, at.exception
    assert not at.error, [box.value for box in at.error]
    return at


def figures(at: AppTest) -> list[dict]:
    return [json.loads(chart.proto.spec) for chart in at.get("plotly_chart")]


def traces(at: AppTest, name: str) -> list[dict]:
    return [trace for figure in figures(at) for trace in figure["data"] if trace.get("name", "").startswith(name)]


def marked(at: AppTest) -> list[list[int]]:
    """Layer and code of what the map does not fade."""
    found = []
    for trace in figures(at)[0]["data"]:
        if trace.get("customdata") is not None:
            assert "selectedpoints" in trace
            found += [trace["customdata"][number][:2] for number in trace["selectedpoints"]]
    return sorted(found)


def labels(at: AppTest) -> list[str]:
    return [button.label for button in at.button]


@pytest.mark.parametrize(
    ("query", "clips", "meant"),
    [
        ({"selected_layers": "3,1,3"}, [], Linked(layers=(1, 3))),
        ({"selected_codes": "2:5,1:17,2:5"}, [], Linked(codes=((1, 17), (2, 5)))),
        ({}, ["walk", "run, fast", "walk"], Linked(clips=("walk", "run, fast"))),
        ({"selected_codes": "1:x,-,:4,7,<b>1:2</b>"}, [], Linked(codes=((1, 2),))),
        ({"selected_layers": "9" * 400, "selected_codes": "1:" + "9" * 400}, [], Linked()),
        ({}, [], Linked()),
    ],
)
def test_what_an_address_selects(query, clips, meant):
    assert linked.read(query, clips) == meant


def test_what_is_written_is_read_again():
    chosen = Linked((1, 4), ((1, 0), (6, 1023)), ("a b", "c&d"))
    written = {kind: linked.written_values(kind, getattr(chosen, kind)) for kind in linked.KINDS}
    query = {f"selected_{kind}": values[0] for kind, values in written.items()}
    assert linked.read(query, written["clips"]) == chosen


def test_an_address_that_holds_too_much_is_cut():
    codes = ",".join(f"1:{code}" for code in range(5000))
    assert len(linked.read({"selected_codes": codes}, []).codes) == linked.MOST_IN_LINK


def test_names_of_what_is_selected():
    told = breadcrumb.named(Linked((2,), ((1, 3), (2, 0), (2, 5)), ("walk_01", "run")))
    assert told == {"layers": "layer 2", "codes": "3 codes of layers 1, 2", "clips": "2 clips: walk\\_01 and 1 more"}
    told = breadcrumb.named(Linked((1, 3), ((1, 3),), ("x" * 200,)))
    assert told["layers"] == "layers 1, 3" and told["codes"] == "layer 1, code 3" and len(told["clips"]) < 60


def test_a_selection_goes_from_page_to_page_and_is_cleared():
    at = open_page("codebook_map", selected_codes="1:3,2:5", selected_layers="2")
    assert marked(at) == [[1, 3], [2, 5]] and "2 selected" in [heading.value for heading in at.subheader]
    assert {"layer 2", "2 codes of layers 1, 2", "Clear all"} <= set(labels(at))
    at = healthy(at.switch_page("app_pages/usage.py").run())
    stars = traces(at, "selected")
    assert stars and at.query_params["selected_codes"] in ("1:3,2:5", ["1:3,2:5"])
    faded = {trace["name"]: trace.get("opacity") for trace in traces(at, "layer ") if trace["type"] == "scatter"}
    assert faded["layer 1"] == pytest.approx(0.2) and faded["layer 2"] == 1
    at = healthy(at.button(key="clear_codes").click().run())
    assert "selected_codes" not in at.query_params and "layer 2" in labels(at) and not traces(at, "selected")
    at = healthy(at.button(key="clear_layers").click().run())
    assert "layer 2" not in labels(at)


def test_a_click_on_the_map_selects_for_all_pages():
    at = open_page("codebook_map")
    at.session_state["map"] = {"selection": {"points": [{"customdata": [2, 5]}, {"customdata": [1, 3]}, {}]}}
    at = healthy(at.run())
    assert marked(at) == [[1, 3], [2, 5]]
    at = healthy(at.switch_page("app_pages/code.py").run())
    assert (at.selectbox(key="layer").value, at.number_input(key="code").value) == (1, 3)
    at = healthy(at.button(key="code_after").click().run())
    assert (at.selectbox(key="layer").value, at.number_input(key="code").value) == (2, 5)


def test_layers_without_codes_fade_the_codes_of_others():
    at = open_page("codebook_map", selected_layers="2")
    assert {layer for layer, _ in marked(at)} == {2}


def test_layers_are_marked_in_both_figures_of_the_overview():
    at = open_page(selected_layers="2")
    bars = next(trace for trace in figures(at)[0]["data"] if trace["type"] == "bar")
    (line,) = traces(at, "quantised")
    assert bars["selectedpoints"] == [1] and line["selectedpoints"] == [2]  # the error's axis begins with none


def test_selected_clips_have_counts_and_an_error_of_their_own(measured):
    clip = measured.clips["clip"].iloc[-1]
    at = open_page("usage", selected_clips=[clip], counts="selected clips")
    tokens = measured.tokens[len(measured.clips) - 1]
    assert any(f"{len(tokens):,} tokens a layer" in caption.value for caption in at.caption)
    curve = traces(at, "layer 1")[-1]
    shares = np.sort(np.bincount(tokens[:, 0]))[::-1] / len(tokens)
    np.testing.assert_allclose(values(curve["y"]), shares[shares > 0])

    at = open_page("reconstruction", selected_clips=[clip])
    (line,) = traces(at, "selected clips (1)")
    errors = measured.clip_errors
    metric = "feature_mse" if measured.clips.get("mpjpe") is None else "mpjpe"
    own = errors[(errors["clip"] == clip) & (errors["n_active"] >= 0) & (errors["metric"] == metric)]
    np.testing.assert_allclose(values(line["y"]), own.sort_values("n_active")["value"])


def test_the_clip_page_opens_with_a_selected_clip(measured):
    last = measured.clips["clip"].iloc[-1]
    at = open_page("clip", selected_clips=[last])
    assert at.selectbox(key="clip_chosen").value == last


def test_what_a_report_does_not_have_is_let_go_of_and_told():
    at = open_page(selected_codes="1:3,9:1,1:999999", selected_clips=["gone"])
    assert "2 codes and 1 clip" in at.info[0].value
    assert "layer 1, code 3" in labels(at) and "clip gone" not in labels(at)
    assert not at.run().info


def test_codes_of_another_checkpoint_are_not_selected():
    at = open_page("codebook_map", checkpoint="a.safetensors", selected_codes="1:3", selected_layers="1")
    at = healthy(at.selectbox(key="checkpoint").select("b.safetensors").run())
    assert "layer 1" in labels(at) and "layer 1, code 3" not in labels(at)


def test_the_chart_that_selected_keeps_its_widget_and_others_begin_anew():
    def script():
        import streamlit as st

        from dashboard import linked

        linked.choose("clips", ["a"], source="clip_errors")
        st.text(f"{linked.key('clip_errors')} {linked.key('code_clips')} {linked.key('map')}")

    at = AppTest.from_function(script).run()
    assert at.text[0].value == "clip_errors code_clips_1 map"
    assert at.run().text[0].value == "clip_errors code_clips_1 map"  # the same again is no change


def test_tokens_of_selected_codes_or_layers_stand_out_on_the_clip_page():
    def sent(**query: str):
        at = open_page("clip", **query)
        return at, unpack(at.get("bidi_component")[0].proto.bytes)[1]

    _, plain = sent()
    tokens = plain["tokens"]
    assert "marked" not in plain
    code = int(tokens[0, 1])
    at, arrays = sent(selected_codes=f"2:{code}", selected_layers="1")
    marked = arrays["marked"]
    assert not marked[:, 0].any() and (marked[:, 1] == (tokens[:, 1] == code)).all()
    assert any(f"{marked.sum()} token" in caption.value for caption in at.caption)
    unused = next(code for code in range(16) if code not in tokens[:, 1])
    at, arrays = sent(selected_codes=f"2:{unused}")
    assert "marked" not in arrays and any("No token of this clip" in caption.value for caption in at.caption)
    _, of_layer = sent(selected_layers="1")
    assert of_layer["marked"][:, 0].all() and not of_layer["marked"][:, 1].any()


def test_selected_layers_stand_out_in_a_comparison_and_over_training():
    compared = open_page("compare", checkpoint="a", compare="b", selected_layers="2")
    lines = [trace for trace in traces(compared, "b") if "layer %{x}: perplexity" in trace.get("hovertemplate", "")]
    assert [line["selectedpoints"] for line in lines] == [[1]]
    trained = open_page("training", checkpoint="a", selected_layers="2")
    faded = {trace["name"]: trace["opacity"] for one in ("layer 1", "layer 2") for trace in traces(trained, one)}
    assert faded["layer 1"] < faded["layer 2"] == 1
