"""Each page in its states, without a browser."""

import json
from pathlib import Path

import numpy as np
import pytest
import streamlit as st
import torch
from streamlit.testing.v1 import AppTest

from dashboard import memory, projection_store, sources
from dashboard.explained import WHAT
from dashboard.launch import APP
from rvq_core import analysis
from rvq_core.verdicts import SEVERITIES, Finding

PAGES = ("overview", "usage", "codebook_map", "reconstruction", "clip")
CHARTS = {"overview": 2, "usage": 4, "codebook_map": 1, "reconstruction": 8, "clip": 0}


pytestmark = pytest.mark.usefixtures("own_places")


def open_page(page: str = "overview", **query: str) -> AppTest:
    at = AppTest.from_file(str(APP), default_timeout=60)
    for name, value in query.items():
        at.query_params[name] = value
    return at.switch_page(f"app_pages/{page}.py").run()


def healthy(at: AppTest) -> AppTest:
    assert not at.exception, at.exception
    assert not at.error, [box.value for box in at.error]
    return at


def spec(at: AppTest, number: int = 0) -> dict:
    return json.loads(at.get("plotly_chart")[number].proto.spec)


@pytest.mark.parametrize("page", PAGES)
def test_every_page_shows_results_at_once(page):
    at = healthy(open_page(page))
    assert len(at.title) == 1
    charts = at.get("plotly_chart")
    assert len(charts) == CHARTS[page]
    assert all(json.loads(chart.proto.spec)["data"] for chart in charts)
    assert all(chart.proto.alt for chart in charts)
    assert any("**67 tokens** of 3 clips" in caption.value for caption in at.caption)


def test_overview_tells_training_from_held_out_and_shows_the_health_of_each_layer():
    at = healthy(open_page())
    assert any("1 held out, 2 trained on" in caption.value for caption in at.caption)
    table = at.dataframe[0].value
    assert table["layer"].tolist() == [1, 2]
    bars = spec(at)["data"][0]
    assert "67 tokens" in bars["name"]


@pytest.mark.usefixtures("anew")
def test_verdicts_come_first_and_worst_first_with_figure_cause_and_advice(monkeypatch):
    found = [Finding("held_out_gap", "note", "A small thing.", "cause n", "advice n", "9 clips")]
    found.append(
        Finding("unseen_codes", "severe", "Half_is *gone*.", "cause s", "advice s", "67 tokens", (1,), 0.5, 0.4)
    )
    found.append(
        Finding("dominated_layer", "warning", "One code.", "cause w", "advice w", "67 tokens", (), 0.3, 0.2, 0.1, 0.4)
    )
    monkeypatch.setattr(
        analysis,
        "verdicts",
        lambda *_: [f.to_dict() for f in sorted(found, key=lambda f: SEVERITIES.index(f.severity))],
    )
    at = healthy(open_page())
    told = [element.value for element in at.markdown if "-badge[" in element.value]
    assert [text.split("]")[0].split()[-1] for text in told] == ["severe", "warning", "note"]
    assert "Half\\_is \\*gone\\*." in told[0]
    assert any("**What to try.** advice s" in element.value for element in at.markdown)
    captions = " ".join(caption.value for caption in at.caption)
    assert "Figure 0.5 (no interval), threshold 0.4, measured on 67 tokens." in captions
    assert "Figure 0.3 (95 %\\: 0.1 to 0.4), threshold 0.2" in captions
    assert any(expander.label.startswith("1 note") for expander in at.expander)
    assert at.subheader[0].value == "Verdicts"


@pytest.mark.usefixtures("anew")
def test_no_verdict_is_told_as_such(monkeypatch):
    monkeypatch.setattr(analysis, "verdicts", lambda *_: [])
    at = healthy(open_page())
    assert any("No rule passed its threshold" in element.value for element in at.markdown)


def test_another_checkpoint_is_analysed_when_chosen():
    at = open_page()
    at.selectbox(key="checkpoint").select("b").run()
    assert healthy(at).dataframe[0].value["layer"].tolist() == [1, 2, 3]
    assert any("does not tell" in caption.value for caption in at.caption)


@pytest.mark.parametrize("page", PAGES)
def test_held_out_clips_alone(page):
    at = healthy(open_page(page, split="held-out"))
    assert any("15 tokens** of 1 clip " in caption.value for caption in at.caption)


def test_held_out_without_any_says_what_to_do():
    at = open_page(checkpoint="b", split="held-out")
    assert len(at.error) == 1
    assert "choose 'all'" in at.error[0].value
    assert not at.exception


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("content", [b"", b"not a checkpoint" * 40], ids=["empty", "foreign"])
def test_a_broken_checkpoint_is_one_box(page, content, checkpoints: Path):
    (checkpoints / "bad.safetensors").write_bytes(content)
    at = open_page(page, checkpoint="bad")
    assert not at.exception
    assert len(at.error) == 1
    assert all(word in at.error[0].value for word in ("bad.safetensors", "Expected", "Found", "What to do"))
    assert len(at.title) == 1


@pytest.mark.parametrize("page", PAGES)
def test_no_checkpoint_at_all_says_so(page, tmp_path: Path, monkeypatch):
    monkeypatch.setattr(sources, "bundled_checkpoints", lambda: tmp_path / "none")
    at = open_page(page)
    assert not at.exception and not at.error
    assert "no checkpoint" in at.info[0].value


def test_a_folder_without_checkpoints_says_so_and_falls_back(tmp_path: Path, monkeypatch):
    (tmp_path / "empty").mkdir()
    monkeypatch.setenv(sources.CHECKPOINTS_VARIABLE, str(tmp_path / "empty"))
    at = healthy(open_page())
    assert "No checkpoint in" in at.warning[0].value
    assert at.selectbox(key="checkpoint").value == "a"


def test_the_folders_given_at_start_come_first(tmp_path: Path, monkeypatch, save_checkpoint):
    save_checkpoint(tmp_path / "mine" / "run" / "best.safetensors", quantizers=4)
    monkeypatch.setenv(sources.CHECKPOINTS_VARIABLE, str(tmp_path / "mine"))
    at = healthy(open_page())
    assert at.selectbox(key="checkpoint").value == "run/best.safetensors"
    assert len(at.dataframe[0].value) == 4


def test_clips_that_cannot_be_used_are_listed_and_the_rest_is_analysed(clips: Path):
    np.save(clips / "bad_nan.npy", np.full((20, 12), np.nan, np.float32))
    np.save(clips / "bad_width.npy", np.zeros((20, 7), np.float32))
    np.save(clips / "bad_short.npy", np.zeros((1, 12), np.float32))
    at = healthy(open_page())
    assert any("of 3 clips" in caption.value for caption in at.caption)
    expander = next(e for e in at.expander if "left out" in e.label)
    assert expander.label.startswith("3 left out")
    listed = " ".join(element.value for element in expander.markdown)
    assert all(name in listed for name in ("bad\\_nan", "bad\\_width", "bad\\_short"))


def test_a_checkpoint_that_fits_no_clip_still_shows_its_map(clips: Path):
    for path in clips.iterdir():
        path.unlink()
    np.save(clips / "other.npy", np.zeros((20, 7), np.float32))
    at = open_page("codebook_map")
    assert not at.exception and len(at.error) == 1 and "D = 7" in at.error[0].value
    assert at.get("plotly_chart")


def test_no_clip_at_all_is_one_box(tmp_path: Path, monkeypatch):
    (tmp_path / "no_clips").mkdir()
    monkeypatch.setenv(sources.CLIPS_VARIABLE, str(tmp_path / "no_clips"))
    at = open_page()
    assert not at.exception
    assert len(at.error) == 1


def test_a_link_to_something_that_is_not_here_says_so():
    at = healthy(open_page(checkpoint="gone"))
    assert "`gone`" in at.warning[0].value
    assert at.selectbox(key="checkpoint").value == "a"
    at.selectbox(key="checkpoint").select("b").run()
    assert not at.warning


def test_an_uploaded_checkpoint_is_chosen_and_forgotten_when_taken_away(tmp_path: Path, save_checkpoint):
    content = save_checkpoint(tmp_path / "up.safetensors", quantizers=4).read_bytes()
    at = open_page()
    at.file_uploader[0].set_value(("up.safetensors", content, "application/octet-stream")).run()
    assert len(healthy(at).dataframe[0].value) == 4
    assert at.selectbox(key="checkpoint").value == "up.safetensors (uploaded)"
    at.file_uploader[0].clear().run()
    assert at.selectbox(key="checkpoint").value == "a"
    assert len(healthy(at).dataframe[0].value) == 2


def test_an_uploaded_file_that_is_no_checkpoint_is_one_box_without_our_folders():
    at = open_page()
    at.file_uploader[0].set_value(("odd name.pt", b"nothing", "application/octet-stream")).run()
    assert not at.exception
    assert len(at.error) == 1
    assert "odd\\_name.pt" in at.error[0].value and "rvq-lens-uploads" not in at.error[0].value


def test_uploaded_clips_are_analysed_and_bad_ones_among_them_told():
    import io

    def npy(features: np.ndarray) -> bytes:
        file = io.BytesIO()
        np.save(file, features.astype(np.float32))
        return file.getvalue()

    at = open_page()
    good, bad = npy(np.sin(np.arange(600).reshape(50, 12))), npy(np.zeros((9, 5)))
    at.file_uploader[1].set_value([("good.npy", good, "x"), ("bad.npy", bad, "x")]).run()
    assert at.selectbox(key="clips").value == "uploaded (2)"
    assert any("**25 tokens** of 1 clip " in caption.value for caption in healthy(at).caption)
    assert any(expander.label.startswith("1 left out") for expander in at.expander)


@pytest.mark.parametrize("page", ["overview", "usage", "reconstruction", "clip"])
def test_codebooks_alone_say_what_the_page_needs(page, codebooks_only):
    at = healthy(open_page(page))
    assert "without an encoder" in at.info[0].value


def test_codebooks_alone_are_on_the_map(codebooks_only):
    at = healthy(open_page("codebook_map"))
    points = sum(len(trace["x"]) if isinstance(trace["x"], list) else 1 for trace in spec(at)["data"])
    assert points
    assert "usage" not in at.button_group(key="colour").options


@pytest.fixture
def codebooks_only(tmp_path: Path, monkeypatch):
    """A file of vector-quantize-pytorch, which holds no encoder, given at start."""
    state = {}
    for q in range(3):
        state |= {
            f"layers.{q}._codebook.embed": torch.randn(1, 12, 5), f"layers.{q}._codebook.initted": torch.tensor(True),
            f"layers.{q}._codebook.cluster_size": torch.full((1, 12), 2.0),
        }  # fmt: skip
    (tmp_path / "given").mkdir()
    torch.save(state, tmp_path / "given/rvq.pt")
    monkeypatch.setenv(sources.CHECKPOINTS_VARIABLE, str(tmp_path / "given"))


@pytest.mark.parametrize("page", PAGES)
def test_codebooks_alone_show_the_usage_of_latents(page, codebooks_only, tmp_path: Path, monkeypatch):
    (tmp_path / "dumped").mkdir()
    np.save(tmp_path / "dumped/latents.npy", np.random.default_rng(0).normal(size=(6, 5, 9)).astype(np.float32))
    monkeypatch.setenv(sources.CLIPS_VARIABLE, str(tmp_path / "dumped"))
    at = healthy(open_page(page))
    assert any("**54 tokens** of 6 clips" in caption.value for caption in at.caption)
    assert at.get("bidi_component" if page == "clip" else "plotly_chart")
    if page == "reconstruction":
        assert "no motion to compare with" in at.info[0].value


def test_the_user_can_say_how_the_file_is_read():
    at = open_page("overview", activation="gelu", dilation="2")
    notes = " ".join(element.value for element in healthy(at).markdown)
    assert "activation = gelu, given by the user" in notes and "dilation_growth_rate = 2, given by the user" in notes
    plain = open_page("overview")
    assert at.metric[-1].value != plain.metric[-1].value  # another activation, another error: nothing stale is shown


def test_usage_can_be_shown_by_code_number():
    at = open_page("usage", order="code number")
    assert spec(healthy(at), 2)["layout"]["xaxis"]["title"]["text"] == "code number"


def test_how_long_codes_stay_in_each_layer():
    at = healthy(open_page("usage"))
    (table,) = [shown.value for shown in at.dataframe if "self_transition" in shown.value]
    assert table["layer"].tolist() == [1, 2]
    assert (table["runs"] * table["mean_tokens"]).round(6).tolist() == [67, 67]  # every token is in one run
    (changes,) = [shown.value for shown in at.dataframe if "next_code" in shown.value]
    assert (changes["code"] != changes["next_code"]).all()


def test_codes_can_be_filtered_by_status():
    at = open_page("usage", layer="2", status_filter="unseen")
    table = healthy(at).dataframe[-1].value
    assert set(table["status"]) == {"unseen"}


def test_each_metric_can_be_chosen():
    at = open_page("reconstruction", error="feature MSE")
    assert "normalised features" in spec(healthy(at))["layout"]["yaxis"]["title"]["text"]


def test_map_links_restore_colour_layers_and_scale():
    at = open_page("codebook_map", colour="layer", map_layers="layer 2", scale="per layer")
    names = [trace["name"] for trace in spec(healthy(at))["data"]]
    assert any(name.startswith("layer 2 (") for name in names)
    assert not any(name.startswith("layer 1") for name in names)
    assert any("scale = per_layer" in caption.value for caption in at.caption)


def test_selected_codes_are_listed():
    at = open_page("codebook_map")
    at.session_state["map"] = {"selection": {"points": [{"customdata": [2, 5]}, {"customdata": [1, 3]}]}}
    at.run()
    assert healthy(at).dataframe[0].value[["layer", "code"]].to_numpy().tolist() == [[1, 3], [2, 5]]


def test_the_map_says_how_far_it_may_be_trusted_and_what_shape_codebooks_have():
    at = healthy(open_page("codebook_map"))
    assert any("Trustworthiness 0." in caption.value for caption in at.caption)
    shape = next(frame.value for frame in at.dataframe if "code_dimension" in frame.value)
    assert (shape["code_dimension"] <= shape["channels"]).all() and shape["residual_dimension"].ge(1).all()


@pytest.mark.slow
@pytest.mark.xdist_group("umap")
def test_umap_is_computed_on_request_and_found_at_the_next_start():
    at = healthy(open_page("codebook_map", projection="UMAP"))
    assert "component 1" in spec(at)["layout"]["xaxis"]["title"]["text"]
    at.button[0].click().run(timeout=240)
    assert spec(healthy(at))["layout"]["xaxis"]["title"]["text"].startswith("UMAP")
    assert not at.button
    st.cache_resource.clear()
    again = healthy(open_page("codebook_map", projection="UMAP"))
    assert spec(again)["layout"]["xaxis"]["title"]["text"].startswith("UMAP")


def test_a_failed_umap_says_so_and_keeps_the_principal_components(monkeypatch):
    def fail(*_args, **_settings):
        raise MemoryError("no room")

    monkeypatch.setattr(projection_store, "umap_projection", fail)
    at = open_page("codebook_map", projection="UMAP")
    at.button[0].click().run()
    assert not at.exception
    assert "enough memory" in at.error[0].value
    assert len(at.get("plotly_chart")) == 1


def test_a_mistake_of_ours_is_owned_up_to_and_logged(monkeypatch, caplog):
    from dashboard import data

    def fail(*_args):
        raise ZeroDivisionError("secret detail")

    monkeypatch.setattr(data, "report", fail)
    at = open_page()
    assert not at.exception
    assert "made a mistake" in at.error[0].value and "secret" not in at.error[0].value
    assert "secret detail" in caplog.text


def test_every_explanation_has_at_most_three_sentences():
    assert all(1 <= what.text.count(". ") + 1 <= 3 for what in WHAT.values())


def test_what_the_encoder_gives_lies_behind_the_codes_until_it_is_switched_off():
    at = healthy(open_page("codebook_map"))
    assert spec(at)["data"][0]["type"] == "contour"
    assert any("Behind them 134 vectors" in caption.value for caption in at.caption)  # 67 tokens of two layers
    at.toggle(key="behind").set_value(False).run()
    assert all(trace["type"] != "contour" for trace in spec(healthy(at))["data"])


def test_the_map_offers_status_and_ema_counts_where_they_are_known():
    assert {"status", "EMA count"} <= set(open_page("codebook_map").button_group(key="colour").options)
    at = healthy(open_page("codebook_map", colour="status"))
    assert any(trace.get("name", "").startswith("unseen (") for trace in spec(at)["data"])


def test_the_selection_is_what_is_downloaded():
    at = open_page("codebook_map")
    assert "all 32 codes" in at.get("download_button")[0].proto.label
    at.session_state["map"] = {"selection": {"points": [{"customdata": [2, 5]}, {"customdata": [1, 3]}, {}]}}
    at.run()
    assert "these 2 codes" in healthy(at).get("download_button")[0].proto.label
    at = healthy(open_page("codebook_map", selected_codes="2:5"))
    assert at.get("download_button")[0].proto.label == "Download this code with its coordinates (CSV)"


def test_the_last_choice_is_there_at_the_next_start_and_a_link_wins_over_it(tmp_path: Path, monkeypatch):
    monkeypatch.setenv(memory.VARIABLE, str(tmp_path / "last.json"))
    at = open_page()
    at.selectbox(key="checkpoint").select("b").run()
    assert open_page().selectbox(key="checkpoint").value == "b"
    assert healthy(open_page(checkpoint="a")).selectbox(key="checkpoint").value == "a"
    assert open_page().selectbox(key="checkpoint").value == "a"
    monkeypatch.setattr(sources, "bundled_checkpoints", lambda: tmp_path / "none")
    assert "no checkpoint" in open_page().info[0].value


def test_a_code_clicked_on_the_map_leads_to_its_page():
    at = open_page("codebook_map", selected_codes="2:5")
    next(button for button in at.button if button.label == "Open the page of layer 2, code 5").click().run()
    assert healthy(at).title[0].value == "Code"
    assert (at.selectbox(key="layer").value, at.number_input(key="code").value) == (2, 5)
